"""The fast twins of Gelu and LogSoftmax.

Gelu works piece by piece, so that its temporaries stay in a cache, and computes the slope in the same pass. LogSoftmax
takes the larger number of operations of the book's only where a difference of scores overflows.
"""

from typing import Any

import numpy

from scratch import activations
from scratch.activations import TANH_SCALE
from scratch.backend import Array, as_floats, xp
from scratch.fast.arrays import minus_max, pieces


class Gelu(activations.Gelu):
    """As `activations.Gelu`; the exact form is the plain layer's."""

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        if self.form == "exact":
            return super().forward(input)
        output, slope = xp.empty_like(input), xp.empty_like(input)
        function = _tanh_form if self.form == "tanh" else _sigmoid_form
        with numpy.errstate(over="ignore"):
            for piece in pieces(input, 1 << 14):
                function(input[piece], output[piece], slope[piece])
        self.remember(output.shape, slope)
        return output

    def backward(self, gradient: Array) -> Array:
        if self.form == "exact":
            return super().backward(gradient)
        (slope,) = self.recall(gradient)
        return gradient * slope


def _sigmoid_form(x: Array, y: Array, s: Array) -> None:
    """y = Gelu(x), and s = its slope."""
    xp.multiply(x, 0.5 * 1.702, out=s)  # 1.702 x itself could overflow
    xp.tanh(s, out=s)
    s *= 0.5
    s += 0.5  # sigmoid(1.702 x), in the form that cannot overflow
    xp.multiply(x, s, out=y)
    # y' = s + x s', and s' = 1.702 s (1 - s).
    s += 1.702 * (1 - s) * y  # where y is huge, 1 - s is 0


def _tanh_form(x: Array, y: Array, s: Array) -> None:
    """y = Gelu(x), and s = its slope."""
    square = x * x
    xp.minimum(square, 100, out=square)  # beyond, p is 0 or 1 to the last digit
    xp.multiply(square, TANH_SCALE * 0.044715, out=s)
    s += TANH_SCALE
    s *= x
    xp.tanh(s, out=s)
    s *= 0.5
    s += 0.5  # p
    xp.multiply(x, s, out=y)
    # y' = p + x p', and p' = 2 p (1 - p) TANH_SCALE (1 + 3 * 0.044715 x^2).
    square *= 6 * 0.044715 * TANH_SCALE
    square += 2 * TANH_SCALE
    rest = 1 - s
    rest *= y  # first: where y is huge, 1 - p is 0
    rest *= square
    s += rest


class LogSoftmax(activations.LogSoftmax):
    """As `activations.LogSoftmax`."""

    def forward(self, input: Any) -> Array:
        output = minus_max(as_floats(input))
        output -= xp.log(xp.exp(output).sum(axis=-1, keepdims=True))
        self.remember(output.shape, output.copy())
        return output


TWINS: dict[type, type] = {activations.Gelu: Gelu, activations.LogSoftmax: LogSoftmax}
