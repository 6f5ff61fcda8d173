"""Exercises on `checks.py`."""

from typing import Any

from scratch.checks import ScratchError
from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator

START = """
import numpy

from scratch import Layer
from scratch.backend import as_floats
from scratch.checks import expect
"""


@exercise
def Last(answer: Any) -> None:
    """This layer returns the last step of each sequence: (N, T, features) -> (N, features). Unchecked, it accepts a
    matrix, and returns its last column. Add the check: for Last(3) and an input of shape (4, 3), the message is

        Last(features=3): expected input (N, T, 3), got (4, 3); is the axis of the steps missing?

    The same message, with the shape of the input, is raised for sequences with another number of features.

    Start:

        class Last(Layer):
            def __init__(self, features):
                self.features = features

            def forward(self, input):
                input = as_floats(input)
                # here: expect(..., self, "...", input, "...")
                output = input[:, -1]
                self.remember(output.shape, input.shape)
                return output

            def backward(self, gradient):
                (shape,) = self.recall(gradient)
                result = numpy.zeros(shape)
                result[:, -1] = gradient
                return result
    """
    layer, draw = answer(3), generator()
    expect_equal(layer.forward(draw.random((4, 2, 3))).shape, (4, 3), "the shape of the output for (4, 2, 3)")
    expect_gradients(layer, draw.random((4, 2, 3)))
    for shape in ((4, 3), (4, 2, 5), (1, 4, 2, 3)):
        right = f"Last(features=3): expected input (N, T, 3), got {shape}; is the axis of the steps missing?"
        try:
            layer.forward(draw.random(shape))
        except ScratchError as error:
            if str(error) != right:
                raise Wrong(f"the message for {shape} is {str(error)!r}, expected {right!r}") from None
        else:
            raise Wrong(f"an input of shape {shape} is accepted")
