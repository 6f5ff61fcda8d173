"""Exercises on `gradient_check.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import TOLERANCE, Wrong, exercise, expect_equal, expect_gradients
from scratch.gradient_check import gradient_errors
from scratch.initial import generator

START = """
import numpy

from scratch import Layer
"""


@exercise
def by_hand(answer: Any) -> None:
    """Let L(x) = x^3, x = 2 and the step 0.1. Work out the derivative by the formula, then as measured by the central
    difference, and by the forward difference, (L(x + step) - L(x)) / step. (2.1^3 is 9.261 and 1.9^3 is 6.859.)

    Start:

        by_hand = {"formula": 0, "central": 0, "forward": 0}
    """
    for name, expected in {"formula": 12, "central": 12.01, "forward": 12.61}.items():
        expect_equal(answer[name], expected, f"the value of {name!r}")


@exercise
def Share(answer: Any) -> None:
    """This layer divides each row by its sum: [1, 3] becomes [0.25, 0.75]. Its backward pass is wrong. Correct it.

    Start:

        class Share(Layer):
            def forward(self, input):
                total = input.sum(axis=-1, keepdims=True)
                output = input / total
                self.remember(output.shape, output.copy(), total)
                return output

            def backward(self, gradient):
                output, total = self.recall(gradient)
                return gradient / total
    """
    layer = answer()
    expect_equal(layer.forward(numpy.array([[1.0, 3], [2, 2]])), [[0.25, 0.75], [0.5, 0.5]], "the output")
    expect_gradients(layer, generator().uniform(1, 2, size=(4, 3)))


@exercise
def Undetected(answer: Any) -> None:
    """A gradient check sees only the inputs that it is given. Write a layer without Parameters whose backward pass is
    wrong, but passes `gradient_errors(Undetected(), numpy.array([[1.0, 2.0]]))`. With four rows of random numbers of
    both signs, the check must find the fault.

    Start:

        class Undetected(Layer):
            def forward(self, input):
                raise NotImplementedError

            def backward(self, gradient):
                raise NotImplementedError
    """
    few = max(gradient_errors(answer(), numpy.array([[1.0, 2.0]])).values())
    if few > TOLERANCE:
        raise Wrong(f"the input [[1, 2]] is enough to detect the fault: the error is {few:.2g}")
    if max(gradient_errors(answer(), generator().standard_normal((4, 2))).values()) < TOLERANCE:
        raise Wrong("nothing is wrong for four random rows either: this backward pass may be right")
