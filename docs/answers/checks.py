"""Answers to the exercises on checks.py."""

import numpy

from scratch import Layer
from scratch.backend import as_floats
from scratch.checks import expect


class Last(Layer):
    def __init__(self, features):
        self.features = features

    def forward(self, input):
        input = as_floats(input)
        right = input.ndim == 3 and input.shape[-1] == self.features
        # {features} is replaced by self.features, and the message begins with the call that makes such a layer.
        expect(right, self, "input (N, T, {features})", input, "is the axis of the steps missing?")
        output = input[:, -1]
        self.remember(output.shape, input.shape)
        return output

    def backward(self, gradient):
        (shape,) = self.recall(gradient)
        result = numpy.zeros(shape)
        result[:, -1] = gradient
        return result
