"""A small network that slides along a sequence, or over an image: Conv1d and Conv2d.

What makes a phrase positive is the same at the beginning of a review as at its end. So one set of weights looks at
every run of K steps, and says how much of what it looks for is there:

    y[t] = w window[t] + b        window[t] = x[t], x[t + 1], ..., x[t + K - 1], one after the other

It is a Linear layer whose input is every window in turn.

    layer = Conv1d(50, 64, kernel_size=3)
    y = layer.forward(x)                # (N, T, 50) -> (N, T - 2, 64)

Programs for convolution mostly copy the windows into a matrix first (im2col), K times as large as the input, and
multiply that. Here no window is copied: `windows.py` shows that the windows already are matrices, K of them, in the
memory of the input. The first holds windows 0, K, 2K, ..., so its product with w is rows 0, K, 2K, ... of the output,
and it is written there.

The way back uses the same matrices. For w: each matrix of windows meets the gradients of its rows. For the
input: x[t] was in the windows t, t - 1, ..., t - K + 1, at the places 0, 1, ..., K - 1; so its gradient is a sum over
the K gradients up to row t, which is a window of the gradient, with w's places in reverse. It is a convolution again.

Over an image each pixel is copied K times, not K * K: `windows.py` shows how its windows become matrices. And where
windows are of 3 by 3 pixels and have many features, `winograd.py` takes less than half of the products.

Read next: `winograd.py`.
"""

from typing import Any

from scratch.backend import Array, add_at, as_floats, expect, expect_ids, pieces, to_device, xp
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter
from scratch.windows import every_window, stacked_rows, window_columns, window_matrices
from scratch.winograd import is_worth_it, slide_in_tiles, weights_gradient

_IN_CACHE = 1 << 17  # numbers, which are 512 KiB in float32: so many stay in a processor's cache
_ROWS = 256  # of a matrix of windows: enough for a product to be worth its call, few enough for the cache


