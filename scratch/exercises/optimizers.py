"""Exercises on `optimizers.py`."""

from typing import Any

import numpy

from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.optimizers import Adam, GradientDescent, Momentum, Optimizer

START = """
import numpy

from scratch import Optimizer
"""


@exercise
def by_hand(answer: Any) -> None:
    """A weight is 1. Its gradient is 2 in the first step and 4 in the second; the learning rate is 0.1. What is the
    weight after the second step of GradientDescent, after the second of Momentum (with mo = 0.9), and after the first
    of Adam?

    Start:

        by_hand = {"GradientDescent": 0, "Momentum": 0, "Adam": 0}
    """
    mistakes = {
        ("GradientDescent", 0.8): "0.8 is the weight after the first step",
        ("Momentum", 0.98): "0.98 is the weight after the first step",
        ("Momentum", 0.22): "0.22 is the result of PyTorch's u = mo * u + g; here g is multiplied by 1 - mo",
        ("Adam", round(1 - 0.1 * 0.2 / 0.004**0.5, 3)): "m and v must be divided by 1 - beta1^t and 1 - beta2^t",
    }
    right = (("GradientDescent", GradientDescent(0.1), 2), ("Momentum", Momentum(0.1), 2), ("Adam", Adam(0.1), 1))
    for name, optimizer, steps in right:
        for (of, value), explanation in mistakes.items():
            if of == name and numpy.shape(answer[name]) == () and abs(answer[name] - value) < 1e-3:
                raise Wrong(f"{name}: {explanation}")
        layer = Linear(1, 1, bias=False)
        layer.w.data[:] = 1
        for gradient in (2, 4)[:steps]:
            layer.w.grad[:] = gradient
            optimizer.step(layer)
        expect_equal(answer[name], layer.w.data[0, 0], f"the weight of {name}")


@exercise
def rate(answer: Any) -> None:
    """The loss is L = 3 a^2 + 0.5 b^2, where a and b are the weights. For GradientDescent there is a largest learning
    rate: with any smaller one, both weights approach their minimum at 0, and with any larger one, at least one of them
    does not. Which one is it?

    Start:

        rate = 0
    """
    if not answer > 0:
        raise Wrong("expected a positive learning rate")
    for share in (0.99, 1.01):
        layer, optimizer = Linear(2, 1, bias=False), GradientDescent(answer * share)
        layer.w.data[:] = 1
        for _ in range(100):
            layer.w.grad[:] = layer.w.data * [6, 1]  # dL/da = 6 a, dL/db = b
            optimizer.step(layer)
        a, b = abs(layer.w.data[0])
        if share < 1 and max(a, b) > 1:
            name, slope = ("a", "6 a") if a > 1 else ("b", "b")
            where = f"at a rate of {answer * share:.4g}, {name} moves away from 0"
            raise Wrong(f"{where}: too large; dL/d{name} is {slope}")
        if share > 1 and max(a, b) < 1:
            raise Wrong(f"at a rate of {answer * share:.4g}, both weights still approach 0: too small")


@exercise
def Heavy(answer: Any) -> None:
    """Write PyTorch's momentum, u = mo * u + g; p -= lr * u. (The name is after Polyak's heavy ball.) Its `update` gets
    the weights `data`, their gradient `grad`, the step number `t`, and `u`, an array of the shape of `data` that is
    zero before the first step and then as the last `update` left it.

    Start:

        class Heavy(Optimizer):
            slots = ("u",)

            def __init__(self, learning_rate=0.01, momentum=0.9):
                super().__init__(learning_rate)
                self.momentum = momentum

            def update(self, data, grad, t, u):
                raise NotImplementedError  # update both in place: u[...] = ..., then data -= ...
    """
    if not (isinstance(answer, type) and issubclass(answer, Optimizer)):
        raise Wrong("Heavy is not a subclass of Optimizer")
    layer, twin = Linear(2, 1, bias=False), Linear(2, 1, bias=False)
    twin.w.data[:] = layer.w.data
    make: Any = answer
    optimizer, right = make(0.01, momentum=0.8), Momentum(0.01 / (1 - 0.8), momentum=0.8)
    for step in range(3):
        before = layer.w.data.copy()
        layer.w.grad[:], twin.w.grad[:] = [1, -step], [1, -step]
        optimizer.step(layer)
        right.step(twin)
        if (layer.w.data == before).all():
            raise Wrong("a step changes no weight: `data -= ...` works in place, `data = data - ...` does not")
        if not optimizer.state[layer.w][0].any():
            raise Wrong("u is still zero after a step: `u[...] = ...` works in place, `u = ...` does not")
        if numpy.allclose((before - layer.w.data) / (1 - 0.8), before - twin.w.data):
            raise Wrong("the steps are those of Momentum, 1 - mo times as long as PyTorch's: there, g has no factor")
        expect_equal(layer.w.data, twin.w.data, f"with lr = 0.01 and mo = 0.8, the weights after step {step + 1}")
