"""Shorter sequences: MaxPool1d, MaxOverTime, MeanOverTime. Smaller images: MaxPool2d, AveragePool2d.

A convolution says at every step how strongly its pattern is present. Usually it is enough to know that it was present,
and roughly where: so of every few steps the largest value is kept, and the sequence gets shorter. Of x = [1, 7, 3, 2],
MaxPool1d(2) keeps [7, 3]; MaxOverTime keeps 7, whatever the length.

    model = Sequential([Conv1d(70, 256, 7), MaxPool1d(3), Relu()])      # (N, 150, 70) -> (N, 48, 256)

Backward through a maximum: only the largest number had an effect on the output, so it receives the whole gradient. For
the gradient [5, 6] of [7, 3], x receives [0, 5, 6, 0].

Read next: `regular.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect, expect_mask
from scratch.initial import zeros
from scratch.layer import Layer


class Pool(Layer):
    """A layer with windows of `size` steps, or of `size` by `size` pixels, that do not overlap."""

    of_images = False

    def __init__(self, size: int) -> None:
        self.size = size
        expect(size >= 1, self, "a size of at least 1", size)

    def windows(self, input: Any) -> Array:
        """The numbers in each window: (N, T // size, size, C); of images (N, H // size, W // size, size^2, C)."""
        x, K = as_floats(input), self.size
        kind = "images (N, H, W, C), H and W >= {size}" if self.of_images else "sequences (N, T, C), T >= {size}"
        expect(x.ndim == (4 if self.of_images else 3) and min(x.shape[1:-1]) >= K, self, kind, input)
        if not self.of_images:
            N, T, C = x.shape
            return x[:, : T // K * K].reshape(N, T // K, K, C)
        N, h, w, C = len(x), x.shape[1] // K, x.shape[2] // K, x.shape[3]
        return x[:, : h * K, : w * K].reshape(N, h, K, w, K, C).swapaxes(2, 3).reshape(N, h, w, K * K, C)

    def joined(self, windows: Array, shape: tuple[int, ...]) -> Array:
        """The input of this shape whose `windows` these are; zeros for steps or pixels in no window."""
        x, K = zeros(*shape), self.size
        if not self.of_images:
            N, T, C = shape
            x[:, : T // K * K] = windows.reshape(N, T // K * K, C)
            return x
        N, h, w, _, C = windows.shape
        x[:, : h * K, : w * K] = windows.reshape(N, h, w, K, K, C).swapaxes(2, 3).reshape(N, h * K, w * K, C)
        return x

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
        windows = self.windows(input)  # (..., num, C): num numbers in each window
        output = windows.max(axis=-2)
        self.remember(output.shape, as_floats(input).shape, windows.argmax(axis=-2), windows.shape[-2])
        return output

    def backward(self, gradient: Array) -> Array:
        shape, places, num = self.recall(gradient)
        largest = xp.arange(num)[:, None] == places[..., None, :]  # (..., num, C), one True for each window and feature
        return self.joined(largest * gradient[..., None, :], shape)


class MaxPool2d(MaxPool1d):
    """The largest of every square of `size` by `size` pixels, for each feature separately, as MaxPool1d.

        y[n, i, j, c] = max over k, l of x[n, i * size + k, j * size + l, c]

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C); rows and columns at the end that fill no square are dropped.
    Raises: ScratchError for images smaller than a square.
    """

    of_images = True


class AveragePool2d(Pool):
    """The mean of every square of `size` by `size` pixels, for each feature separately.

        y[n, i, j, c] = mean over k, l of x[n, i * size + k, j * size + l, c]

    Shapes and Raises: as MaxPool2d.
    """

    of_images = True

    def forward(self, input: Any) -> Array:
        output = self.windows(input).mean(axis=3)
        self.remember(output.shape, as_floats(input).shape)
        return output

    def backward(self, gradient: Array) -> Array:
        (shape,) = self.recall(gradient)
        # Each pixel had the share 1 / size^2 in the output, and gets that share of the gradient.
        shares = xp.ones((self.size**2, 1), dtype=gradient.dtype) / self.size**2
        return self.joined(shares * gradient[:, :, :, None], shape)


class MaxOverTime(Layer):
    """The largest of all steps, for each feature separately.

        y[n, c] = max over t of x[n, t, c]

    Shapes: (N, T, C), with an optional mask (N, T), True where a step is real -> (N, C); zeros without a real step.
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

    Shapes: (N, T, C), with an optional mask (N, T), True where a step is real -> (N, C); zeros without a real step.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= 1, self, "sequences (N, T, C), T >= 1", input)
        real = _real(self, mask, input)
        # The weight of each step: they sum to one where there is a real step.
        shares = (real / xp.maximum(real.sum(axis=1, keepdims=True), 1)).astype(input.dtype)
        output = (xp.where(real[:, :, None], input, 0) * shares[:, :, None]).sum(axis=1)  # padding may be inf
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
