"""Exercises on `averages.py`."""

from typing import Any

from scratch.averages import Lookahead
from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.optimizers import GradientDescent

START = """
import numpy
"""


@exercise
def by_hand(answer: Any) -> None:
    """The optimizer is Lookahead(GradientDescent(1), every=2, decay=0.5). A weight starts at 0, and its gradient is -1
    in every step. What is the weight after each of the first four steps?

    Start:

        by_hand = [0, 0, 0, 0]
    """
    layer, optimizer, right = Linear(1, 1, bias=False), Lookahead(GradientDescent(1), every=2, decay=0.5), []
    layer.w.data[:] = 0
    for _ in range(4):
        layer.w.grad[:] = -1
        optimizer.step(layer)
        right.append(layer.w.data[0, 0])
    if list(answer) == [1, 2, 3, 4]:
        raise Wrong("these are the weights of GradientDescent alone; every second step must end with the slow weights")
    if list(answer) == [1, 1, 2, 1.5]:
        raise Wrong("the slow weight persists: at step 4 it is 1, not 0 as at the start")
    expect_equal(answer, right, "the list of the weights")
