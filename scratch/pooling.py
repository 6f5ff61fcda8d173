"""Shorter sequences: MaxPool1d keeps the largest of every few steps, MaxOverTime of all; MeanOverTime takes the mean.
Smaller images: MaxPool2d keeps the largest of every square of pixels, AveragePool2d its mean.

A convolution says at every step how much of something is there. Mostly it is enough to know that it was there, and
about where: so of every few steps the largest is kept, and the sequence gets shorter. The largest of all steps forgets
the place too: whatever the length of the sequence, one row is left.

    model = Sequential([Conv1d(70, 256, 7), MaxPool1d(3), Relu()])      # (N, 150, 70) -> (N, 48, 256)

On the way back of a maximum, only the largest number had a part in the output, so it gets the whole gradient. (A Relu
after the pool gives the same as before it, since both take the largest of the numbers and zero; and it has less to do.)

Read next: `attention.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, as_mask, expect, pieces, xp
from scratch.layer import Layer
from scratch.windows import side_by_side, squares


class Pool(Layer):
    """What the pools share: the size of their windows. Raises: ScratchError for one below 1."""

    def __init__(self, size: int) -> None:
        expect(size >= 1, type(self).__name__, "a size from 1 on", size)
        self.size = size

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size})"


class MaxPool1d(Pool):
    """The largest of every `size` steps, for each feature by itself; steps at the end that fill no window are left out.

        y[n, t, c] = max over k of x[n, t * size + k, c]

    Shapes: (N, T, C) -> (N, T // size, C).
    Source: Zhou and Chellappa 1988; Riesenhuber and Poggio 1999, https://doi.org/10.1038/14819
    Differs: the windows do not overlap, which is the default of PyTorch and Keras. Of equal numbers the first is the
        largest.
    Raises: ScratchError for fewer than `size` steps.
    """

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= self.size, self, "sequences (N, T, C), T >= {size}", input)
        windows = side_by_side(input, self.size)
        output = windows[:, :, 0].copy()
        for k in range(1, self.size):
            xp.maximum(output, windows[:, :, k], out=output)
        self.remember(output.shape, input, output)
        return output

    def backward(self, gradient: Array) -> Array:
        input, output = self.recall(gradient)
        input_grad = xp.zeros(input.shape, dtype=gradient.dtype)
        windows, grads = side_by_side(input, self.size), side_by_side(input_grad, self.size)
        waiting = xp.ones(output.shape, dtype=bool)  # True until the largest has been found
        for k in range(self.size):
            found = windows[:, :, k] == output
            found &= waiting
            xp.multiply(gradient, found, out=grads[:, :, k])
            waiting ^= found
        return input_grad


class MaxOverTime(Layer):
    """The largest of all steps, for each feature by itself.

        y[n, c] = max over t of x[n, t, c]

    Shapes: (N, T, C), with an optional mask (N, T), True where a step is real -> (N, C); a row without a real step
        gives zeros.
    Source: Collobert et al. 2011, https://jmlr.org/papers/v12/collobert11a.html, section 3.3.2.
    Differs: of equal numbers the first is the largest.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= 1, self, "sequences (N, T, C), T >= 1", input)
        some: Any = 1
        if mask is not None:
            real = as_mask(self, mask, input.shape[:2])
            input = xp.where(real[..., None], input, -xp.inf)
            some = real.any(axis=1, keepdims=True)
        output = input.max(axis=1)
        if mask is not None:
            output = xp.where(some, output, 0)
        self.remember(output.shape, input.shape, input.argmax(axis=1) if self.train else None, some)
        return output

    def backward(self, gradient: Array) -> Array:
        shape, places, some = self.recall(gradient)
        # Of all steps only the largest had a part in the output.
        return (xp.arange(shape[1])[:, None] == places[:, None]) * (gradient * some)[:, None]


class MeanOverTime(Layer):
    """The mean of all steps, for each feature by itself.

        y[n, c] = mean over t of x[n, t, c]

    Shapes: (N, T, C), with an optional mask (N, T), True where a step is real -> (N, C); a row without a real step
        gives zeros.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= 1, self, "sequences (N, T, C), T >= 1", input)
        N, T, _ = input.shape
        real = xp.ones((N, T), dtype=bool) if mask is None else as_mask(self, mask, (N, T))
        # How much each step counts: shares that sum to one, where there is a real step.
        shares = real / xp.maximum(real.sum(axis=1, keepdims=True), 1).astype(input.dtype)
        if mask is not None:
            input = xp.where(real[..., None], input, 0)
        output = (input * shares[..., None]).sum(axis=1)
        self.remember(output.shape, shares)
        return output

    def backward(self, gradient: Array) -> Array:
        (shares,) = self.recall(gradient)
        # Each step had its share in the output, and gets that share of the gradient.
        return shares[..., None] * gradient[:, None]


class MaxPool2d(Pool):
    """The largest of every square of `size` by `size` pixels, for each feature by itself.

        y[n, i, j, c] = max over k, l of x[n, i * size + k, j * size + l, c]

    Rows and columns at the end that fill no square are left out.

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C).
    Source: as MaxPool1d.
    Differs: as MaxPool1d.
    Raises: ScratchError for images smaller than a square.
    """

    def forward(self, input: Any) -> Array:
        input = _images(self, input)
        output = _empty_output(input, self.size)
        for piece in pieces(input):
            first, *others = squares(input[piece], self.size)
            largest = output[piece]
            largest[...] = first
            for other in others:
                xp.maximum(largest, other, out=largest)
        self.remember(output.shape, input, output)
        return output

    def backward(self, gradient: Array) -> Array:
        input, output = self.recall(gradient)
        input_grad = xp.zeros(input.shape, dtype=gradient.dtype)
        for piece in pieces(input):
            waiting = xp.ones(output[piece].shape, dtype=bool)  # True until the largest has been found
            for x, grad in zip(squares(input[piece], self.size), squares(input_grad[piece], self.size), strict=True):
                found = x == output[piece]
                found &= waiting
                xp.multiply(gradient[piece], found, out=grad)
                waiting ^= found
        return input_grad


class AveragePool2d(Pool):
    """The mean of every square of `size` by `size` pixels, for each feature by itself.

        y[n, i, j, c] = mean over k, l of x[n, i * size + k, j * size + l, c]

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C); rows and columns at the end that fill no square are left out.
    Raises: ScratchError for images smaller than a square.
    """

    def forward(self, input: Any) -> Array:
        input = _images(self, input)
        output = _empty_output(input, self.size)
        for piece in pieces(input):
            output[piece] = sum(squares(input[piece], self.size)) * (1 / self.size**2)
        self.remember(output.shape, input.shape)
        return output

    def backward(self, gradient: Array) -> Array:
        (shape,) = self.recall(gradient)
        input_grad = xp.zeros(shape, dtype=gradient.dtype)
        for grad in squares(input_grad, self.size):
            # Each pixel had its share in the output, and gets that share of the gradient.
            xp.multiply(gradient, 1 / self.size**2, out=grad)
        return input_grad


def _images(pool: Any, input: Any) -> Array:
    input = as_floats(input)
    right = input.ndim == 4 and min(input.shape[1:3]) >= pool.size
    expect(right, pool, "images (N, H, W, C) of at least {size} by {size}", input)
    return input


def _empty_output(input: Array, size: int) -> Array:
    N, H, W, C = input.shape
    return xp.empty((N, H // size, W // size, C), dtype=input.dtype)
