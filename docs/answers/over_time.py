"""Answers to the exercises on over_time.py."""

import numpy

from scratch import Layer, softmax

# There are three real steps. Each has the factor 1/3 in the mean; padding has the factor 0.
by_hand = {"y": (2 + 6 + 4) / 3, "x": [9 / 3, 9 / 3, 9 / 3, 0, 0]}


class SmoothMaxOverTime(Layer):
    def forward(self, input):
        # log sum exp(x) = m + log sum exp(x - m), for any m; with the largest x as m, no exp is above 1.
        m = input.max(axis=1, keepdims=True)
        output = (m + numpy.log(numpy.exp(input - m).sum(axis=1, keepdims=True)))[:, 0]
        # softmax is over the last axis, so the steps are moved there.
        self.remember(output.shape, softmax(input.swapaxes(1, 2)).swapaxes(1, 2))
        return output

    def backward(self, gradient):
        (shares,) = self.recall(gradient)
        # The shares of the steps sum to 1, and the largest number has the largest share of the gradient.
        return shares * gradient[:, None]
