"""Exercises on `recurrent.py`."""

import math
from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator
from scratch.recurrent import Recurrent

START = """
from scratch.backend import xp
from scratch.functions import sigmoid
from scratch.initial import zeros
from scratch.recurrent import Recurrent, add_gradients
"""


@exercise
def one_step(answer: Any) -> None:
    """In one step of an LSTM with one unit, i = 0.5, f = 0.25, o = 0.5, g = -0.5, and the cell before is 1. The
    gradient of the hidden state is 1, and the next step passes 0.5 back to the cell. Work out the new cell, then the
    gradients of the four sums inside i, f, o and g, and of the cell before.

    Start:

        one_step = {"cell": 0, "i": 0, "f": 0, "o": 0, "g": 0, "cell before": 0}
    """
    expect_equal(answer["cell"], 0.0, "the new cell")
    right = {"i": -0.125, "f": 0.1875, "o": 0.0, "g": 0.375, "cell before": 0.25}
    slopes = {"i": 0.25, "f": 0.1875, "o": 0.25, "g": 0.75}  # s (1 - s), and 1 - tanh^2
    for name, expected in right.items():
        what = f"the gradient of the {'' if name == 'cell before' else 'sum inside '}{name}"
        if expected and numpy.isclose(answer[name], expected / 2):
            raise Wrong(f"{what} is half the expected value: the gradient of the new cell is 1 * o + 0.5, not 1 * o")
        if expected and name in slopes and numpy.isclose(answer[name], expected / slopes[name]):
            raise Wrong(f"{what} lacks a factor: this is the gradient of {name} itself, not of the sum inside it")
        expect_equal(answer[name], expected, what)


@exercise
def half_life(answer: Any) -> None:
    """A unit of an LSTM adds nothing to its cell, and its w and u are 0, so f = sigmoid(bias) at every step. For which
    forget bias is half of the cell left after `steps` steps? (If f = sigmoid(b), then b = ln(f / (1 - f)).)

    Start:

        def half_life(steps):
            raise NotImplementedError  # the bias: a number
    """
    for steps in (10, 100, 1):
        f = 0.5 ** (1 / steps)
        found = answer(steps)
        if found is not None and steps > 1 and numpy.isclose(found, f):
            raise Wrong(f"for {steps} steps, {f:.4f} is the forget gate f itself; the bias is ln(f / (1 - f))")
        expect_equal(found, math.log(f / (1 - f)), f"the bias for {steps} steps")


@exercise
def OneGate(answer: Any) -> None:
    """A GRU without a reset gate has two sums, each w x[t] + u hidden[t-1] + b with its own rows. z is the sigmoid of
    the first, n is the tanh of the second, and hidden[t] = (1 - z) * n + z * hidden[t-1]. With `num_gates` = 2, the
    constructor of `Recurrent` creates w, u and b with 2H rows: H for z, then H for n. `read` is given. Write
    `read_back`, which `backward` calls.

    Start:

        class OneGate(Recurrent):
            num_gates = 2

            def read(self, x, mask, *states):
                (N, T, _), H, (hidden,) = x.shape, self.hidden_dim, states
                before, outputs, steps = zeros(N, T, H), zeros(N, T, H), []
                for t in range(T):
                    real = mask[:, t, None]
                    sums = x[:, t] @ self.w.data.T + hidden @ self.u.data.T + self.b.data  # (N, 2H), for z and n
                    z, n = sigmoid(sums[:, :H]), xp.tanh(sums[:, H:])
                    before[:, t] = hidden
                    steps.append((z, n))
                    hidden = xp.where(real, (1 - z) * n + z * hidden, hidden)
                    outputs[:, t] = xp.where(real, hidden, 0)
                return outputs, [hidden], (x, mask, before, steps)

            def read_back(self, output_grads, last_grad, *memory):
                x, mask, before, steps = memory
                raise NotImplementedError  # as in SimpleRnn: a carry, a loop from the last step, add_gradients
    """
    if not (isinstance(answer, type) and issubclass(answer, Recurrent)):
        raise Wrong("OneGate is not a subclass of Recurrent")
    draw = generator()
    mask = numpy.array([[True, True, True, True], [True, True, False, False]])
    for steps, real, when in (
        (1, None, "of a single step is wrong"),
        (4, None, "is right for one step, but not for four: look at the carry to the step before"),
        (4, mask, "is right without a mask, but not with one: look at the steps where `real` is False"),
    ):
        try:
            expect_gradients(answer(3, 2), draw.standard_normal((2, steps, 3)), mask=real)
            expect_gradients(answer(3, 2, return_sequences=False), draw.standard_normal((2, steps, 3)), mask=real)
        except Wrong as error:
            raise Wrong(f"the backward pass {when} ({error})") from None
