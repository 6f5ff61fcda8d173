"""The fast twins of Dropout and BatchNorm, which know of the parts of a batch, and of LayerNorm.

Dropout draws for its rows the numbers that the plain one draws for them in the whole batch. BatchNorm works piece by
piece in place, and takes its statistics over all parts of all processes. LayerNorm works piece by piece too; it sums
rows by products, in float32 unless a square overflows. On a GPU it is one kernel in each pass, beside the sums over all
rows.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy

from scratch import regular
from scratch.backend import Array, as_floats, xp
from scratch.checks import expect
from scratch.fast.arrays import contiguous, pieces, random_on_device, sum_rows
from scratch.fast.parts import current
from scratch.fast.rows import as_float64, on_rows, row_mean, rows_fit


class Dropout(regular.Dropout):
    """As `regular.Dropout`. On a GPU the numbers are drawn there: to transfer so many would take longer.

    It remembers which numbers are kept, at one byte each. With p = 0 it passes its input on.
    """

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        keep = self.keep(input.shape) if self._train else None
        self.remember(input.shape, keep)
        return input if keep is None else self._scaled(input, keep)

    def backward(self, gradient: Array) -> Array:
        (keep,) = self.recall(gradient)
        return gradient if keep is None else self._scaled(gradient, keep)

    def _scaled(self, values: Array, keep: Array) -> Array:
        output = values * keep
        output *= 1 / (1 - self.p)
        return output

    def keep(self, shape: tuple[int, ...]) -> Array | None:
        """In training: booleans, False for the numbers to be set to zero; None where all are kept."""
        if not self.p:
            current.get().chance.getrandbits(64)  # as if numbers were drawn
            return None
        draw = self._numbers(math.prod(shape))
        keep = xp.empty(math.prod(shape), dtype=bool)
        for piece in pieces(keep):
            keep[piece] = draw(len(keep[piece])) >= self.p
        return keep.reshape(shape)

    def draw(self, shape: tuple[int, ...]) -> Array:
        return self._numbers(math.prod(shape))(math.prod(shape)).reshape(shape)

    def _numbers(self, size: int) -> Callable[[int], Array]:
        """A function that returns the next of `size` random numbers, as many as it is asked for."""
        part = current.get()
        seed = part.chance.getrandbits(64)
        # So many numbers are those of the rows before this part's.
        before = part.first_row * (size // part.num_rows) if part.num_rows else 0
        if xp.device != "cpu":
            return lambda count: random_on_device(seed ^ before, (count,))
        bits = numpy.random.PCG64(seed)
        bits.advance(before // 2)  # one number of 64 bits gives two of float32
        draw = numpy.random.Generator(bits)
        draw.random(before % 2, dtype=numpy.float32)
        return lambda count: draw.random(count, dtype=numpy.float32)


class BatchNorm(regular.BatchNorm):
    """As `regular.BatchNorm`."""

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.shape[-1:] == (self.num_features,), self, "input (..., {num_features})", input)
        rows = input.reshape(-1, self.num_features)
        if not self.train:
            self.remember(input.shape)
            # The mean is subtracted first: scaled, it could be far larger than what is left.
            output = rows - self.running_mean.data
            output *= self.w.data / xp.sqrt(self.running_variance.data + self.epsilon)
            output += self.b.data
            return output.reshape(input.shape)
        part, normed, output = current.get(), xp.empty_like(rows), xp.empty_like(rows)
        num_rows = part.sum(len(rows))
        expect(num_rows > 1, self, "more than one row to train on", input)
        mean = part.sum(_sum_in_float64(rows)) / num_rows
        rounded = mean.astype(rows.dtype)  # of equal rows, it is the row
        rest = (mean - rounded).astype(rows.dtype)
        for piece in pieces(rows):
            xp.subtract(rows[piece], rounded, out=normed[piece])
            normed[piece] -= rest
        variance = part.sum(_sum_of_squares(normed)) / num_rows
        if part.number == 0:  # all parts share the running statistics
            self._follow(self.running_mean.data, mean)
            self._follow(self.running_variance.data, variance * (num_rows / (num_rows - 1)))
        scale = (1 / xp.sqrt(variance + self.epsilon)).astype(rows.dtype)
        for piece in pieces(rows):
            normed[piece] *= scale
            xp.multiply(normed[piece], self.w.data, out=output[piece])
            output[piece] += self.b.data
        self.remember(input.shape, normed, scale, num_rows)
        return output.reshape(input.shape)

    def backward(self, gradient: Array) -> Array:
        normed, scale, num_rows = self.recall(gradient)
        rows = gradient.reshape(-1, self.num_features)
        b_grad, w_grad = xp.zeros(self.num_features), xp.zeros(self.num_features)  # float64
        for piece in pieces(rows):
            b_grad += sum_rows(rows[piece])
            w_grad += sum_rows(rows[piece] * normed[piece])
        self.b.grad += b_grad
        self.w.grad += w_grad
        b_grad, w_grad = current.get().sum(xp.stack([b_grad, w_grad])).astype(rows.dtype)
        input_grad = xp.empty_like(rows)
        for piece in pieces(rows):
            some = input_grad[piece]
            xp.multiply(normed[piece], w_grad / -num_rows, out=some)
            some += rows[piece]
            some -= b_grad / num_rows
            some *= self.w.data * scale
        return input_grad.reshape(gradient.shape)

    def _follow(self, running: Array, latest: Array) -> None:
        running *= self.momentum
        running += (1 - self.momentum) * xp.minimum(latest, xp.finfo(running.dtype).max)


class LayerNorm(regular.LayerNorm):
    """As `regular.LayerNorm`. On a GPU, rows of more than 1,024 features take the plain layer's forward."""

    working = (*regular.LayerNorm.working, "_share")
    _share: Any = None  # a row times it is the row's mean

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.shape[-1:] == (self.features,), self, "input (..., {features})", input)
        if rows_fit(self.features, input.size):
            return self._in_one_kernel(input)
        if xp.device != "cpu":
            return super().forward(input)
        if self._share is None or self._share.dtype != input.dtype:
            self._share = numpy.full((self.features, 1), 1 / self.features, dtype=input.dtype)
        if input.size == self.features and not self._train:
            return self._of_one_row(input)
        rows = input.reshape(-1, self.features)
        normed, s = numpy.empty_like(rows), numpy.empty((len(rows), 1), dtype=rows.dtype)
        output = numpy.empty_like(rows) if self._train else normed
        with numpy.errstate(over="ignore", invalid="ignore"):
            for piece in pieces(rows):
                x, n = rows[piece], normed[piece]
                numpy.subtract(x, x.dot(self._share), out=n)
                n -= n.dot(self._share)  # what the rounding of a large mean left
                s[piece] = numpy.multiply(n, n, out=output[piece] if self._train else None).dot(self._share)
            if not numpy.maximum.reduce(s, axis=None, initial=0) < numpy.inf:  # in float32, 1e20 squared overflows
                return super().forward(input)
        s += self.eps
        numpy.sqrt(s, out=s)
        numpy.divide(1, s, out=s)
        for piece in pieces(rows):
            n, y = normed[piece], output[piece]
            n *= s[piece]
            numpy.multiply(n, self.w.data, out=y)
            if self.b is not None:
                y += self.b.data
        self.remember(input.shape, normed, s)
        return output.reshape(input.shape)

    def _of_one_row(self, input: Array) -> Array:
        """The same with fewer operations: a text is generated letter by letter."""
        x, share = input.reshape(-1), self._share[:, 0]
        with numpy.errstate(over="ignore", invalid="ignore"):
            n = x - x.dot(share)
            n -= n.dot(share)
            variance = float(n.dot(n)) / self.features
        if not variance < math.inf:
            return super().forward(input)
        n *= 1 / math.sqrt(variance + self.eps)
        n *= self.w.data
        if self.b is not None:
            n += self.b.data
        self.remember(input.shape)
        return n.reshape(input.shape)

    def _in_one_kernel(self, input: Array) -> Array:
        rows = contiguous(input).reshape(-1, self.features)
        output, normed, s = xp.empty_like(rows), None, None
        if self._train:
            normed, s = xp.empty_like(rows), xp.empty((len(rows), 1), dtype=rows.dtype)
        on_rows(_normalise, (output, normed, s), rows, self.w.data, None if self.b is None else self.b.data, self.eps)
        self.remember(input.shape, normed, s)
        return output.reshape(input.shape)

    def _back_in_one_kernel(self, gradient: Array, n: Array, s: Array) -> Array:
        rows = contiguous(gradient).reshape(-1, self.features)
        input_grad, product = xp.empty_like(rows), xp.empty_like(rows)
        on_rows(_normalise_back, (input_grad, product), rows, n, s, self.w.data)
        self.w.grad += product.sum(axis=0, dtype="float64")
        if self.b is not None:
            self.b.grad += rows.sum(axis=0, dtype="float64")
        return input_grad.reshape(gradient.shape)

    def backward(self, gradient: Array) -> Array:
        n, s = self.recall(gradient)
        if rows_fit(self.features, gradient.size):
            return self._back_in_one_kernel(gradient, n, s)
        shape, gradient = gradient.shape, gradient.reshape(-1, self.features)
        n, s = n.reshape(gradient.shape), s.reshape(-1, 1)
        w_grad, b_grad = xp.zeros(self.features), xp.zeros(self.features)  # float64
        input_grad, share = xp.empty_like(gradient), (self.w.data / self.features).reshape(-1, 1)
        for piece in pieces(gradient):
            grad, normed, some = gradient[piece], n[piece], input_grad[piece]
            if self.b is not None:
                b_grad += sum_rows(grad)
            product = grad * normed
            w_grad += sum_rows(product)
            # As in the plain layer: g = gradient w, less its mean, and less n times the mean of g n.
            xp.multiply(grad, self.w.data, out=some)
            some -= grad.dot(share)
            xp.multiply(normed, product.dot(share), out=product)
            some -= product
            some *= s[piece]
        self.w.grad += w_grad
        if self.b is not None:
            self.b.grad += b_grad
        return input_grad.reshape(shape)


