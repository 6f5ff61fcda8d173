"""The likeliest wrong answers to the exercises on layers, activations, losses and gradient checks are told why."""

import copy
import math

import numpy
import pytest

from scratch import Layer, Linear
from scratch.exercises.checking import verdict
from scratch.losses import Loss


class Shortcut(Layer):
    """Residual: the direct path is missing in backward."""

    def __init__(self, f):
        self.f = f

    def forward(self, input):
        return input + self.f.forward(input)

    def backward(self, gradient):
        return self.f.backward(gradient)


class Bypassed(Shortcut):
    """Residual: f is missing in backward."""

    def backward(self, gradient):
        return gradient


class InPlace(Shortcut):
    """Residual: changes the caller's array."""

    def forward(self, input):
        output = self.f.forward(input)
        input += output
        return input


class GradientInPlace(Shortcut):
    """Residual: changes the gradient that it is given."""

    def backward(self, gradient):
        gradient += self.f.backward(gradient)
        return gradient


class Hidden(Shortcut):
    """Residual: f is where its Parameters are not found."""

    def __init__(self, f):
        self.hidden = lambda: f

    f = property(lambda self: self.hidden())


class Same(Layer):
    """Twice: one object in two places."""

    def __init__(self, f):
        self.first = self.second = f

    def forward(self, input):
        return self.second.forward(self.first.forward(input))

    def backward(self, gradient):
        return self.first.backward(self.second.backward(gradient))


class Copied(Same):
    """Twice: the second place has weights of its own."""

    def __init__(self, f):
        self.first, self.second = f, copy.deepcopy(f)


class Dead(Layer):
    """LeakyRelu: backward is that of Relu."""

    def __init__(self, slope=0.1):
        self.slope = slope

    def forward(self, input):
        self.remember(input.shape, input > 0)
        return numpy.where(input > 0, input, self.slope * input)

    def backward(self, gradient):
        return gradient * self.recall(gradient)[0]


class Subtracted(Dead):
    """LeakyRelu: the sign of the slope is wrong."""

    def forward(self, input):
        self.remember(input.shape, input > 0)
        return numpy.where(input > 0, input, -self.slope * input)


def swapped(first, second):
    """merged: the product in the wrong order."""
    layer = Linear(first.input_dim, second.output_dim)
    layer.w.data[:] = first.w.data @ second.w.data
    return layer


def merged(bias):
    """merged: with the right weights, and a bias by a rule."""

    def answer(first, second):
        layer = Linear(first.input_dim, second.output_dim)
        layer.w.data[:], layer.b.data[:] = second.w.data @ first.w.data, bias(first, second)
        return layer

    return answer


class Summed(Loss):
    """AbsoluteError: the gradient of the sum, not the mean."""

    def loss(self, predicted, actual, mask=None):
        return float(abs(predicted - actual).mean())

    def gradient(self, predicted, actual, mask=None):
        return numpy.sign(predicted - actual)


class Uphill(Summed):
    """AbsoluteError: the wrong sign."""

    def gradient(self, predicted, actual, mask=None):
        return numpy.sign(actual - predicted) / actual.size


class Total(Summed):
    """AbsoluteError: the loss is a sum."""

    def loss(self, predicted, actual, mask=None):
        return float(abs(predicted - actual).sum())


class Numerator(Layer):
    """Share: forgets that every output depends on the sum."""

    def forward(self, input):
        total = input.sum(axis=-1, keepdims=True)
        self.remember(input.shape, input / total, total)
        return input / total

    def backward(self, gradient):
        return gradient / self.recall(gradient)[1]


class Undivided(Numerator):
    """Share: the second term is not divided by the sum."""

    def backward(self, gradient):
        output, total = self.recall(gradient)
        return gradient / total - (gradient * output).sum(axis=-1, keepdims=True)


class Right(Layer):
    """Undetected: the backward pass has no fault."""

    def forward(self, input):
        self.remember(input.shape)
        return 2 * input

    def backward(self, gradient):
        self.recall(gradient)
        return 2 * gradient


