"""Exercises on `regular.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator
from scratch.layer import evaluating

START = """
import numpy

from scratch import Dropout, Layer
from scratch.initial import uniform
"""


@exercise
def by_hand(answer: Any) -> None:
    """BatchNorm(1) has w = [1], b = [0], and an epsilon so small that it may be ignored. It is trained on four rows,
    x = [1, 1, 5, 5], and the gradient of its output is [4, 0, 0, 0]. Work out the output and the gradients of w, b and
    x on paper.

    Start:

        by_hand = {"y": [0, 0, 0, 0], "w": [0], "b": [0], "x": [0, 0, 0, 0]}
    """
    if numpy.array_equal(answer["x"], [2, 0, 0, 0]):
        raise Wrong("the gradient of x is [2, 0, 0, 0], as if mean and variance were constants; they depend on every x")
    if numpy.array_equal(answer["x"], [1.5, -0.5, -0.5, -0.5]):
        raise Wrong("the gradient of x is [1.5, -0.5, -0.5, -0.5]: the part through the variance is missing")
    for name, expected in {"y": [-1, -1, 1, 1], "w": [-4], "b": [4], "x": [1, -1, 0, 0]}.items():
        expect_equal(answer[name], expected, "y" if name == "y" else f"the gradient of {name}")


@exercise
def ChannelDropout(answer: Any) -> None:
    """For inputs of shape (N, T, C), write a Dropout that drops whole channels: a channel of a sequence is set to zero
    at all of its steps or at none. Only `draw` needs to change: its result is compared with p, and may have any shape
    that broadcasts to the input's.

    Start:

        class ChannelDropout(Dropout):
            def draw(self, shape):
                N, _, C = shape
                raise NotImplementedError  # uniform(2, 3) is an array of shape (2, 3), of numbers between 0 and 1
    """
    layer, x = answer(0.5), numpy.ones((20, 5, 30))
    output = layer.forward(x)
    if output.shape != x.shape:
        raise Wrong(f"the output has shape {output.shape}, expected {x.shape}")
    if (output != output[:, :1]).any():
        raise Wrong("a channel is zero at some steps of a sequence and not at others: draw once for all steps")
    if (output == output[:1]).all():
        raise Wrong("every sequence loses the same channels: draw for each sequence")
    if (output == output[:, :, :1]).all():
        raise Wrong("a sequence loses all of its channels or none: draw for each channel")
    if not set(numpy.unique(output)) <= {0, 2}:
        raise Wrong(f"with p = 0.5 and an input of ones, the output has {numpy.unique(output)}, expected 0 and 2")
    expect_equal((output == 0).mean().round(1), 0.5, "the share of zeros with p = 0.5")
    expect_equal(layer.backward(x), output, "the gradient of the input, if the output's is all ones,")
    with evaluating(layer):
        expect_equal(layer.forward(x), x, "the output while evaluating")


@exercise
def RowNorm(answer: Any) -> None:
    """BatchNorm normalises each feature over the rows of the batch. Write a layer that normalises each row over its
    features, so that no row depends on another (without w and b, and with an epsilon of 1e-5):
    output[n, i] = (input[n, i] - mean[n]) / sqrt(variance[n] + 1e-5).

    Start:

        class RowNorm(Layer):
            def forward(self, input):
                raise NotImplementedError  # (N, features) -> the same

            def backward(self, gradient):
                raise NotImplementedError  # the formula of BatchNorm, along the other axis
    """
    layer, x = answer(), generator().standard_normal((4, 3))
    scale = 1 / numpy.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    over_rows = (x - x.mean(axis=0)) / numpy.sqrt(x.var(axis=0) + 1e-5)
    output = layer.forward(x)
    if getattr(output, "shape", None) == x.shape and numpy.allclose(output, over_rows):
        raise Wrong("the output is normalised over the rows of the batch: take mean and variance along axis 1")
    expect_equal(output, (x - x.mean(axis=1, keepdims=True)) * scale, "the output")
    gradient = generator().standard_normal((4, 3))
    found = layer.backward(gradient)
    if getattr(found, "shape", None) == x.shape and numpy.allclose(found, gradient * scale):
        raise Wrong("the gradient of the input treats mean and variance as constants; they depend on the whole row")
    expect_gradients(layer, x)
