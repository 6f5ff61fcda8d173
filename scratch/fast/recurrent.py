"""The fast twins of SimpleRnn, LSTM and GRU: their gates, in place, for `through_time.py`.

All four gates of an LSTM go through one tanh: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2.
"""

from scratch import recurrent
from scratch.backend import Array, xp
from scratch.fast.through_time import Recurrent


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

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        z, (i, f, o, g, tanh_cell), (hidden, cell) = blocks[:4], blocks, state
        z += recurrent
        # All four by one tanh: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2.
        sigmoids = blocks[:3]
        sigmoids *= 0.5
        xp.tanh(z, out=z)
        sigmoids *= 0.5
        sigmoids += 0.5
        xp.multiply(f, previous[1], out=cell)
        xp.multiply(i, g, out=tanh_cell)
        cell += tanh_cell
        xp.tanh(cell, out=tanh_cell)
        xp.multiply(o, tanh_cell, out=hidden)

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

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        (hidden_grad, cell_grad), f, to_cell = state_grad, blocks[1], blocks[4]
        grad[2] *= hidden_grad
        # The cell is used twice: here, and by the next step, whose share has come in already.
        hidden_grad *= to_cell
        cell_grad += hidden_grad
        grad[:2] *= cell_grad
        grad[3] *= cell_grad
        cell_grad *= f  # what stayed of the previous cell


class GRU(Recurrent, recurrent.GRU):
    """As `recurrent.GRU`."""

    num_blocks = 4  # n, r, z, and u's part of n
    first_u_block = 1  # w makes the first three, u adds to the last three
    past_beside_u = True

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        n, r, z, from_u = blocks
        r_and_z = blocks[1:3]
        r_and_z += recurrent[:2]
        from_u[...] = recurrent[2]
        # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2
        r_and_z *= 0.5
        xp.tanh(r_and_z, out=r_and_z)
        r_and_z *= 0.5
        r_and_z += 0.5
        n += r * from_u
        xp.tanh(n, out=n)
        xp.subtract(previous[0], n, out=state[0])
        state[0] *= z
        state[0] += n

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
