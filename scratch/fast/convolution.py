"""The fast twins of Conv1d and Conv2d: only few windows are copied, and many channels go by Winograd.

Usual programs first copy the windows into a matrix (im2col), K times as large as the input. `windows.py` shows that the
windows of a sequence already are matrices in the memory of the input: K of them. The first holds windows 0, K, 2K, ...,
so its product with w is rows 0, K, 2K, ... of the output, and is written there. Backward uses the same matrices. For w:
each matrix of windows meets the gradients of its rows. For the input: x[t] was in the windows t, t - 1, ..., t - K + 1,
at the places 0, 1, ..., K - 1; so its gradient is a sum over the K gradients up to row t, which is a window of the
gradient, with w's places in reverse: a convolution again.

Of an image each pixel is copied K times, not K * K (`windows.py`). With many channels, `winograd1d.py` needs about half
the multiplications for a sequence, and `winograd.py` fewer than half for an image and windows of 3x3.
"""

import math
from typing import Any

from scratch import convolution
from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect
from scratch.fast import winograd1d
from scratch.fast.arrays import add_at, as_ids, pieces, sum_rows
from scratch.fast.windows import are_few, every_window, stacked_rows, window_columns, window_matrices
from scratch.fast.winograd import is_worth_it, slide_in_tiles, weights_gradient

_IN_CACHE = 1 << 17  # numbers, which are 512 KiB in float32: so many stay in a processor's cache
_ROWS = 256  # of a matrix of windows: enough for a product to be worth its call, few enough for the cache


class Conv1d(convolution.Conv1d):
    """As `convolution.Conv1d`."""

    def forward(self, input: Any) -> Array:
        if not hasattr(input, "dtype"):
            input = to_device(input)
        are_ids = input.ndim == 2 and input.dtype.kind in "iu"
        if are_ids:
            input = as_ids(self, to_device(input), self.input_dim, lowest=-1)
        else:
            input = as_floats(input)
            right = input.ndim == 3 and input.shape[2] == self.input_dim
            expect(right, self, "sequences (N, T, {input_dim}) or ids (N, T)", input)
        shortest = self.kernel_size if self.padding == "valid" else 1
        expect(input.shape[1] >= shortest, self, f"at least {shortest} steps", input)
        padded = self._with_ends(input, -1 if are_ids else 0)
        if are_ids:
            output = self._from_ids(padded)
        elif self._in_tiles(padded):
            output = winograd1d.InTiles(self.w.data, padded.shape[1]).forward(padded, self.b.data)
        else:
            output = self._from_rows(padded)
        output = output[:, :: self.stride]
        self.remember(output.shape, padded, input.shape[1])
        return output

    def backward(self, gradient: Array) -> Array | None:
        padded, length = self.recall(gradient)
        (N, T), K, D = padded.shape[:2], self.kernel_size, self.output_dim
        self.b.grad += sum_rows(gradient.reshape(-1, D))
        places = slice(self._num_before(), self._num_before() + length)  # of the input in `padded`
        if padded.ndim == 3 and self._in_tiles(padded):
            w_grad, input_grad = winograd1d.InTiles(self.w.data, T).backward(padded, gradient, self.input_gradient)
            self.w.grad += w_grad
            return None if input_grad is None else input_grad[:, places]
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
        for place, matrix in window_matrices(rows, K):
            # Window j met weight w[o] in output[j, o]; so w[o] collects grad[j, o] * window[j] over j.
            w_grad += grad[place].T.dot(matrix)
        if not self.input_gradient:
            return None
        # x[t] stood at place k of window t - k; so it collects w[o, k] * grad[t - k, o] over k and o. The window of
        # `spread` that ends with grad[t] begins with grad[t - K + 1], so it meets the places from last to first.
        reversed_w = self.w.data[:, ::-1].swapaxes(0, 1).reshape(K * D, self.input_dim)
        input_grad = xp.empty((N * T, self.input_dim), dtype=gradient.dtype)
        for place, matrix in window_matrices(spread, K):
            xp.matmul(matrix, reversed_w, out=input_grad[place])
        return input_grad.reshape(N, T, self.input_dim)[:, places]

    def _in_tiles(self, padded: Array) -> bool:
        """Whether `winograd1d.py` is faster here. It computes all outputs; with a stride most would be dropped."""
        N, T, C = padded.shape
        K = self.kernel_size
        return self.stride == 1 and winograd1d.is_worth_it(K, C, (N, T - K + 1, self.output_dim))

    def _from_rows(self, input: Array) -> Array:
        (N, T, C), K, D = input.shape, self.kernel_size, self.output_dim
        w = self.w.data.reshape(D, K * C).T
        output = xp.empty((N * T, D), dtype=w.dtype)
        for place, matrix in window_matrices(input.reshape(N * T, C), K):
            xp.matmul(matrix, w, out=output[place])
        output = output.reshape(N, T, D)[:, : T - K + 1]  # without those that reach over a joint
        output += self.b.data
        return output

    def _from_ids(self, ids: Array) -> Array:
        (N, T), K, D = ids.shape, self.kernel_size, self.output_dim
        length = T - K + 1
        # For each place of the window a table with a row for each id; -1 finds the last one, which is zeros.
        table = xp.zeros((K, self.input_dim + 1, D), dtype=self.w.data.dtype)  # each row contiguous
        table[:, :-1] = self.w.data.transpose(1, 2, 0)
        output = xp.empty((N, length, D), dtype=table.dtype)
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


class Conv2d(convolution.Conv2d):
    """As `convolution.Conv2d`."""

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
            self.b.grad += sum_rows(gradient.reshape(-1, self.output_dim))
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
        if are_few(math.prod(gradient.shape[:3])):
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


TWINS = {convolution.Conv1d: Conv1d, convolution.Conv2d: Conv2d}


def slide(images: Array, weights: Array, before: int, output: Array) -> None:
    """Write to each pixel of `output` the product of its window, which begins `before` rows and columns earlier.

    Shapes: images (N, H, W, C), weights (K, K, C, D) by rows, then columns; output (N, H', W', D).
    """
    (N, R, W, D), K = output.shape, len(weights)
    if are_few(N * R * W):
        every_window(images, K, before, R, W).dot(weights.reshape(-1, D), output.reshape(-1, D))
        return
    weights = weights.swapaxes(0, 1).reshape(-1, D)  # by columns, then rows: the order of a window in its matrix
    column = len(weights) // K  # rows of `weights` that belong to one column of the window
    for piece in pieces(output, _ROWS * W * D):
        rows = output[piece].reshape(-1, W * D)
        for x, first, matrix in window_columns(stacked_rows(images[piece], K, before, R), before, W):
            part = weights[first * column :][: matrix.shape[1]]
            xp.matmul(matrix, part, out=rows[:, x * D : (x + 1) * D])
