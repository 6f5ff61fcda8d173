"""Elementwise functions: Sigmoid, Tanh, Relu, Gelu; and Softmax and LogSoftmax, which act along the last axis.

Without them, a stack of Linear layers could do no more than a single one. Most derivatives need only the output:

    sigmoid' = y (1 - y)        tanh' = 1 - y^2        relu' = 1 where y > 0, else 0

At x = 0, sigmoid gives y = 0.5 with slope 0.25, and tanh gives y = 0 with slope 1.

    model = Sequential([Linear(2, 3), Sigmoid(), Linear(3, 1), Sigmoid()])

Read next: `losses.py`.
"""

import math
from typing import Any

from scratch.backend import Array, as_floats, xp
from scratch.checks import expect
from scratch.functions import erf, log_softmax, sigmoid, softmax, softmax_gradient
from scratch.layer import Layer

TANH_SCALE = math.sqrt(2 / math.pi)  # in the tanh form of Gelu


class Sigmoid(Layer):
    """Squashes each number into the interval from 0 to 1.

        y = 1 / (1 + exp(-x))

    Shapes: any -> the same.
    """

    def forward(self, input: Any) -> Array:
        output = sigmoid(as_floats(input))
        self.remember(output.shape, output.copy())  # the caller may change what it is given
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return gradient * output * (1 - output)


class Tanh(Layer):
    """Squashes each number into the interval from -1 to 1.

        y = tanh(x)

    Shapes: any -> the same.
    """

    def forward(self, input: Any) -> Array:
        output = xp.tanh(as_floats(input))
        self.remember(output.shape, output.copy())
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return gradient * (1 - output * output)


class Relu(Layer):
    """Keeps positive numbers and replaces the others with zero.

        y = max(x, 0)

    Shapes: any -> the same.
    Note: at exactly 0, where there is no derivative, the gradient is 0, as in PyTorch.
    """

    def forward(self, input: Any) -> Array:
        output = xp.maximum(as_floats(input), 0)
        self.remember(output.shape, output.copy())
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return gradient * (output > 0)


class Gelu(Layer):
    """A smooth Relu: keeps large positive numbers, suppresses large negative ones, and has no kink at zero.

        y = x * p       where p is the probability that a standard normal variable is below x, in one of three forms:

        sigmoid:  p = sigmoid(1.702 x)
        tanh:     p = 0.5 tanh(sqrt(2 / pi) x (1 + 0.044715 x^2)) + 0.5
        exact:    p = 0.5 erf(x / sqrt(2)) + 0.5

    Shapes: any -> the same.
    Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2.
    Differs: `form` is "sigmoid" unless given, and then y is within 0.021 of the exact form, which is PyTorch's default.
        GPT-2 uses the tanh form, which is within 0.0005 of it.
    Raises: ScratchError for another form.
    """

    def __init__(self, form: str = "sigmoid") -> None:
        expect(form in ("sigmoid", "tanh", "exact"), "Gelu", "the form sigmoid, tanh or exact", form)
        self.form = form

    def forward(self, input: Any) -> Array:
        x = as_floats(input)
        if self.form == "sigmoid":
            p = 0.5 * xp.tanh(0.851 * x) + 0.5  # sigmoid(1.702 x); 1.702 x itself could overflow
            slope = 1.702 * p * (1 - p)  # sigmoid' = s (1 - s)
        else:
            z = xp.maximum(xp.minimum(x, 10), -10)  # beyond, p is 0 or 1, and x^3 may overflow
            if self.form == "tanh":
                p = 0.5 * xp.tanh(TANH_SCALE * z * (1 + 0.044715 * z**2)) + 0.5
                slope = 2 * p * (1 - p) * TANH_SCALE * (1 + 3 * 0.044715 * z**2)  # 0.5 tanh(u) + 0.5 = sigmoid(2 u)
            else:
                p = 0.5 * erf(z / math.sqrt(2)) + 0.5
                slope = xp.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)  # the density of the normal distribution
        self.remember(x.shape, x, p, slope)
        return x * p

    def backward(self, gradient: Array) -> Array:
        x, p, slope = self.recall(gradient)
        # y = x p is a product: y' = p + x p'.
        return gradient * (p + x * slope)


class Softmax(Layer):
    """Turns scores (any numbers; higher means likelier) into probabilities over the last axis.

        y[k] = exp(x[k]) / sum over j of exp(x[j])

    Shapes: (..., K) -> (..., K).
    Note: to train a classifier, omit this layer and apply SoftmaxCrossEntropy to the scores: that loss stays accurate
        where the logarithm of a tiny probability would not.
    """

    def forward(self, input: Any) -> Array:
        output = softmax(input)
        self.remember(output.shape, output.copy())
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return softmax_gradient(output, gradient)  # derived in `functions.py`


class LogSoftmax(Layer):
    """The logarithm of the softmax over the last axis: log-probabilities.

        y[k] = x[k] - log(sum over j of exp(x[j]))

    Shapes: (..., K) -> (..., K). Use it with the loss NegativeLogLikelihood.
    """

    def forward(self, input: Any) -> Array:
        output = log_softmax(input)
        self.remember(output.shape, output.copy())
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        # x[k] enters y[k] directly. It also enters every y[j] through the logarithm, with derivative -softmax(x)[k].
        return gradient - xp.exp(output) * gradient.sum(axis=-1, keepdims=True)
