"""Exercises on `over_time.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator

START = """
import numpy

from scratch import Layer, softmax
"""


@exercise
def by_hand(answer: Any) -> None:
    """MeanOverTime reads x = [2, 6, 4, 0, 0] with the mask [True, True, True, False, False]. The gradient of its output
    is 9. Work out the output and the gradient of x on paper.

    Start:

        by_hand = {"y": 0, "x": [0, 0, 0, 0, 0]}
    """
    if abs(answer["y"] - 2.4) < 1e-6:
        raise Wrong("y is 2.4: the mean is over the real steps only, so divide by 3")
    expect_equal(answer["y"], 4, "y")
    if all(answer["x"]):
        raise Wrong(f"the gradient of x is {answer['x']}: padding does not change y, so its gradient is 0")
    expect_equal(answer["x"], [3, 3, 3, 0, 0], "the gradient of x")


@exercise
def SmoothMaxOverTime(answer: Any) -> None:
    """The maximum passes a gradient to one step only. Write a smooth version, without a mask:
    output[n, c] = log(sum over t of exp(input[n, t, c])). Its derivative with respect to input[n, t, c] is
    exp(input[n, t, c]) divided by the same sum: a softmax over the steps. The output must also be right for inputs
    near 1,000, whose exp overflows.

    Start:

        class SmoothMaxOverTime(Layer):
            def forward(self, input):
                raise NotImplementedError  # (N, T, C) -> (N, C)

            def backward(self, gradient):
                raise NotImplementedError  # (N, C) -> (N, T, C)
    """
    layer, x = answer(), generator().standard_normal((2, 4, 3))
    expect_equal(layer.forward(x), numpy.log(numpy.exp(x).sum(axis=1)), "the output")
    expect_gradients(layer, x)
    with numpy.errstate(all="ignore"):
        large = layer.forward(x + 1000)
    if not numpy.isfinite(large).all():
        raise Wrong("for inputs near 1,000 the output is not finite: subtract the largest first, and add it to the log")
    expect_equal(large, numpy.log(numpy.exp(x).sum(axis=1)) + 1000, "the output for inputs near 1,000")
