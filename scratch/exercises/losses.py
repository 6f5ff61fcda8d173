"""Exercises on `losses.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.gradient_check import numerical_gradient
from scratch.initial import generator
from scratch.losses import SoftmaxCrossEntropy

START = """
import math

import numpy

from scratch.losses import Loss
"""


@exercise
def by_hand(answer: Any) -> None:
    """The softmax of one row of scores is [0.5, 0.25, 0.25], and the truth is id 1, the second class. Work out on
    paper the cross-entropy in nats, to three decimals, and the gradient of the three scores. (ln 2 is 0.693.)

    Start:

        by_hand = {"loss": 0, "gradient": [0, 0, 0]}
    """
    expect_equal(numpy.round(answer["loss"], 3), 1.386, "the loss, to three decimals,")
    expect_equal(answer["gradient"], [0.5, -0.75, 0.25], "the gradient")


@exercise
def AbsoluteError(answer: Any) -> None:
    """A single error of 100 adds 10,000 to a sum of squares, so one wrong number in the data can outweigh all others.
    Write the mean absolute error, the mean over all numbers of |predicted - actual|, with its gradient. You may
    ignore `mask`.

    Start:

        class AbsoluteError(Loss):
            def loss(self, predicted, actual, mask=None):
                raise NotImplementedError  # a Python float

            def gradient(self, predicted, actual, mask=None):
                raise NotImplementedError  # an array of the shape of predicted
    """
    own, zero = answer(), numpy.zeros((2, 2))
    expect_equal(own.loss(numpy.array([[1.0, -2], [3, 0]]), zero), 1.5, "the loss of [[1, -2], [3, 0]] against zeros")
    predicted, actual = generator().standard_normal((2, 4, 3))
    measured = numerical_gradient(lambda: own.loss(predicted, actual), predicted)
    found = numpy.asarray(own.gradient(predicted, actual))
    if found.shape == measured.shape and abs(found + measured).max() < 1e-6:
        raise Wrong("the gradient has the wrong sign: where predicted is too large, a larger one raises the loss")
    expect_equal(found, measured, "the gradient")


@exercise
def best_gap(answer: Any) -> None:
    """With label smoothing s and K classes, the truth of a row is 1 - s + s / K for its class, and s / K for every
    other. The loss is smallest where the softmax of the scores equals the truth. By how much is the score of the
    true class then higher than the others? Write the formula as a function of s and K.

    Start:

        def best_gap(s, K):
            return 0.0
    """
    for s, K in ((0.2, 4), (0.1, 10), (0.5, 2)):
        gap = numpy.float64(answer(s, K))
        scores = numpy.array([[gap] + [0.0] * (K - 1)])
        slope = SoftmaxCrossEntropy(label_smoothing=s).gradient(scores, [0])[0, 0]
        if not abs(slope) < 1e-6:
            direction = "larger" if slope < 0 else "smaller"
            raise Wrong(f"for s = {s} and K = {K} your gap is {gap:.4g}, but a {direction} gap has a lower loss")
