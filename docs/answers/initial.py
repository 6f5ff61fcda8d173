"""Answers to the exercises on initial.py."""

import numpy

from scratch.initial import random_tensor

by_hand = {
    # An output sums 400 products of variance 0.1^2, so a layer multiplies the variance by 4, and
    # the standard deviation by 2.
    "output": 2**10,
    # 400 times the variance of the weights must be 1.
    "weights": 1 / 20,
}


def leaky(fan_out, fan_in, slope):
    # Half of the numbers are negative. Their squares are multiplied by slope^2, so (1 + slope^2) / 2 of the mean of
    # the squares is left; fan_in times the variance of the weights has to make up for that.
    return random_tensor(fan_out, fan_in) * numpy.sqrt(2 / ((1 + slope**2) * fan_in))


def tied(model):
    first, _, last = model.layers
    # The gradient of row o of first.w is a sum of inputs, each times the slope of unit o and times last.w[0, o]. So the
    # rows stay equal only if the numbers in last.w are equal too. These then get equal gradients, as they multiply
    # equal units.
    first.w.data[:] = first.w.data[0]
    last.w.data[:] = last.w.data[0, 0]
