"""Layers that reduce overfitting and keep activations at one scale: Dropout, BatchNorm, LayerNorm.

Dropout sets a random part of its input to zero at each training step, so that no unit can rely on another:

    training:    y = x * keep / (1 - p)       where keep is 0 with probability p, else 1
    evaluating:  y = x

With p = 0.5 and x = [3, 4], y is one of [0, 0], [6, 0], [0, 8] and [6, 8]: on average [3, 4].

BatchNorm normalises each feature to mean 0 and variance 1 over the batch, then applies a learned scale and shift. So
the scale of the next layer's input does not drift while the earlier layers learn. LayerNorm does so with each row, over
its features: [1, 1, 1, 5], of mean 2 and variance 3, becomes [-0.58, -0.58, -0.58, 1.73].

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
    """In training, each element is set to zero with probability p, and the rest are scaled up to preserve the mean.

        y = x * keep / (1 - p)

    Shapes: any -> the same.
    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
    Differs: Grus scales by (1 - p) when not training. Scaling in training, as PyTorch does, leaves nothing to do at
        prediction.
    Raises: ScratchError unless 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ScratchError(f"Dropout: expected a probability 0 <= p < 1, got {p}")
        self.p = p

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        if not self.train:
            self.remember(input.shape)  # clears the memory of an earlier forward
            return input
        scale = (self.draw(input.shape) >= self.p).astype(float_type()) / (1 - self.p)
        self.remember(input.shape, scale)
        return input * scale

    def draw(self, shape: tuple[int, ...]) -> Array:
        """Uniform random numbers in [0, 1), one per input element. (The fast Dropout overrides this.)"""
        return uniform(*shape)

    def backward(self, gradient: Array) -> Array:
        (scale,) = self.recall(gradient)
        # A number set to zero had no effect on the output; the gradient of a scaled number is scaled likewise.
        return gradient * scale


class BatchNorm(Layer):
    """Normalises each feature to mean 0 and variance 1 over the batch, then applies a learned scale and shift.

        training:    y = w (x - mean) / sqrt(variance + epsilon) + b     mean and variance over all axes but the last
        evaluating:  the same with running averages of both, so that no output depends on the rest of its batch

    epsilon prevents a division by zero for a constant feature.

    Shapes: (..., num_features) -> the same.
    Parameters: w (num_features,), b (num_features,); and running_mean and running_variance (num_features,), which are
        saved with the weights, though no gradient changes them.
    Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithms 1 and 2.
    Differs: `momentum` is the weight of the old running value, as in Keras (in PyTorch, of the new). As in PyTorch, the
        running variance divides by n - 1, the batch's own variance by n.
    Raises: ScratchError for an input of the wrong width, or a training batch of a single row (y would be b).
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
            # In float32, a mean over many rows would lose precision, and the square of 1e20 would overflow.
            mean = rows.mean(axis=0, dtype="float64")
            variance = ((rows - mean) ** 2).mean(axis=0)
            for running, latest in ((self.running_mean, mean), (self.running_variance, variance * (n / (n - 1)))):
                running.data *= self.momentum
                running.data += (1 - self.momentum) * xp.minimum(latest, xp.finfo(rows.dtype).max)
        scale = 1 / xp.sqrt(variance + self.epsilon)
        normed = ((rows - mean) * scale).astype(rows.dtype)
        self.remember(input.shape, normed, scale.astype(rows.dtype))
        return (self.w.data * normed + self.b.data).reshape(input.shape)

    def backward(self, gradient: Array) -> Array:
        normed, scale = self.recall(gradient)
        rows, n = gradient.reshape(normed.shape), len(normed)
        # y = w normed + b, in every row.
        b_grad, w_grad = rows.sum(axis=0, dtype="float64"), (rows * normed).sum(axis=0, dtype="float64")
        self.b.grad += b_grad
        self.w.grad += w_grad
        # A row also affects y through the mean and the variance. Shifting all rows equally changes only the mean, and
        # stretching them about the mean only the variance; y stays the same (apart from epsilon). So the gradient's
        # components along both directions, all ones and `normed` (each of squared length n), are subtracted. A change
        # orthogonal to both leaves mean and variance as they are, so its slope is w * scale.
        input_grad = self.w.data * scale * (rows - b_grad / n - normed * (w_grad / n))
        return input_grad.astype(gradient.dtype).reshape(gradient.shape)


class LayerNorm(Layer):
    """Normalises each row to mean 0 and variance 1, then applies a learned scale and shift.

        y = w n + b,    n = (x - mean) s,    s = 1 / sqrt(variance + eps)      mean and variance over the last axis

    BatchNorm normalises a feature over the batch; here each row is normalised over its own features, so no row depends
    on another, and training and evaluating are the same. eps prevents a division by zero for a constant row.

    Each x[j] of F features affects n[i] in three ways, and dn[i]/dx[j] is the sum of three terms:

        directly, if i = j:    s
        through the mean:      -s / F, since dmean/dx[j] = 1 / F
        through the variance:  -s n[i] n[j] / F, since dvariance/dx[j] = 2 (x[j] - mean) / F = 2 n[j] / (s F) and
                               ds/dvariance = -s^3 / 2; so ds/dx[j] = -s^2 n[j] / F, and x[i] - mean = n[i] / s

    With g[i] = dL/dn[i] = gradient[i] w[i], summing g[i] dn[i]/dx[j] over i gives the gradient of x:

        dL/dx[j] = s (g[j] - mean of g - n[j] * mean of g n)

    Shapes: (..., features) -> the same.
    Parameters: w (features,), b (features,), omitted with `bias=False`.
    Source: Ba et al. 2016, https://arxiv.org/abs/1607.06450, section 3.
    Raises: ScratchError for an input of the wrong width.
    """

    def __init__(self, features: int, eps: float = 1e-5, bias: bool = True) -> None:
        self.features, self.eps, self.bias = features, eps, bias
        self.w = Parameter(zeros(features) + 1)
        self.b = Parameter(zeros(features)) if bias else None

    def forward(self, input: Any) -> Array:
        x = as_floats(input)
        expect(x.shape[-1:] == (self.features,), self, "input (..., {features})", x)
        # In float64: in float32, the square of 1e20 would overflow.
        mean = x.mean(axis=-1, keepdims=True, dtype="float64")
        variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        s = 1 / xp.sqrt(variance + self.eps)  # (..., 1)
        n = ((x - mean) * s).astype(x.dtype)
        output = self.w.data * n
        if self.b is not None:
            output = output + self.b.data
        self.remember(output.shape, n, s.astype(x.dtype))
        return output

    def backward(self, gradient: Array) -> Array:
        n, s = self.recall(gradient)
        # y = w n + b, in every row.
        if self.b is not None:
            self.b.grad += gradient.reshape(-1, self.features).sum(axis=0, dtype="float64")
        self.w.grad += (gradient * n).reshape(-1, self.features).sum(axis=0, dtype="float64")
        # The three terms derived above: x affects n directly, through the mean and through the variance.
        g = gradient * self.w.data
        return s * (g - g.mean(axis=-1, keepdims=True) - n * (g * n).mean(axis=-1, keepdims=True))
