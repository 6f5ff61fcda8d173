"""Answers to the exercises on functions.py."""

import numpy

by_hand = {
    # The exponentials of the scores are 1, 2 and 5; their sum is 8.
    "softmax": [1 / 8, 2 / 8, 5 / 8],
    # At a temperature of 0.5 each weight is squared: 1, 4 and 25, with the sum 30.
    "temperature": [1 / 30, 4 / 30, 25 / 30],
    # The smallest weight is left out; 2 and 5 remain.
    "top_k": [0, 2 / 7, 5 / 7],
}


def log_sum_exp(z):
    # exp(z) = exp(largest) * exp(z - largest), so the logarithm of the sum is `largest` plus that of the smaller sum.
    largest = z.max(axis=-1, keepdims=True)
    return largest[..., 0] + numpy.log(numpy.exp(z - largest).sum(axis=-1))


def min_p(probabilities, p):
    return numpy.where(probabilities >= p * probabilities.max(), probabilities, 0)
