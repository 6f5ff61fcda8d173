"""Answers to the exercises on regular.py."""

import numpy

from scratch import Dropout, Layer
from scratch.initial import uniform

# mean = 3, variance = 4, scale = 1/2. The gradient of x is the scale times (gradient - 4/4 - normed * -4/4):
# 1/2 * (4 - 1 - 1) = 1,   1/2 * (0 - 1 - 1) = -1,   1/2 * (0 - 1 + 1) = 0,   and 0 again.
by_hand = {"y": [-1, -1, 1, 1], "w": [4 * -1], "b": [4], "x": [1, -1, 0, 0]}


class ChannelDropout(Dropout):
    def draw(self, shape):
        N, _, C = shape
        # One number for each channel of each sequence; the axis of length 1 stands for all steps.
        return uniform(N, 1, C)


class RowNorm(Layer):
    def forward(self, input):
        mean, variance = (f(input, axis=1, keepdims=True) for f in (numpy.mean, numpy.var))  # (N, 1)
        scale = 1 / numpy.sqrt(variance + 1e-5)  # (N, 1)
        normed = (input - mean) * scale
        self.remember(normed.shape, normed, scale)
        return normed.copy()  # a copy, as the caller may overwrite the output, and backward needs normed

    def backward(self, gradient):
        normed, scale = self.recall(gradient)

        def mean(x):
            return x.mean(axis=1, keepdims=True)

        # As in BatchNorm, but the n numbers that share a mean and a variance are now the features of a row.
        return scale * (gradient - mean(gradient) - normed * mean(gradient * normed))
