"""The fast twins of the pools: windows compared place by place, without an array of all windows."""

from typing import Any

from scratch import over_time, pooling
from scratch.backend import Array, as_floats, xp
from scratch.checks import expect
from scratch.fast.arrays import as_mask, pieces
from scratch.fast.windows import side_by_side, squares


class MaxPool1d(pooling.MaxPool1d):
    """As `pooling.MaxPool1d`."""

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= self.size, self, "sequences (N, T, C), T >= {size}", input)
        windows = side_by_side(input, self.size)
        output = windows[:, :, 0].copy()
        for k in range(1, self.size):
            xp.maximum(output, windows[:, :, k], out=output)
        self.remember(output.shape, input, output.copy())
        return output

    def backward(self, gradient: Array) -> Array:
        input, output = self.recall(gradient)
        input_grad = xp.zeros(input.shape, dtype=gradient.dtype)
        windows, grads = side_by_side(input, self.size), side_by_side(input_grad, self.size)
        waiting, nan = xp.ones(output.shape, dtype=bool), _may_have_nan(output)  # True until the largest has been found
        for k in range(self.size):
            found = _is_largest(windows[:, :, k], output, nan)
            found &= waiting
            xp.multiply(gradient, found, out=grads[:, :, k])
            waiting ^= found
        return input_grad


class MaxOverTime(over_time.MaxOverTime):
    """As `over_time.MaxOverTime`."""

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


class MaxPool2d(pooling.MaxPool2d):
    """As `pooling.MaxPool2d`."""

    def forward(self, input: Any) -> Array:
        input = _images(self, input)
        output = _empty_output(input, self.size)
        for piece in pieces(input):
            first, *others = squares(input[piece], self.size)
            largest = output[piece]
            largest[...] = first
            for other in others:
                xp.maximum(largest, other, out=largest)
        self.remember(output.shape, input, output.copy())
        return output

    def backward(self, gradient: Array) -> Array:
        input, output = self.recall(gradient)
        input_grad, nan = xp.zeros(input.shape, dtype=gradient.dtype), _may_have_nan(output)
        for piece in pieces(input):
            waiting = xp.ones(output[piece].shape, dtype=bool)  # True until the largest has been found
            for x, grad in zip(squares(input[piece], self.size), squares(input_grad[piece], self.size), strict=True):
                found = _is_largest(x, output[piece], nan)
                found &= waiting
                xp.multiply(gradient[piece], found, out=grad)
                waiting ^= found
        return input_grad


class AveragePool2d(pooling.AveragePool2d):
    """As `pooling.AveragePool2d`."""

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


def _may_have_nan(output: Array) -> bool:
    return xp.device != "cpu" or bool((output != output).any())  # to wait for a GPU's answer would take longer


def _is_largest(x: Array, output: Array, nan: bool) -> Array:
    """Where x is the largest of its window. A NaN is, and the only one that equals nothing."""
    return (x == output) | (x != x) if nan else x == output


def _images(pool: Any, input: Any) -> Array:
    input = as_floats(input)
    right = input.ndim == 4 and min(input.shape[1:3]) >= pool.size
    expect(right, pool, "images (N, H, W, C), H and W >= {size}", input)
    return input


def _empty_output(input: Array, size: int) -> Array:
    N, H, W, C = input.shape
    return xp.empty((N, H // size, W // size, C), dtype=input.dtype)


TWINS: dict[type, type] = {
    pooling.MaxPool1d: MaxPool1d, over_time.MaxOverTime: MaxOverTime, pooling.MaxPool2d: MaxPool2d,
    pooling.AveragePool2d: AveragePool2d,
}