class Conv1d(Layer):
    """Each output is a weighted sum of a window of the sequence, plus a bias; the same weights for every window.

        y[n, t] = b + sum over k of w[:, k] x[n, t * stride + k]

    `padding="valid"` takes the windows that lie in the sequence; "same" first puts K - 1 rows of zeros around it, half
    of them (rounded down) before it, so that with a stride of 1 the output is as long as the input.

    Ids (N, T) may stand for one-hot rows, -1 for a row of zeros: the product of w[:, k] with a one-hot row is one of
    its columns, so it is looked up.

    Shapes: (N, T, input_dim), or ids (N, T) -> (N, T', output_dim), where T' is T - kernel_size + 1, or T with "same";
        of these every `stride`-th. The input gradient of ids, or with `input_gradient=False`, is None.
    Parameters: w (output_dim, kernel_size, input_dim), b (output_dim,).
    Source: LeCun et al. 1989, https://doi.org/10.1162/neco.1989.1.4.541; in one dimension Waibel et al. 1989,
        https://doi.org/10.1109/29.21701
    Differs: as everywhere in deep learning the window is not reversed; the convolution of mathematics reverses it.
        PyTorch's w is (output_dim, input_dim, kernel_size), its input (N, input_dim, T). A stride is made by leaving
        out what it steps over, after it was computed; where "same" puts its zeros does not depend on it (in Keras it
        does).
    Raises: ScratchError for an input of another width, ids out of range, or (unless "same") less than a window; for
        padding, stride or kernel_size that there is not.
    """

    def __init__(
        self, input_dim: int, output_dim: int, kernel_size: int, stride: int = 1, padding: str = "valid",
        init: str = "he", input_gradient: bool = True,
    ) -> None:
        self.input_dim, self.output_dim, self.kernel_size = input_dim, output_dim, kernel_size
        self.stride, self.padding, self.input_gradient = stride, padding, input_gradient
        expect(padding in ("valid", "same"), self, "padding 'valid' or 'same'", padding)
        expect(min(stride, kernel_size) >= 1, self, "a stride and a kernel_size from 1 on", (stride, kernel_size))
        self.w = Parameter(random_tensor(output_dim, kernel_size, input_dim, init=init))
        self.b = Parameter(zeros(output_dim))

    def forward(self, input: Any) -> Array:
        if not hasattr(input, "dtype"):
            input = to_device(input)
        are_ids = input.ndim == 2 and input.dtype.kind in "iu"
        if are_ids:
            input = to_device(input).astype(xp.int64)
            expect_ids(self, input, self.input_dim, lowest=-1)
        else:
            input = as_floats(input)
            right = input.ndim == 3 and input.shape[2] == self.input_dim
            expect(right, self, "sequences (N, T, {input_dim}), or integers (N, T)", f"{input.shape} of {input.dtype}")
        shortest = self.kernel_size if self.padding == "valid" else 1
        expect(input.shape[1] >= shortest, self, f"at least {shortest} steps", input)
        padded = self._with_ends(input, -1 if are_ids else 0)
        output = self._from_ids(padded) if are_ids else self._from_rows(padded)
        output = output[:, :: self.stride]
        self.remember(output.shape, padded, input.shape[1])
        return output

    def backward(self, gradient: Array) -> Array | None:
        padded, length = self.recall(gradient)
        (N, T), K, D = padded.shape[:2], self.kernel_size, self.output_dim
        self.b.grad += gradient.sum(axis=(0, 1))
        # The gradient of the window that begins at each row: zeros for those that were left out, and for the last K - 1
        # rows of each sequence, whose windows would reach over a joint. So a window of this gradient that reaches back
        # over one finds only zeros there. K - 1 more such rows come first, for the windows that end at rows 0 to K - 2.
        spread = xp.zeros((K - 1 + N * T, D), dtype=gradient.dtype)
        grad = spread[K - 1 :]
        grad.reshape(N, T, D)[:, : T - K + 1 : self.stride] = gradient
        if padded.ndim == 2:
            self._to_table(padded.reshape(-1), spread)
            return None
        rows = padded.reshape(N * T, self.input_dim)
        w_grad = self.w.grad.reshape(D, K * self.input_dim)
        for start, matrix in window_matrices(rows, K):
            # Window j met weight w[o] in output[j, o]; so w[o] collects grad[j, o] * window[j] over j.
            w_grad += grad[start::K][: len(matrix)].T.dot(matrix)
        if not self.input_gradient:
            return None
        # x[t] stood at place k of window t - k; so it collects w[o, k] * grad[t - k, o] over k and o. The window of
        # `spread` that ends with grad[t] begins with grad[t - K + 1], so it meets the places from last to first.
        reversed_w = self.w.data[:, ::-1].swapaxes(0, 1).reshape(K * D, self.input_dim)
        input_grad = xp.empty((N * T, self.input_dim), dtype=gradient.dtype)
        for start, matrix in window_matrices(spread, K):
            xp.matmul(matrix, reversed_w, out=input_grad[start::K][: len(matrix)])
        before = self._num_before()
        return input_grad.reshape(N, T, self.input_dim)[:, before : before + length]

    def _from_rows(self, input: Array) -> Array:
        (N, T, C), K, D = input.shape, self.kernel_size, self.output_dim
        w = self.w.data.reshape(D, K * C).T
        output = xp.empty((N * T, D), dtype=w.dtype)
        for start, matrix in window_matrices(input.reshape(N * T, C), K):
            xp.matmul(matrix, w, out=output[start::K][: len(matrix)])
        output = output.reshape(N, T, D)[:, : T - K + 1]  # without those that reach over a joint
        output += self.b.data
        return output

    def _from_ids(self, ids: Array) -> Array:
        (N, T), K, D = ids.shape, self.kernel_size, self.output_dim
        length = T - K + 1
        # For each place of the window a table with a row for each id; -1 finds the last one, which is zeros.
        columns = self.w.data.transpose(1, 2, 0)
        table = xp.concatenate([columns, xp.zeros((K, 1, D), dtype=columns.dtype)], axis=1)
        output = xp.empty((N, length, D), dtype=columns.dtype)
        for piece in pieces(output, _IN_CACHE):
            some, sums = ids[piece], output[piece]
            sums[...] = self.b.data
            for k in range(K):
                sums += table[k][some[:, k : k + length]]
        return output

    def _to_table(self, ids: Array, spread: Array) -> None:
        """Each id stood at place k of the window k steps before it: its column of w[:, k] collects that gradient."""
        K, num_ids = self.kernel_size, self.input_dim
        ids = ids % (num_ids + 1)  # -1 becomes the last
        for k in range(K):
            table_grad = xp.zeros((num_ids + 1, self.output_dim), dtype=spread.dtype)
            add_at(table_grad, ids, spread[K - 1 - k :][: len(ids)])
            self.w.grad[:, k] += table_grad[:num_ids].T

    def _num_before(self) -> int:
        return (self.kernel_size - 1) // 2 if self.padding == "same" else 0

    def _with_ends(self, input: Array, fill: int) -> Array:
        """The input as rows one after the other in memory, with `fill` before and after it where that is wanted."""
        if self.padding == "valid":
            return xp.ascontiguousarray(input)
        N, T = input.shape[:2]
        before = self._num_before()
        padded = xp.full((N, T + self.kernel_size - 1, *input.shape[2:]), fill, dtype=input.dtype)
        padded[:, before : before + T] = input
        return padded


