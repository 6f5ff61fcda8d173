"""Shorter sequences: MaxPool1d. Smaller images: MaxPool2d, AveragePool2d.

A convolution says at every step how strongly its pattern is present. Usually it is enough to know that it was present,
and roughly where. So only the largest value of every few steps is kept, which shortens the sequence. From
x = [1, 7, 3, 2], MaxPool1d(2) keeps [7, 3]; MaxOverTime keeps only 7, however long the sequence.

    model = Sequential([Conv1d(70, 256, 7), MaxPool1d(3), Relu()])      # (N, 150, 70) -> (N, 48, 256)

In backward, the largest number of each window receives the whole gradient, since no other affected the output. If
[7, 3] has the gradient [5, 6], x has [0, 5, 6, 0].

Read next: `over_time.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, xp
from scratch.checks import expect
from scratch.initial import zeros
from scratch.layer import Layer


class Pool(Layer):
    """The base class of pools whose windows, of `size` steps or `size` by `size` pixels, do not overlap."""

    of_images = False

    def __init__(self, size: int) -> None:
        self.size = size
        expect(size >= 1, self, "a size of at least 1", size)

    def windows(self, input: Any) -> Array:
        """The numbers in each window: (N, T // size, size, C); for images (N, H // size, W // size, size^2, C)."""
        x, K = as_floats(input), self.size
        kind = "images (N, H, W, C), H and W >= {size}" if self.of_images else "sequences (N, T, C), T >= {size}"
        expect(x.ndim == (4 if self.of_images else 3) and min(x.shape[1:-1]) >= K, self, kind, input)
        if not self.of_images:
            N, T, C = x.shape
            return x[:, : T // K * K].reshape(N, T // K, K, C)
        N, h, w, C = len(x), x.shape[1] // K, x.shape[2] // K, x.shape[3]
        return x[:, : h * K, : w * K].reshape(N, h, K, w, K, C).swapaxes(2, 3).reshape(N, h, w, K * K, C)

    def joined(self, windows: Array, shape: tuple[int, ...]) -> Array:
        """The inverse of `windows`: an array of this shape, zero at steps or pixels in no window."""
        x, K = zeros(*shape), self.size
        if not self.of_images:
            N, T, C = shape
            x[:, : T // K * K] = windows.reshape(N, T // K * K, C)
            return x
        N, h, w, _, C = windows.shape
        x[:, : h * K, : w * K] = windows.reshape(N, h, w, K, K, C).swapaxes(2, 3).reshape(N, h * K, w * K, C)
        return x


class MaxPool1d(Pool):
    """The largest of every `size` steps, per channel; trailing steps that do not fill a window are dropped.

        y[n, t, c] = max over k of x[n, t * size + k, c]

    Shapes: (N, T, C) -> (N, T // size, C).
    Source: Zhou and Chellappa 1988; Riesenhuber and Poggio 1999, https://doi.org/10.1038/14819
    Differs: the windows do not overlap, the default in PyTorch and Keras. Of equal numbers, the first is taken.
    Raises: ScratchError for fewer than `size` steps.
    """

    def forward(self, input: Any) -> Array:
        windows = self.windows(input)  # (..., num, C): num numbers in each window
        output = windows.max(axis=-2)
        self.remember(output.shape, as_floats(input).shape, windows.argmax(axis=-2), windows.shape[-2])
        return output

    def backward(self, gradient: Array) -> Array:
        shape, places, num = self.recall(gradient)
        largest = xp.arange(num)[:, None] == places[..., None, :]  # (..., num, C), one True per window and channel
        return self.joined(largest * gradient[..., None, :], shape)


class MaxPool2d(MaxPool1d):
    """The largest of every block of `size` by `size` pixels, per channel, as in MaxPool1d.

        y[n, i, j, c] = max over k, l of x[n, i * size + k, j * size + l, c]

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C); trailing rows and columns that fill no window are dropped.
    Raises: ScratchError for images smaller than a window.
    """

    of_images = True


class AveragePool2d(Pool):
    """The mean of every block of `size` by `size` pixels, per channel.

        y[n, i, j, c] = mean over k, l of x[n, i * size + k, j * size + l, c]

    Shapes: (N, H, W, C) -> (N, H // size, W // size, C); trailing rows and columns that fill no window are dropped.
    Raises: ScratchError for images smaller than a window.
    """

    of_images = True

    def forward(self, input: Any) -> Array:
        output = self.windows(input).mean(axis=3)
        self.remember(output.shape, as_floats(input).shape)
        return output

    def backward(self, gradient: Array) -> Array:
        (shape,) = self.recall(gradient)
        # Each pixel had the weight 1 / size^2 in the output, so it gets that share of the gradient.
        shares = xp.ones((self.size**2, 1), dtype=gradient.dtype) / self.size**2
        return self.joined(shares * gradient[:, :, :, None], shape)