def _normalise(x: Array, w: Array, b: Array | None, eps: float) -> tuple[Array, Array, Array]:
    """The plain layer's output, n and s."""
    x = as_float64(x)  # in float32, the square of 1e20 would overflow
    x = x - row_mean(x)
    s = 1 / xp.sqrt(row_mean(x * x) + eps)
    n = x * s
    return w * n if b is None else w * n + b, n, s


def _normalise_back(gradient: Array, n: Array, s: Array, w: Array) -> tuple[Array, Array]:
    """The gradient of the plain layer's input, and gradient n, whose sum over all rows is the gradient of w."""
    g = gradient * w
    return s * (g - row_mean(g) - n * row_mean(g * n)), gradient * n


def _sum_in_float64(rows: Array) -> Array:
    """The sum over the first axis, exact enough that the mean of equal rows is the row."""
    total = xp.zeros(rows.shape[1])
    for piece in pieces(rows):
        total += xp.ones(len(rows[piece])).dot(rows[piece].astype("float64"))
    return total


def _sum_of_squares(rows: Array) -> Array:
    """The sum over the first axis of the squares, in float64 only where a square overflows, or on a GPU."""
    total = xp.zeros(rows.shape[1])
    if xp.device == "cpu":
        with numpy.errstate(over="ignore"):
            for piece in pieces(rows):
                total += sum_rows(rows[piece] * rows[piece])
        if numpy.isfinite(total).all():
            return total
    return _sum_in_float64(rows.astype("float64") ** 2)


TWINS: dict[type, type] = {
    regular.Dropout: Dropout, regular.BatchNorm: BatchNorm, regular.LayerNorm: LayerNorm,
}
