"""The fast twins of Gelu and LogSoftmax.

Gelu goes piece by piece, so that its temporaries stay in a cache, and makes the slope at once. LogSoftmax takes the
larger number of operations of the book's only where a difference of scores overflows.
"""

from typing import Any

from scratch import activations
from scratch.backend import Array, as_floats, xp
from scratch.fast.arrays import minus_max, pieces


class Gelu(activations.Gelu):
    """As `activations.Gelu`; the other two forms are the plain layer's."""

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        if self.form != "sigmoid":
            return super().forward(input)
        output, slope = xp.empty_like(input), xp.empty_like(input)
        for piece in pieces(input):
            x, y, s = input[piece], output[piece], slope[piece]
            xp.multiply(x, 0.5 * 1.702, out=s)  # 1.702 x itself could overflow
            xp.tanh(s, out=s)
            s *= 0.5
            s += 0.5  # sigmoid(1.702 x), in the form that cannot overflow
            xp.multiply(x, s, out=y)
            # y' = s + x s', and s' = 1.702 s (1 - s).
            s += 1.702 * (1 - s) * y  # where y is huge, 1 - s is 0
        self.remember(output.shape, slope)
        return output

    def backward(self, gradient: Array) -> Array:
        if self.form != "sigmoid":
            return super().backward(gradient)
        (slope,) = self.recall(gradient)
        return gradient * slope


class LogSoftmax(activations.LogSoftmax):
    """As `activations.LogSoftmax`."""

    def forward(self, input: Any) -> Array:
        output = minus_max(as_floats(input))
        output -= xp.log(xp.exp(output).sum(axis=-1, keepdims=True))
        self.remember(output.shape, output.copy())
        return output


TWINS: dict[type, type] = {activations.Gelu: Gelu, activations.LogSoftmax: LogSoftmax}