class Conv2d(Layer):
    """Each output is a weighted sum of a square window of the image, plus a bias; the same weights for every window.

        y[n, i, j] = b + sum over k, l of w[:, k, l] x[n, i + k, j + l]

    `padding="valid"` takes the windows that lie in the image; "same" first puts K - 1 rows and columns of zeros around
    it, half of them (rounded down) before it, so that the output is as large as the input. `bias=False` leaves b out,
    which a BatchNorm that follows would take out again.

    Shapes: (N, H, W, input_dim) -> (N, H', W', output_dim), where H' is H - kernel_size + 1, or H with "same"; W' too.
        The input gradient with `input_gradient=False` is None.
    Parameters: w (output_dim, kernel_size, kernel_size, input_dim), by rows, then columns; b (output_dim,).
    Source: LeCun et al. 1989, https://doi.org/10.1162/neco.1989.1.4.541
    Differs: PyTorch's w is (output_dim, input_dim, kernel_size, kernel_size), its input (N, input_dim, H, W); it does
        not reverse the window either.
    Raises: ScratchError for an input of another width, or (unless "same") smaller than a window; for padding or
        kernel_size that there is not.
    """

    def __init__(
        self, input_dim: int, output_dim: int, kernel_size: int, padding: str = "valid", bias: bool = True,
        init: str = "he", input_gradient: bool = True,
    ) -> None:
        self.input_dim, self.output_dim, self.kernel_size = input_dim, output_dim, kernel_size
        self.padding, self.input_gradient = padding, input_gradient
        expect(padding in ("valid", "same"), self, "padding 'valid' or 'same'", padding)
        expect(kernel_size >= 1, self, "a kernel_size from 1 on", kernel_size)
        self.w = Parameter(random_tensor(output_dim, kernel_size, kernel_size, input_dim, init=init))
        self.b = Parameter(zeros(output_dim)) if bias else None

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        right = input.ndim == 4 and input.shape[3] == self.input_dim
        expect(right, self, "images (N, H, W, {input_dim})", input)
        N, H, W, _ = input.shape
        lost = 0 if self.padding == "same" else self.kernel_size - 1
        expect(min(H, W) > lost, self, f"images of at least {lost + 1} by {lost + 1}", input)
        output = xp.empty((N, H - lost, W - lost, self.output_dim), dtype=input.dtype)
        self._slide(input, self.w.data.transpose(1, 2, 3, 0), self._num_before(), output)
        if self.b is not None:
            output += self.b.data
        self.remember(output.shape, input)
        return output

    def backward(self, gradient: Array) -> Array | None:
        (input,) = self.recall(gradient)
        if self.b is not None:
            self.b.grad += gradient.sum(axis=(0, 1, 2))
        if not self.w.fixed:
            self.w.grad += self._weights_gradient(input, gradient)
        if not self.input_gradient:
            return None
        # x[i, j] stood at place k, l of the window at i + before - k, j + before - l; so its gradient is a sum over a
        # window of the gradient, from K - 1 - before rows and columns earlier on, with w's places in reverse.
        reversed_w = self.w.data[:, ::-1, ::-1].transpose(1, 2, 0, 3)
        input_grad = xp.empty(input.shape, dtype=gradient.dtype)
        self._slide(gradient, reversed_w, self.kernel_size - 1 - self._num_before(), input_grad)
        return input_grad

    def _weights_gradient(self, input: Array, gradient: Array) -> Array:
        K, D, before = self.kernel_size, self.output_dim, self._num_before()
        if is_worth_it(K, self.input_dim, gradient.shape):
            return weights_gradient(input, gradient, before).transpose(3, 0, 1, 2)
        if xp.device != "cpu":
            windows = every_window(input, K, before, *gradient.shape[1:3])
            return gradient.reshape(-1, D).T.dot(windows).reshape(self.w.data.shape)
        w_grad = xp.zeros((D, K, K * self.input_dim), dtype=gradient.dtype)
        for piece in pieces(gradient, _ROWS * gradient.shape[2] * D):
            stacked = stacked_rows(input[piece], K, before, gradient.shape[1])
            for x, first, matrix in window_columns(stacked, before, gradient.shape[2]):
                # Window r met weight w[o] in output[r, o]; so w[o] collects grad[r, o] * window[r] over r.
                grad = xp.ascontiguousarray(gradient[piece, :, x]).reshape(-1, D)
                collected = grad.T.dot(matrix).reshape(D, -1, K * self.input_dim)
                w_grad[:, first : first + collected.shape[1]] += collected
        return w_grad.reshape(D, K, K, self.input_dim).swapaxes(1, 2)

    def _num_before(self) -> int:
        return (self.kernel_size - 1) // 2 if self.padding == "same" else 0

    def _slide(self, images: Array, weights: Array, before: int, output: Array) -> None:
        """`slide`, in the way that is faster here."""
        in_tiles = is_worth_it(self.kernel_size, weights.shape[2], output.shape)
        (slide_in_tiles if in_tiles else slide)(images, weights, before, output)


def slide(images: Array, weights: Array, before: int, output: Array) -> None:
    """Write to each pixel of `output` the product of its window, which begins `before` rows and columns earlier.

    Shapes: images (N, H, W, C), weights (K, K, C, D) by rows, then columns; output (N, H', W', D).
    """
    (_, R, W, D), K = output.shape, len(weights)
    if xp.device != "cpu":
        every_window(images, K, before, R, W).dot(weights.reshape(-1, D), output.reshape(-1, D))
        return
    weights = weights.swapaxes(0, 1).reshape(-1, D)  # by columns, then rows: the order of a window in its matrix
    column = len(weights) // K  # rows of `weights` that belong to one column of the window
    for piece in pieces(output, _ROWS * W * D):
        rows = output[piece].reshape(-1, W * D)
        for x, first, matrix in window_columns(stacked_rows(images[piece], K, before, R), before, W):
            part = weights[first * column :][: matrix.shape[1]]
            xp.matmul(matrix, part, out=rows[:, x * D : (x + 1) * D])
