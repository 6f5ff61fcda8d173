"""Exercises on `layer.py`."""

from typing import Any

import numpy

from scratch.activations import Tanh
from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator
from scratch.layer import Sequential

START = """
from scratch import Layer
"""


@exercise
def by_hand(answer: Any) -> None:
    """Two products in a row: h = w1 x, y = w2 h, and the loss is L = y^2. With x = 0.5, w1 = 4 and w2 = 3, y is 6. Work
    out on paper the derivatives of L with respect to y, w2, h, w1 and x, in this order.

    Start:

        by_hand = {"y": 0, "w2": 0, "h": 0, "w1": 0, "x": 0}
    """
    for name, expected in {"y": 12, "w2": 24, "h": 36, "w1": 18, "x": 144}.items():
        expect_equal(answer[name], expected, f"dL/d{name}")


@exercise
def Residual(answer: Any) -> None:
    """Write a layer that adds its input to the output of an inner layer f: output = input + f(input). The input reaches
    the output along two paths, so its gradient is the sum of two. (Such layers made networks of 152 layers trainable:
    He et al. 2015, https://arxiv.org/abs/1512.03385.)

    Start:

        class Residual(Layer):
            def __init__(self, f):
                self.f = f

            def forward(self, input):
                raise NotImplementedError  # f remembers what it needs; this layer has nothing to remember

            def backward(self, gradient):
                raise NotImplementedError  # gradient is dL/d output; return dL/d input
    """
    f, x = Sequential([Linear(3, 3), Tanh()]), generator().standard_normal((4, 3))
    layer, given, expected = answer(f), x.copy(), x + f.forward(x)
    output = layer.forward(x)
    if (x != given).any():
        raise Wrong("forward changes its input, which belongs to the caller: write `input + ...`, not `input += ...`")
    expect_equal(output, expected, "the output")
    gradient = numpy.ones((4, 3))
    layer.backward(gradient)
    if (gradient != 1).any():
        raise Wrong("backward changes its argument, which belongs to the caller")
    if not layer.named_parameters():
        raise Wrong("Residual(f) has no parameters: is f stored as an attribute?")
    expect_gradients(layer, x)


@exercise
def Twice(answer: Any) -> None:
    """Write a layer that applies an inner layer f twice: output = f(f(input)), with the same weights both times. A
    layer remembers only its last forward.

    Start:

        class Twice(Layer):
            def __init__(self, f):
                self.first = f
                self.second = f  # this line is wrong: why?

            def forward(self, input):
                return self.second.forward(self.first.forward(input))

            def backward(self, gradient):
                return self.first.backward(self.second.backward(gradient))
    """
    f, x = Sequential([Linear(3, 3), Tanh()]), generator().standard_normal((4, 3))
    layer = answer(f)
    expect_equal(layer.forward(x), f.forward(f.forward(x)), "the output")
    found, own = layer.parameters(), f.parameters()
    if len(found) > len(own):
        raise Wrong(f"Twice(f) has {len(found)} Parameters and f has {len(own)}: both places must use the same ones")
    expect_gradients(layer, x)
