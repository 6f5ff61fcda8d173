"""Shorter sequences: MaxPool1d, MaxOverTime, MeanOverTime. Smaller images: MaxPool2d, AveragePool2d.

A convolution says at every step how strongly its pattern is present. Usually it is enough to know that it was present,
and roughly where: so of every few steps the largest value is kept, and the sequence gets shorter. Of x = [1, 7, 3, 2],
MaxPool1d(2) keeps [7, 3]; MaxOverTime keeps 7, whatever the length.

    model = Sequential([Conv1d(70, 256, 7), MaxPool1d(3), Relu()])      # (N, 150, 70) -> (N, 48, 256)

Backward through a maximum: only the largest number had an effect on the output, so it receives the whole gradient:
for the gradient [5, 6] above, x receives [0, 5, 6, 0].

Read next: `attention.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect, expect_mask
from scratch.initial import zeros
from scratch.layer import Layer


class Pool(Layer):
    """A layer with windows of a `size`. Raises: ScratchError for one below 1."""

    def __init__(self, size: int) -> None:
        expect(size >= 1, type(self).__name__, "a size of at least 1", size)
        self.size = size

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.size})"


class MaxPool1d(Pool):
    """The largest of every `size` steps, for each feature separately; steps at the end that fill no window are dropped.

        y[n, t, c] = max over k of x[n, t * size + k, c]

    Shapes: (N, T, C) -> (N, T // size, C).
    Source: Zhou and Chellappa 1988; Riesenhuber and Poggio 1999, https://doi.org/10.1038/14819
    Differs: the windows do not overlap, which is the default of PyTorch and Keras. Of equal numbers the first is taken.
    Raises: ScratchError for fewer than `size` steps.
    """

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= self.size, self, "sequences (N, T, C), T >= {size}", input)
        (N, T, C), K = input.shape, self.size
        windows = input[:, : T // K * K].reshape(N, T // K, K, C)
        output = windows.max(axis=2)
        self.remember(output.shape, input.shape, windows.argmax(axis=2))
        return output

    def backward(self, gradient: Array) -> Array:
        (N, T, C), places = self.recall(gradient)
        K, x_grad = self.size, zeros(N, T, C)
        largest = xp.arange(K)[:, None] == places[:, :, None]  # (N, T // K, K, C)
        x_grad[:, : T // K * K] = (largest * gradient[:, :, None]).reshape(N, T // K * K, C)
        return x_grad


class MaxOverTime(Layer):
    """The largest of all steps, for each feature separately.

        y[n, c] = max over t of x[n, t, c]

    Shapes: (N, T, C), with an optional mask (N, T), True where a step is real -> (N, C); a row without a real step
        gives zeros.
    Source: Collobert et al. 2011, https://jmlr.org/papers/v12/collobert11a.html, section 3.3.2.
    Differs: of equal numbers the first is taken.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= 1, self, "sequences (N, T, C), T >= 1", input)
        real = _real(self, mask, input)
        some = real.any(axis=1, keepdims=True)  # (N, 1): False for a row that is all padding
        x = xp.where(real[:, :, None], input, -xp.inf)
        output = xp.where(some, x.max(axis=1), 0)
        self.remember(output.shape, input.shape[1], x.argmax(axis=1), some)
        return output

    def backward(self, gradient: Array) -> Array:
        T, places, some = self.recall(gradient)
        # Of all steps only the largest had an effect on the output.
        return (xp.arange(T)[:, None] == places[:, None]) * (gradient * some)[:, None]


class MeanOverTime(Layer):
    """The mean of all steps, for each feature separately.

        y[n, c] = mean over t of x[n, t, c]

    Shapes: (N, T, C), with an optional mask (N, T), True where a step is real -> (N, C); a row without a real step
        gives zeros.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= 1, self, "sequences (N, T, C), T >= 1", input)
        real = _real(self, mask, input)
        # The weight of each step: they sum to one where there is a real step.
        shares = real / xp.maximum(real.sum(axis=1, keepdims=True), 1).astype(input.dtype)
        output = (xp.where(real[:, :, None], input, 0) * shares[:, :, None]).sum(axis=1)
        self.remember(output.shape, shares)
        return output

    def backward(self, gradient: Array) -> Array:
        (shares,) = self.recall(gradient)
        # Each step had this share in the output, so it gets this share of the gradient.
        return shares[:, :, None] * gradient[:, None]


def _real(layer: Layer, mask: Any, input: Array) -> Array:
    mask = xp.ones(input.shape[:2], dtype=bool) if mask is None else to_device(mask)
    expect_mask(layer, mask, input.shape[:2])
    return mask


class MaxPool2d(Pool):
    """The largest of every square of `size` by `size` pixels, for each feature separately.

        y[n, i, j, c] = max over k, l of x[n, i * size + k, j * size + l, c]

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C); rows and columns at the end that fill no square are dropped.
    Source: as MaxPool1d.
    Differs: as MaxPool1d.
    Raises: ScratchError for images smaller than a square.
    """

    def forward(self, input: Any) -> Array:
        squares, shape = _squares(self, input)
        output = squares.max(axis=3)
        self.remember(output.shape, shape, squares.argmax(axis=3))
        return output

    def backward(self, gradient: Array) -> Array:
        shape, places = self.recall(gradient)
        largest = xp.arange(self.size**2)[:, None] == places[:, :, :, None]  # (N, H', W', size * size, C)
        return _from_squares(largest * gradient[:, :, :, None], self.size, shape)


class AveragePool2d(Pool):
    """The mean of every square of `size` by `size` pixels, for each feature separately.

        y[n, i, j, c] = mean over k, l of x[n, i * size + k, j * size + l, c]

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C); rows and columns at the end that fill no square are dropped.
    Raises: ScratchError for images smaller than a square.
    """

    def forward(self, input: Any) -> Array:
        squares, shape = _squares(self, input)
        output = squares.mean(axis=3)
        self.remember(output.shape, shape)
        return output

    def backward(self, gradient: Array) -> Array:
        (shape,) = self.recall(gradient)
        # Each pixel had the share 1 / size^2 in the output, and gets that share of the gradient.
        shares = xp.ones((self.size**2, 1), dtype=gradient.dtype) / self.size**2
        return _from_squares(shares * gradient[:, :, :, None], self.size, shape)


def _squares(pool: Pool, input: Any) -> tuple[Array, tuple[int, ...]]:
    """The pixels of each square, row by row, (N, H // size, W // size, size * size, C); and the shape of the images."""
    input, K = as_floats(input), pool.size
    right = input.ndim == 4 and min(input.shape[1:3]) >= K
    expect(right, pool, "images (N, H, W, C) of at least {size} by {size}", input)
    (N, H, W, C) = input.shape
    cut = input[:, : H // K * K, : W // K * K].reshape(N, H // K, K, W // K, K, C)
    return cut.swapaxes(2, 3).reshape(N, H // K, W // K, K * K, C), input.shape


def _from_squares(squares: Array, size: int, shape: tuple[int, ...]) -> Array:
    """The images of this shape that `_squares` cut so; zeros where they were dropped."""
    images, (N, h, w, _, C) = zeros(*shape), squares.shape
    images[:, : h * size, : w * size] = squares.reshape(N, h, w, size, size, C).swapaxes(2, 3).reshape(
        N, h * size, w * size, C
    )
    return images
