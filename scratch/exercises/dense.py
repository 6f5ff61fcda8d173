"""Exercises on `dense.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator
from scratch.layer import Parameter

START = """
import numpy

from scratch import Layer, Parameter
"""


@exercise
def by_hand(answer: Any) -> None:
    """Linear has w = [[2, 3]], b = [1] and the input x = [10, 20]. The gradient of its output is [0.5]. Work out the
    gradients of w, b and x on paper.

    Start:

        by_hand = {"w": [[0, 0]], "b": [0], "x": [0, 0]}
    """
    for name, expected in {"w": [[5, 10]], "b": [0.5], "x": [1, 1.5]}.items():
        expect_equal(answer[name], expected, f"the gradient of {name}")


@exercise
def Scale(answer: Any) -> None:
    """Write a layer that gives each feature its own weight: output[n, i] = w[i] * input[n, i]. Each w[i] starts at 1.

    Start:

        class Scale(Layer):
            def __init__(self, features):
                self.w = Parameter(numpy.ones(features))

            def forward(self, input):
                raise NotImplementedError  # as in Linear: compute the output, then self.remember(output.shape, input)

            def backward(self, gradient):
                (input,) = self.recall(gradient)
                raise NotImplementedError  # add to self.w.grad; return the gradient of the input
    """
    layer, x = answer(3), generator().standard_normal((4, 3))
    if not isinstance(getattr(layer, "w", None), Parameter):
        raise Wrong("Scale(3).w is not a Parameter")
    layer.w.data[:] = [1, 2, -3]
    expect_equal(layer.forward(x), x * numpy.array([1, 2, -3]), "the output")
    expect_gradients(layer, x)
