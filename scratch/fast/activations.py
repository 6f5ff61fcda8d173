"""The fast twins of Gelu and LogSoftmax.

Gelu works piece by piece, so that its temporaries stay in a cache, and computes the slope in the same pass; on a GPU it
is one kernel. LogSoftmax takes the larger number of operations of the book's only where a difference of scores
overflows.
"""

from typing import Any

from scratch import activations
from scratch.activations import TANH_SCALE
from scratch.backend import Array, as_floats, xp
from scratch.fast.arrays import contiguous, minus_max, pieces
from scratch.fast.fusion import fused


class Gelu(activations.Gelu):
    """As `activations.Gelu`; the exact form is the plain layer's."""

    working = (*activations.Gelu.working, "_kernels")
    _kernels: dict[tuple, Any] | None = None  # for a GPU, by what they are for

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        if self.form == "exact":
            return super().forward(input)
        function = _tanh_form if self.form == "tanh" else _sigmoid_form
        if xp.device != "cpu":
            return self._in_one_kernel(function, contiguous(input))
        output, slope = xp.empty_like(input), xp.empty_like(input) if self._train else None
        for piece in pieces(input):
            function(input[piece], output[piece], None if slope is None else slope[piece])
        self.remember(output.shape, slope)
        return output

    def _in_one_kernel(self, function: Any, input: Array) -> Array:
        output, slope = xp.empty_like(input), xp.empty_like(input) if self._train else None
        arrays = [None if array is None else array.reshape(1, 1, -1) for array in (input, output, slope)]
        self._kernels, key = self._kernels or {}, (input.size, input.dtype.char, self._train)
        if key not in self._kernels:
            self._kernels[key] = fused(function, *arrays)
        self._kernels[key](*arrays)
        self.remember(output.shape, slope)
        return output

    def backward(self, gradient: Array) -> Array:
        if self.form == "exact":
            return super().backward(gradient)
        (slope,) = self.recall(gradient)
        return gradient * slope


def _sigmoid_form(x: Array, y: Array, slope: Array | None) -> None:
    """y = Gelu(x), and its slope where that is wanted."""
    p = xp.empty_like(x) if slope is None else slope
    xp.multiply(x, 0.5 * 1.702, out=p)  # 1.702 x itself could overflow
    _half_tanh(p, x, y)  # p is sigmoid(1.702 x), in the form that cannot overflow
    if slope is not None:
        # y' = p + x p', and p' = 1.702 p (1 - p).
        slope += 1.702 * (1 - p) * y  # where y is huge, 1 - p is 0


def _tanh_form(x: Array, y: Array, slope: Array | None) -> None:
    """y = Gelu(x), and its slope where that is wanted."""
    square, p = xp.empty_like(x), xp.empty_like(x) if slope is None else slope
    xp.clip(x, -10, 10, out=y)  # beyond, p is 0 or 1, and x^3 may overflow
    xp.multiply(y, y, out=square)
    xp.multiply(square, TANH_SCALE * 0.044715, out=p)
    p += TANH_SCALE
    p *= y
    _half_tanh(p, x, y)
    if slope is not None:
        # y' = p + x p', and p' = 2 p (1 - p) TANH_SCALE (1 + 3 * 0.044715 x^2).
        square *= 6 * 0.044715 * TANH_SCALE
        square += 2 * TANH_SCALE
        rest = 1 - p
        rest *= y  # first: where y is huge, 1 - p is 0
        rest *= square
        slope += rest


def _half_tanh(p: Array, x: Array, y: Array) -> None:
    """In place, p becomes 0.5 tanh(p) + 0.5, and y becomes x p."""
    xp.tanh(p, out=p)
    p *= 0.5
    p += 0.5
    xp.multiply(x, p, out=y)


class LogSoftmax(activations.LogSoftmax):
    """As `activations.LogSoftmax`."""

    def forward(self, input: Any) -> Array:
        output = minus_max(as_floats(input))
        output -= xp.log(xp.exp(output).sum(axis=-1, keepdims=True))
        self.remember(output.shape, output.copy())
        return output


TWINS: dict[type, type] = {activations.Gelu: Gelu, activations.LogSoftmax: LogSoftmax}