class Blatant(Right):
    """Undetected: the fault shows for any input."""

    def backward(self, gradient):
        return 3 * super().backward(gradient)


def ratio(s, K):
    """best_gap: forgets that the true class gets s / K too."""
    return math.log((1 - s) / (s / K))


FOUND = "the gradient of input 0 differs from central differences by"


@pytest.mark.parametrize(("name", "answer", "words"), [
    ("layer.by_hand", {"y": 6, "w2": 24, "h": 36, "w1": 18, "x": 144}, "dL/dy is 6, expected 12"),
    ("layer.by_hand", {"y": 12, "w2": 36, "h": 24, "w1": 18, "x": 144}, "dL/dw2 is 36, expected 24"),
    ("layer.Residual", Shortcut, FOUND),
    ("layer.Residual", Bypassed, FOUND),
    ("layer.Residual", InPlace, "forward changes its input, which belongs to the caller"),
    ("layer.Residual", GradientInPlace, "backward changes its argument"),
    ("layer.Residual", Hidden, "is f stored as an attribute?"),
    ("layer.Twice", Same, "add a sibling()"),
    ("layer.Twice", Copied, "Twice(f) has 4 Parameters and f has 2: both places must use the same ones"),
    ("activations.by_hand", {"sigmoid": 8}, "the gradient of sigmoid's input is 8, expected 1.6"),
    ("activations.by_hand", {"sigmoid": 1.6, "tanh": 0.8}, "the gradient of tanh's input is 0.8, expected 1.28"),
    ("activations.by_hand", {"sigmoid": 1.6, "tanh": 1.28, "relu": [5, 0], "softmax": [0.25, 0, 0]},
     "the gradient of softmax's input is [0.25, 0.  , 0.  ], expected [ 0.25, -0.15, -0.1 ]"),
    ("activations.merged", swapped, "ValueError"),
    ("activations.merged", merged(lambda first, second: second.b.data), "for the input [0, 0], which is the bias, is"),
    ("activations.merged", merged(lambda first, second: 0), "for the input [0, 0], which is the bias, is"),
    ("activations.LeakyRelu", Dead, FOUND),
    ("activations.LeakyRelu", Subtracted, "LeakyRelu(0.2) of [3, -3] is [3. , 0.6], expected [ 3. , -0.6]"),
    ("losses.by_hand", {"loss": 0.25, "gradient": [0.5, -0.75, 0.25]}, "to three decimals, is 0.25, expected 1.386"),
    ("losses.by_hand", {"loss": 1.386, "gradient": [-0.5, 0.75, -0.25]}, "expected [ 0.5 , -0.75,  0.25]"),
    ("losses.AbsoluteError", Summed, "the gradient is"),
    ("losses.AbsoluteError", Uphill, "the gradient has the wrong sign"),
    ("losses.AbsoluteError", Total, "the loss of [[1, -2], [3, 0]] against zeros is 6."),
    ("losses.best_gap", ratio, "for s = 0.2 and K = 4 your gap is 2.773, but a larger gap has a lower loss"),
    ("losses.best_gap", lambda s, K: 10.0, "but a smaller gap has a lower loss"),
    ("gradient_check.by_hand", {"formula": 12, "central": 24.02, "forward": 12.61}, "the value of 'central' is 24.02"),
    ("gradient_check.by_hand", {"formula": 6, "central": 12.01, "forward": 12.61}, "the value of 'formula' is 6"),
    ("gradient_check.Share", Numerator, FOUND),
    ("gradient_check.Share", Undivided, FOUND),
    ("gradient_check.Undetected", Right, "nothing is wrong for four random rows either"),
    ("gradient_check.Undetected", Blatant, "the input [[1, 2]] is enough to detect the fault"),
])
def test_a_wrong_answer_is_told_what_is_wrong(name, answer, words):
    assert words in verdict(name, answer)
