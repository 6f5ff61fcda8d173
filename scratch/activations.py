"""Functions applied to every number alone: Sigmoid, Tanh, Relu, Gelu; and the two that look along the last axis.

Without them a stack of Linear layers would be one Linear layer. Most need only their own output to go back:

    sigmoid' = y (1 - y)        tanh' = 1 - y^2        relu' = 1 where y > 0, else 0

    model = Sequential([Linear(2, 3), Sigmoid(), Linear(3, 1), Sigmoid()])

Read next: `regular.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, pieces, xp
from scratch.functions import log_softmax, sigmoid, softmax, softmax_gradient
from scratch.layer import Layer


class Sigmoid(Layer):
    """Squeezes each number between 0 and 1.

        y = 1 / (1 + exp(-x))

    Shapes: any -> the same.
    """

    def forward(self, input: Any) -> Array:
        output = sigmoid(as_floats(input))
        self.remember(output.shape, output)
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return gradient * output * (1 - output)


class Tanh(Layer):
    """Squeezes each number between -1 and 1.

        y = tanh(x)

    Shapes: any -> the same.
    """

    def forward(self, input: Any) -> Array:
        output = xp.tanh(as_floats(input))
        self.remember(output.shape, output)
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return gradient * (1 - output * output)


class Relu(Layer):
    """Lets positive numbers through and stops the others.

        y = max(x, 0)

    Shapes: any -> the same.
    Note: at exactly 0, where there is no derivative, the gradient is 0, as in PyTorch.
    """

    def forward(self, input: Any) -> Array:
        output = xp.maximum(as_floats(input), 0)
        self.remember(output.shape, output)
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return gradient * (output > 0)


class Gelu(Layer):
    """A Relu without the kink: lets large positive numbers through, stops large negative ones, and between them bends.

        y = x * sigmoid(1.702 x)

    Shapes: any -> the same.
    Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415, section 2: their faster approximation.
    Differs: the GELU of PyTorch and Keras is x * P(a normal number is below x), which this is to 0.02.
    """

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        output, slope = xp.empty_like(input), xp.empty_like(input)
        for piece in pieces(input):
            x, y, s = input[piece], output[piece], slope[piece]
            xp.multiply(x, -1.702, out=s)
            xp.exp(s, out=s)
            s += 1
            xp.reciprocal(s, out=s)  # sigmoid(1.702 x)
            xp.multiply(x, s, out=y)
            # y' = s + x s', and s' = 1.702 s (1 - s).
            s += 1.702 * y * (1 - s)
        self.remember(output.shape, slope)
        return output

    def backward(self, gradient: Array) -> Array:
        (slope,) = self.recall(gradient)
        return gradient * slope


class Softmax(Layer):
    """Turns scores into probabilities over the last axis.

        y[k] = exp(x[k]) / sum over j of exp(x[j])

    Shapes: (..., K) -> (..., K).
    Note: to train a classifier leave it out and use SoftmaxCrossEntropy on the scores, which is exact where
        the logarithm of a tiny probability would not be.
    """

    def forward(self, input: Any) -> Array:
        output = softmax(as_floats(input))
        self.remember(output.shape, output)
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        return softmax_gradient(output, gradient)


class LogSoftmax(Layer):
    """The logarithm of the softmax over the last axis: log-probabilities.

        y[k] = x[k] - log(sum over j of exp(x[j]))

    Shapes: (..., K) -> (..., K). Goes with the loss NegativeLogLikelihood.
    """

    def forward(self, input: Any) -> Array:
        output = log_softmax(as_floats(input))
        self.remember(output.shape, output)
        return output

    def backward(self, gradient: Array) -> Array:
        (output,) = self.recall(gradient)
        # x[k] stands alone in y[k], and with weight softmax(x)[k] in the logarithm that every y[j] subtracts.
        return gradient - xp.exp(output) * gradient.sum(axis=-1, keepdims=True)
