"""Layers that prevent memorisation and keep the numbers between layers at one scale: Dropout, BatchNorm.

Dropout sets a random part of its input to zero at each step, so that no number can rely on another one:

    training:    y = x * keep / (1 - p)       where keep is 0 with probability p, else 1
    evaluating:  y = x

With p = 0.5 and x = [3, 4], y is one of [0, 0], [6, 0], [0, 8] and [6, 8]: on average [3, 4].

BatchNorm gives each feature mean 0 and variance 1 over the batch, followed by a learned scale and shift. So the next
layer always receives numbers of one scale, whatever the earlier layers are learning.

    layer = Dropout(0.1)
    with evaluating(layer): ...              # passes its input on unchanged

Read next: `attention.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, float_type, xp
from scratch.checks import ScratchError, expect
from scratch.initial import uniform, zeros
from scratch.layer import Layer, Parameter


class Dropout(Layer):
    """While training, each number becomes zero with probability p, and the others grow to make up for it.

        y = x * keep / (1 - p)

    Shapes: any -> the same.
    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
    Differs: from Grus, who scales by (1 - p) when not training; scaling while training leaves nothing to do at
        prediction. PyTorch does the same.
    Raises: ScratchError unless 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ScratchError(f"Dropout: expected a probability 0 <= p < 1, got {p}")
        self.p = p

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        if not self.train:
            self.remember(input.shape)  # which forgets an earlier forward
            return input
        scale = (self.draw(input.shape) >= self.p).astype(float_type()) / (1 - self.p)
        self.remember(input.shape, scale)
        return input * scale

    def draw(self, shape: tuple[int, ...]) -> Array:
        """Random numbers from 0 to below 1, one for each number of the input. (The engine draws those of its part.)"""
        return uniform(*shape)

    def backward(self, gradient: Array) -> Array:
        (scale,) = self.recall(gradient)
        # A number that became zero had no effect on the output; one that was scaled passes its gradient on scaled.
        return gradient * scale

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"


class BatchNorm(Layer):
    """Each feature with mean 0 and variance 1 over the batch, then a learned scale and shift.

        training:    y = w (x - mean) / sqrt(variance + epsilon) + b     mean and variance over all axes but the last
        evaluating:  the same with running means of both, so that an output does not depend on the rest of its batch

    epsilon keeps a constant feature from being divided by zero.

    Shapes: (..., num_features) -> the same.
    Parameters: w (num_features,), b (num_features,); and running_mean and running_variance (num_features,), which are
        saved with the weights although no gradient changes them.
    Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithms 1 and 2.
    Differs: `momentum` is the weight of the old running value (Keras; in PyTorch, of the new one). As in PyTorch, the
        running variance divides by n - 1, the batch's own variance by n.
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
        rows = input.reshape(-1, self.num_features)  # (n, num_features)
        mean, variance, n = self.running_mean.data, self.running_variance.data, len(rows)
        if self.train:
            expect(n > 1, self, "more than one row to train on", input)
            mean = rows.mean(axis=0)
            variance = ((rows - mean) ** 2).mean(axis=0)
            for running, latest in ((self.running_mean, mean), (self.running_variance, variance * (n / (n - 1)))):
                running.data *= self.momentum
                running.data += (1 - self.momentum) * latest
        scale = 1 / xp.sqrt(variance + self.epsilon)
        normed = (rows - mean) * scale
        self.remember(input.shape, normed, scale)
        return (self.w.data * normed + self.b.data).reshape(input.shape)

    def backward(self, gradient: Array) -> Array:
        normed, scale = self.recall(gradient)
        rows, n = gradient.reshape(normed.shape), len(normed)
        # y = w normed + b, in every row.
        b_grad, w_grad = rows.sum(axis=0), (rows * normed).sum(axis=0)
        self.b.grad += b_grad
        self.w.grad += w_grad
        # Changing one row changes the mean and the variance too. A change that all rows share changes only the mean,
        # and one proportional to their distance from it only the variance; neither changes y (but for epsilon). So both
        # parts are subtracted from the gradient. What is left changes neither, and there the slope is w * scale.
        input_grad = self.w.data * scale * (rows - b_grad / n - normed * (w_grad / n))
        return input_grad.reshape(gradient.shape)

    def __repr__(self) -> str:
        return f"BatchNorm({self.num_features})"
