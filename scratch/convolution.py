"""A small set of weights that slides along a sequence, or over an image: Conv1d and Conv2d.

A phrase that praises a film does so anywhere in a review. So one set of weights, the kernel, is applied to every window
of K steps, and scores how well the window matches its pattern:

    y[t] = w[0] x[t] + w[1] x[t + 1] + ... + w[K - 1] x[t + K - 1] + b

With x = [1, 2, 4, 8], w = [-1, 1] and b = 0, y = [1, 2, 4]. Weight by weight, w[0] multiplies [1, 2, 4], and w[1]
multiplies [2, 4, 8]. That is the whole layer: a loop over the K positions in the window, forward and again backward.

    layer = Conv1d(50, 64, kernel_size=3)
    y = layer.forward(x)                # (N, T, 50) -> (N, T - 2, 64)

Read next: `pooling.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import VOCABULARY, as_ids, expect
from scratch.functions import one_hot
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter


class Conv1d(Layer):
    """Each output is a weighted sum of a window of the sequence, plus a bias, with the same weights for every window.

        y[n, t] = b + sum over k of w[:, k] x[n, t * stride + k]        (w[:, k] is a matrix)

    `padding="valid"` takes only windows that lie within the sequence; "same" first adds K - 1 rows of zeros, half of
    them (rounded down) before the sequence, so that with a stride of 1 the output is as long as the input.

    Shapes: (N, T, input_dim), or ids (N, T) in place of one-hot rows, -1 for a row of zeros -> (N, T', output_dim),
        where T' is T - kernel_size + 1, or T with "same"; of these, every `stride`-th is kept. For ids, or with
        `input_gradient=False`, the input gradient is None.
    Parameters: w (output_dim, kernel_size, input_dim), b (output_dim,); `init` is one of `initial.INITS`.
    Source: LeCun et al. 1989, https://doi.org/10.1162/neco.1989.1.4.541; Waibel et al. 1989, doi 10.1109/29.21701.
    Differs: mathematical convolution flips the kernel. PyTorch's w is (output_dim, input_dim, kernel_size).
    Raises: ScratchError for an input of the wrong width, or shorter than a window, or an invalid argument.
    """

    def __init__(
        self, input_dim: int, output_dim: int, kernel_size: int, stride: int = 1, padding: str = "valid",
        init: str = "he", input_gradient: bool = True,
    ) -> None:
        self.input_dim, self.output_dim, self.kernel_size = input_dim, output_dim, kernel_size
        self.stride, self.padding, self.input_gradient = stride, padding, input_gradient
        expect(padding in ("valid", "same"), self, "padding 'valid' or 'same'", padding)
        expect(min(stride, kernel_size) >= 1, self, "a stride and a kernel_size of at least 1", (stride, kernel_size))
        self.w = Parameter(random_tensor(output_dim, kernel_size, input_dim, init=init))
        self.b = Parameter(zeros(output_dim))

    def places(self, length: int) -> list[slice]:
        """The rows that each position in the window reads: [0:3] and [1:4] for a length of 4 and a kernel_size of 2."""
        num = length - self.kernel_size + 1
        return [slice(k, k + num, self.stride) for k in range(self.kernel_size)]

    def forward(self, input: Any) -> Array:
        input = input if hasattr(input, "dtype") else to_device(input)
        if are_ids := input.ndim == 2 and input.dtype.kind in "iu":
            input = as_ids(self, input, self.input_dim, lowest=-1, hint=VOCABULARY)
        x = one_hot(input, self.input_dim) if are_ids else as_floats(input)
        expect(x.ndim == 3 and x.shape[2] == self.input_dim, self, "sequences (N, T, {input_dim}) or ids (N, T)", input)
        least = self.kernel_size if self.padding == "valid" else 1
        expect(x.shape[1] >= least, self, f"at least {least} steps", input)
        x = xp.pad(x, ((0, 0), ends(self.kernel_size, self.padding), (0, 0)))
        # Output t is a sum over the positions k in its window: w[:, k] times the row of x at that position.
        output = sum(x[:, rows] @ self.w.data[:, k].T for k, rows in enumerate(self.places(x.shape[1]))) + self.b.data
        self.remember(output.shape, x, self.input_gradient and not are_ids)
        return output

    def backward(self, gradient: Array) -> Array | None:
        x, with_input = self.recall(gradient)
        self.b.grad += gradient.sum(axis=(0, 1), dtype="float64")
        x_grad, grad_rows = zeros(*x.shape), gradient.reshape(-1, self.output_dim)
        for k, rows in enumerate(self.places(x.shape[1])):
            # x[n, rows] was multiplied by w[:, k], as in Linear: each one's gradient is the output's times the other.
            self.w.grad[:, k] += grad_rows.T @ x[:, rows].reshape(-1, self.input_dim)
            if with_input:
                x_grad[:, rows] += gradient @ self.w.data[:, k]
        before, after = ends(self.kernel_size, self.padding)
        return x_grad[:, before : x.shape[1] - after] if with_input else None


def ends(kernel_size: int, padding: str) -> tuple[int, int]:
    """How many zeros come before and after the input."""
    num = kernel_size - 1 if padding == "same" else 0
    return num // 2, num - num // 2


class Conv2d(Layer):
    """Each output is a weighted sum of a square window of the image, plus a bias; all windows share the weights.

        y[n, i, j] = b + sum over k, m of w[:, k, m] x[n, i + k, j + m]

    `padding`, `init`, `input_gradient` are as in Conv1d. `bias=False` omits b, as a BatchNorm would cancel it.

    Shapes: (N, H, W, input_dim) -> (N, H', W', output_dim), where H' is H - kernel_size + 1, or H with "same".
    Parameters: w (output_dim, kernel_size, kernel_size, input_dim), by rows, then columns; b (output_dim,).
    Source: LeCun et al. 1989, https://doi.org/10.1162/neco.1989.1.4.541
    Differs: PyTorch's w is (output_dim, input_dim, kernel_size, kernel_size), its input (N, input_dim, H, W).
    Raises: ScratchError for an input of the wrong width, or smaller than a window, or an invalid argument.
    """

    def __init__(
        self, input_dim: int, output_dim: int, kernel_size: int, padding: str = "valid", bias: bool = True,
        init: str = "he", input_gradient: bool = True,
    ) -> None:
        self.input_dim, self.output_dim, self.kernel_size = input_dim, output_dim, kernel_size
        self.padding, self.bias, self.input_gradient = padding, bias, input_gradient
        expect(padding in ("valid", "same"), self, "padding 'valid' or 'same'", padding)
        expect(kernel_size >= 1, self, "a kernel_size of at least 1", kernel_size)
        self.w = Parameter(random_tensor(output_dim, kernel_size, kernel_size, input_dim, init=init))
        self.b = Parameter(zeros(output_dim)) if bias else None

    def forward(self, input: Any) -> Array:
        input, K = as_floats(input), self.kernel_size
        expect(input.ndim == 4 and input.shape[3] == self.input_dim, self, "images (N, H, W, {input_dim})", input)
        least = 1 if self.padding == "same" else K
        expect(min(input.shape[1:3]) >= least, self, f"images of at least {least} by {least}", input)
        x = xp.pad(input, ((0, 0), ends(K, self.padding), ends(K, self.padding), (0, 0)))
        H, W = x.shape[1] - K + 1, x.shape[2] - K + 1
        output = zeros(len(x) * H * W, self.output_dim)  # a row for each window
        for k in range(K):
            for m in range(K):
                pixels = x[:, k : k + H, m : m + W].reshape(-1, self.input_dim)  # the pixel at (k, m) of each window
                output += pixels @ self.w.data[:, k, m].T
        output = output.reshape(-1, H, W, self.output_dim)
        if self.b is not None:
            output += self.b.data
        self.remember(output.shape, x)
        return output

    def backward(self, gradient: Array) -> Array | None:
        (x,) = self.recall(gradient)
        (_, H, W, D), K = gradient.shape, self.kernel_size
        if self.b is not None:
            self.b.grad += gradient.sum(axis=(0, 1, 2), dtype="float64")
        x_grad, grad_rows = zeros(*x.shape), gradient.reshape(-1, D)
        for k in range(K):
            for m in range(K):
                # The pixel at (k, m) of each window was multiplied by w[:, k, m], as in Linear.
                pixels = x[:, k : k + H, m : m + W].reshape(-1, self.input_dim)
                self.w.grad[:, k, m] += grad_rows.T @ pixels
                if self.input_gradient:
                    x_grad[:, k : k + H, m : m + W] += (grad_rows @ self.w.data[:, k, m]).reshape(-1, H, W, x.shape[3])
        before, after = ends(K, self.padding)
        rows, columns = (slice(before, size - after) for size in x.shape[1:3])
        return x_grad[:, rows, columns] if self.input_gradient else None
