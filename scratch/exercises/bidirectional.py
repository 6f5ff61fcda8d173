"""Exercises on `bidirectional.py`."""

from typing import Any

import numpy

from scratch.bidirectional import Bidirectional
from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator
from scratch.recurrent import SimpleRnn

START = """
import numpy

from scratch import Layer
"""


@exercise
def changed(answer: Any) -> None:
    """Five different letters occur in "Heap" and "Hear"; their ids are 0 to 4. Bidirectional(SimpleRnn(5, 1),
    SimpleRnn(5, 1)) reads the ids of "Heap", and then those of "Hear". Which of its outputs differ? Write 1 for those
    that do, 0 for the others. Each row is a letter; the first column belongs to the first layer.

    Start:

        changed = [[0, 0], [0, 0], [0, 0], [0, 0]]
    """
    found = numpy.asarray(answer)
    if found.shape == (4, 2) and not found[:3, 1].all():
        raise Wrong("the second layer reads the last letter first: does it not change all later states?")
    if found.shape == (4, 2) and found[:3, 0].any():
        raise Wrong("the first layer has not read the last letter when it returns its first three outputs")
    expect_equal(found, [[0, 1], [0, 1], [0, 1], [1, 1]], "the table")


@exercise
def Added(answer: Any) -> None:
    """Write a layer that adds the outputs of its two directions, where Bidirectional concatenates them. Input and
    output are sequences (N, T, features).

    Start:

        class Added(Layer):
            def __init__(self, first, second):
                self.first, self.second = first, second

            def forward(self, input, mask):
                raise NotImplementedError  # compute the output, then self.remember(output.shape)

            def backward(self, gradient):
                self.recall(gradient)
                raise NotImplementedError  # return the gradient of the input
    """
    first, second = SimpleRnn(3, 2), SimpleRnn(3, 2)
    x, ends = generator().standard_normal((2, 4, 3)), numpy.array([[4], [2]])
    for mask, when in ((numpy.arange(4) < 4 + 0 * ends, "without padding"), (numpy.arange(4) < ends, "with padding")):
        both = Bidirectional(first, second).forward(x, mask=mask)
        found = answer(first, second).forward(x, mask)
        if found is not None and numpy.shape(found) == (2, 4, 2):
            if numpy.allclose(found, both[..., :2] + both[:, ::-1, 2:]):
                raise Wrong("the second layer's outputs are added in its reading order: reverse them first")
            if numpy.allclose(found, both[..., :2] + second.forward(x, mask=mask)):
                raise Wrong("the second layer reads from the beginning too: reverse its input")
        expect_equal(found, both[..., :2] + both[..., 2:], f"{when}, the output")
        expect_gradients(answer(first, second), x, mask=mask)
