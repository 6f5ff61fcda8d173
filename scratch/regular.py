"""Layers that keep a network from learning its examples by heart, and its numbers in bounds: Dropout, BatchNorm.

Dropout switches off a random part of its input at each step, so that no unit can rely on another being there:

    training:   y = x * keep / (1 - p)       where keep is 0 with chance p, else 1
    otherwise:  y = x

BatchNorm gives each feature mean 0 and variance 1 over the batch, and then a scale and a shift that are learned: so
the layer after it always sees numbers of one size, whatever the layers before it are learning.

    layer = Dropout(0.1)
    with evaluating(layer): ...              # lets everything through

Read next: `losses.py`.
"""

from typing import Any

from scratch.backend import Array, ScratchError, as_floats, expect, float_type, pieces, xp
from scratch.initial import uniform, zeros
from scratch.layer import Layer, Parameter, batch


class Dropout(Layer):
    """While training, each number becomes zero with chance p, and the others grow to make up for it.

        y = x * keep / (1 - p)

    Shapes: any -> the same.
    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
    Differs: from the book, which scales by (1 - p) when not training; scaling while training instead leaves
        nothing to do at prediction. PyTorch does the same.
    Raises: ScratchError unless 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ScratchError(f"Dropout: expected a chance 0 <= p < 1, got {p}")
        self.p = p

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        if not self.train:
            self.remember(input.shape)
            return input
        scale = (uniform(*input.shape) >= self.p).astype(float_type()) / (1 - self.p)
        self.remember(input.shape, scale)
        return input * scale

    def backward(self, gradient: Array) -> Array:
        (scale,) = self.recall(gradient)
        # What was switched off had no part in the output; what was scaled up passes its gradient scaled up.
        return gradient * scale

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"


class BatchNorm(Layer):
    """Each feature with mean 0 and variance 1 over the batch; then a scale and a shift that are learned.

        training:   y = w (x - mean) / sqrt(variance + epsilon) + b     mean and variance over all axes but the last
        otherwise:  the same, with the running mean and variance of the training batches

    Shapes: (..., num_features) -> the same.
    Parameters: w (num_features,), b (num_features,); and, for they belong to the weights though no gradient moves
        them, running_mean and running_variance (num_features,).
    Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithms 1 and 2.
    Differs: `momentum` is the weight of what was there (Keras; PyTorch's is that of what comes). As in PyTorch, the
        running variance is of n - 1, what the batch is divided by is of n.
    Raises: ScratchError for an input of another width, or a training batch of a single row, which has no variance.
    """

    def __init__(self, num_features: int, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        self.num_features, self.momentum, self.epsilon = num_features, momentum, epsilon
        self.w, self.b = Parameter(zeros(num_features) + 1), Parameter(zeros(num_features))
        self.running_mean = Parameter(zeros(num_features), fixed=True)
        self.running_variance = Parameter(zeros(num_features) + 1, fixed=True)

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.shape[-1:] == (self.num_features,), self, "input (..., {num_features})", input)
        rows = input.reshape(-1, self.num_features)
        if not self.train:
            self.remember(input.shape)
            scale = self.w.data / xp.sqrt(self.running_variance.data + self.epsilon)
            shift = self.b.data - self.running_mean.data * scale
            output = rows * scale
            output += shift
            return output.reshape(input.shape)
        whole, normed, output = batch.get(), xp.empty_like(rows), xp.empty_like(rows)
        num_rows = whole.sum(len(rows))
        expect(num_rows > 1, self, "more than one row to train on", input)
        total, squares = xp.zeros_like(self.b.data), xp.zeros_like(self.b.data)
        for piece in pieces(rows):
            total += rows[piece].sum(axis=0)
        mean = whole.sum(total) / num_rows
        for piece in pieces(rows):
            centred = normed[piece]
            xp.subtract(rows[piece], mean, out=centred)
            squares += (centred * centred).sum(axis=0)
        variance = whole.sum(squares) / num_rows
        if whole.part == 0:  # the running figures are shared by all parts
            self._follow(self.running_mean.data, mean)
            self._follow(self.running_variance.data, variance * (num_rows / (num_rows - 1)))
        scale = 1 / xp.sqrt(variance + self.epsilon)
        for piece in pieces(rows):
            normed[piece] *= scale
            xp.multiply(normed[piece], self.w.data, out=output[piece])
            output[piece] += self.b.data
        self.remember(input.shape, normed, scale, num_rows)
        return output.reshape(input.shape)

    def backward(self, gradient: Array) -> Array:
        normed, scale, num_rows = self.recall(gradient)
        rows = gradient.reshape(-1, self.num_features)
        # y = w normed + b, for every row.
        b_grad, w_grad = xp.zeros_like(self.b.data), xp.zeros_like(self.w.data)
        for piece in pieces(rows):
            b_grad += rows[piece].sum(axis=0)
            w_grad += (rows[piece] * normed[piece]).sum(axis=0)
        self.b.grad += b_grad
        self.w.grad += w_grad
        # To move one row moves the mean and the variance too. What all rows have in common moves the mean alone; what
        # grows with their distance from it the variance alone; and neither changes y. So both are taken out.
        b_grad, w_grad = batch.get().sum(xp.stack([b_grad, w_grad]))
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
        running += (1 - self.momentum) * latest

    def __repr__(self) -> str:
        return f"BatchNorm({self.num_features})"
