"""The fast twins of SimpleRnn, LSTM and GRU: their gates, in place, for `through_time.py`."""

from collections.abc import Callable
from typing import Any

import numpy

from scratch import recurrent
from scratch.backend import Array, xp
from scratch.fast.through_time import Recurrent

_HALF = numpy.full((), 0.5, dtype="float32")


def _half(beside: Array) -> Any:
    """1 / 2, on a CPU as an array: that takes half the time of a number."""
    return _HALF if type(beside) is numpy.ndarray else 0.5


def _squash(z: Array, sigmoids: Array, half: Any) -> None:
    """tanh of z, and sigmoid of those of its blocks that are `sigmoids`, in place.

    All go through one tanh: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2.
    """
    xp.multiply(sigmoids, half, out=sigmoids)
    xp.tanh(z, out=z)
    xp.multiply(sigmoids, half, out=sigmoids)
    xp.add(sigmoids, half, out=sigmoids)


class SimpleRnn(Recurrent, recurrent.SimpleRnn):
    """As `recurrent.SimpleRnn`."""

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        blocks += recurrent
        xp.tanh(blocks, out=state)

    def gates_slope(self, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        # tanh' is 1 - tanh^2.
        xp.multiply(state, state, out=grad)
        xp.subtract(1, grad, out=grad)

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        grad *= state_grad  # both products went into the same sum, so both get its gradient


class LSTM(Recurrent, recurrent.LSTM):
    """As `recurrent.LSTM`."""

    num_blocks = 5  # the gates, and tanh(cell)

    def bind(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> Callable[[], None]:
        z, sigmoids, (i, f, o, g, tanh_cell), (hidden, cell) = blocks[:4], blocks[:3], blocks, state
        previous_cell, half = previous[1], _half(blocks)

        def gates() -> None:
            xp.add(z, recurrent, out=z)
            _squash(z, sigmoids, half)
            xp.multiply(f, previous_cell, out=cell)
            xp.multiply(i, g, out=tanh_cell)
            xp.add(cell, tanh_cell, out=cell)
            xp.tanh(cell, out=tanh_cell)
            xp.multiply(o, tanh_cell, out=hidden)

        return gates

    def gates_slope(self, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        (i, f, o, g, tanh_cell), (i_grad, f_grad, o_grad, g_grad) = blocks.swapaxes(0, 1), grad.swapaxes(0, 1)
        # Of a product each factor's gradient is the product's times the other factor: hidden = o * tanh(cell),
        # cell = f * previous cell + i * g. Through the squashing: sigmoid' is s (1 - s), tanh' is 1 - tanh^2. Where the
        # two meet is a product that is known, so i_grad is (1 - i) * (i * g), and o_grad is (1 - o) * hidden.
        hidden = state[:, 0]
        xp.multiply(i, g, out=g_grad)
        xp.subtract(1, blocks[:, :3], out=grad[:, :3])
        i_grad *= g_grad
        f_grad *= f
        f_grad *= previous[:, 1]
        o_grad *= hidden
        g_grad *= g
        xp.subtract(i, g_grad, out=g_grad)
        # blocks[4] is from here on `to_cell`, what leads from hidden to the cell: o * (1 - tanh(cell)^2).
        tanh_cell *= hidden
        xp.subtract(o, tanh_cell, out=tanh_cell)

    def bind_backward(
        self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array
    ) -> Callable[[], None]:
        (hidden_grad, cell_grad), f, to_cell = state_grad, blocks[1], blocks[4]
        i_and_f_grad, o_grad, g_grad = grad[:2], grad[2], grad[3]

        def gates_backward() -> None:
            xp.multiply(o_grad, hidden_grad, out=o_grad)
            # The cell is used twice: here, and by the next step, whose share has come in already.
            xp.multiply(hidden_grad, to_cell, out=hidden_grad)
            xp.add(cell_grad, hidden_grad, out=cell_grad)
            xp.multiply(i_and_f_grad, cell_grad, out=i_and_f_grad)
            xp.multiply(g_grad, cell_grad, out=g_grad)
            xp.multiply(cell_grad, f, out=cell_grad)  # what stayed of the previous cell

        return gates_backward


class GRU(Recurrent, recurrent.GRU):
    """As `recurrent.GRU`."""

    num_blocks = 4  # n, r, z, and u's part of n
    first_u_block = 1  # w makes the first three, u adds to the last three
    past_beside_u = True

    def bind(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> Callable[[], None]:
        (n, r, z, from_u), r_and_z, previous_hidden, hidden = blocks, blocks[1:3], previous[0], state[0]
        recurrent_r_and_z, recurrent_n, half = recurrent[:2], recurrent[2], _half(blocks)

        def gates() -> None:
            xp.add(r_and_z, recurrent_r_and_z, out=r_and_z)
            from_u[...] = recurrent_n
            _squash(r_and_z, r_and_z, half)
            xp.multiply(r, from_u, out=hidden)
            xp.add(n, hidden, out=n)
            xp.tanh(n, out=n)
            xp.subtract(previous_hidden, n, out=hidden)
            xp.multiply(hidden, z, out=hidden)
            xp.add(hidden, n, out=hidden)

        return gates

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        hidden_grad, (n, r, z, from_u), (n_grad, r_grad, z_grad, from_u_grad) = state_grad[0], blocks, grad
        # hidden = n + z * (previous - n): n reaches it with weight 1 - z, z with weight previous - n.
        n_grad[...] = hidden_grad * (1 - z) * (1 - n * n)
        z_grad[...] = hidden_grad * (previous[0] - n) * z * (1 - z)
        # Inside n, r and u's part are the two factors of a product.
        r_grad[...] = n_grad * from_u * r * (1 - r)
        xp.multiply(n_grad, r, out=from_u_grad)
        hidden_grad *= z  # what stayed of the previous state


TWINS = {recurrent.SimpleRnn: SimpleRnn, recurrent.LSTM: LSTM, recurrent.GRU: GRU}
