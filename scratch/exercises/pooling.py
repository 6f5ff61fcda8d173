"""Exercises on `pooling.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator

START = """
import numpy

from scratch import Layer, MaxPool1d
"""


@exercise
def by_hand(answer: Any) -> None:
    """MaxPool1d(2) reads the sequence x = [4, 4, 1, 9, 6]. The gradient of its output is [10, 20]. Work out the output
    and the gradient of x on paper.

    Start:

        by_hand = {"y": [0, 0], "x": [0, 0, 0, 0, 0]}
    """
    if len(answer["y"]) == 3:
        raise Wrong("the output has 3 numbers, expected 2: the last step does not fill a window, so it is dropped")
    expect_equal(answer["y"], [4, 9], "the output")
    if numpy.array_equal(answer["x"], [5, 5, 0, 20, 0]) or numpy.array_equal(answer["x"], [10, 10, 0, 20, 0]):
        raise Wrong(f"the gradient of x is {answer['x']}: of two equal numbers, the layer takes the first")
    expect_equal(answer["x"], [10, 0, 0, 20, 0], "the gradient of x")


@exercise
def seen(answer: Any) -> None:
    """How many steps of its input can change one step of the output of
    Sequential([Conv1d(8, 8, 7), MaxPool1d(3), Conv1d(8, 8, 7), MaxPool1d(3)])? (With one Conv1d of 5 and one
    MaxPool1d(2), the answer is 6: two windows of 5 that are one step apart.)

    Start:

        seen = 0
    """
    if answer == 17:
        raise Wrong("seen is 17: neighbouring steps after the first pool are 3 steps apart in the input")
    if answer == 7 * 3 * 7 * 3:
        raise Wrong("seen is 441: the windows of a Conv1d overlap, so the sizes do not multiply")
    expect_equal(answer, 33, "seen")


@exercise
def MinPool1d(answer: Any) -> None:
    """Write a layer that keeps the smallest of every `size` steps, per channel. It may use MaxPool1d.

    Start:

        class MinPool1d(Layer):
            def __init__(self, size):
                self.size = size

            def forward(self, input):
                raise NotImplementedError

            def backward(self, gradient):
                raise NotImplementedError
    """
    layer, x = answer(3), generator().standard_normal((2, 6, 2))
    expect_equal(layer.forward(x), x.reshape(2, 2, 3, 2).min(axis=2), "the output")
    gradient = generator().standard_normal((2, 2, 2))
    found, places = layer.backward(gradient), x.reshape(2, 2, 3, 2).argmin(axis=2)
    right = ((numpy.arange(3)[:, None] == places[:, :, None]) * gradient[:, :, None]).reshape(x.shape)
    if getattr(found, "shape", None) == x.shape and numpy.allclose(found, -right):
        raise Wrong("the gradient of the input has the wrong sign: if the smallest number grows, so does the output")
    expect_gradients(layer, x)
