"""Exercises on `initial.py`."""

import math
from typing import Any

import numpy

from scratch.activations import Tanh
from scratch.backend import to_host
from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.initial import random_tensor
from scratch.layer import Sequential
from scratch.losses import MSE
from scratch.optimizers import GradientDescent

START = """
import numpy

from scratch.initial import random_tensor
"""


@exercise
def by_hand(answer: Any) -> None:
    """Ten layers Linear(400, 400) follow one another, without activations. Their weights have the standard deviation
    0.1, and the input has the standard deviation 1. What is the standard deviation of the last output, and which
    standard deviation of the weights would have kept it at 1?

    Start:

        by_hand = {"output": 0, "weights": 0}
    """
    mistakes = {
        ("output", 4.0**10): "each layer multiplies the variance by 4; the question is about the standard deviation",
        ("output", 2.0): "2 is the standard deviation after one layer",
        ("output", 20.0): "the standard deviations multiply, 2 * 2 * ... * 2; they don't add up",
        ("weights", 1 / 400): "1 / 400 is the variance of such weights",
    }
    for name, right in {"output": 2.0**10, "weights": 1 / 20}.items():
        if explanation := mistakes.get((name, answer[name])):
            raise Wrong(f"{name}: {explanation}")
        expect_equal(answer[name], right, f"the standard deviation of the {name}")


@exercise
def leaky(answer: Any) -> None:
    """The leaky relu multiplies negative numbers by a small `slope`, where relu sets them to 0. Write the initial
    weights for a layer with it, normal numbers of shape (fan_out, fan_in). They keep the mean of the squares the same
    from layer to layer. With slope = 0 they are those of "he"; with slope = 1 nothing is lost, and their variance is
    1 / fan_in.

    Start:

        def leaky(fan_out, fan_in, slope):
            raise NotImplementedError  # random_tensor(fan_out, fan_in) has the standard deviation 1
    """
    fan_out, fan_in = 200, 400
    for slope in (0, 1, 0.5):
        found, variance = answer(fan_out, fan_in, slope), 2 / ((1 + slope**2) * fan_in)
        if found is None:
            raise Wrong("the weights are None: is there a `return`?")
        found = to_host(found)
        expect_equal(numpy.array(found.shape), (fan_out, fan_in), "the shape of leaky(200, 400, slope)")
        deviation = float(found.std())
        for wrong, explanation in {
            variance: "that is the variance; the numbers are multiplied by its square root",
            math.sqrt(variance * fan_in / fan_out): "that is for fan_out instead of fan_in",
            math.sqrt(2 / fan_in): "that is he's, which takes no account of the slope",
        }.items():
            if abs(wrong / math.sqrt(variance) - 1) > 0.03 and abs(deviation / wrong - 1) < 0.03:
                raise Wrong(f"with slope = {slope}, the standard deviation is {deviation:.3g}: {explanation}")
        if abs(deviation / math.sqrt(variance) - 1) > 0.03:
            kept = (0.5 + 0.5 * slope**2) * fan_in * deviation**2
            raise Wrong(f"with slope = {slope}, a layer multiplies the mean of the squares by {kept:.3g}, not by 1")


@exercise
def tied(answer: Any) -> None:
    """Break a network: give it equal weights instead of random ones. The function gets Sequential([Linear(2, 4),
    Tanh(), Linear(4, 1)]) and changes it so that the four hidden units stay equal to one another throughout the
    training, although the loss falls. Equal rows in the first layer are not enough. Why?

    Start:

        def tied(model):
            first, _, last = model.layers
            raise NotImplementedError  # change first.w.data and last.w.data in place
    """
    x = random_tensor(50, 2)
    y, loss, optimizer = x[:, :1] - x[:, 1:], MSE(), GradientDescent(0.1)
    first = Linear(2, 4)
    model = Sequential([first, Tanh(), Linear(4, 1)])
    answer(model)
    before = loss.loss(model.forward(x), y)
    for step in range(50):
        if abs(first.w.data - first.w.data[0]).max() > 1e-9:
            if step == 0:
                raise Wrong("the rows of first.w differ from the start: use `first.w.data[:] = ...`")
            raise Wrong(f"the hidden units differ after step {step}: which numbers does the gradient of a row contain?")
        model.backward(loss.gradient(model.forward(x), y))
        optimizer.step(model)
    if loss.loss(model.forward(x), y) > 0.9 * before:
        raise Wrong("the units stay equal, but the loss does not fall: no gradient reaches the first layer")
