"""Networks that read a sequence step by step and carry a state: SimpleRnn, GRU, LSTM.

Each is an elementwise function that turns two products, of the input and of the last hidden state, into a new state:
`gates`, and its way back, `gates_backward`; what of that needs no later step, `gates_slope` may do before, for
several steps at once. The products and the loop over time are the same for all: `through_time.py`, `sequences.py`.

    rnn = SimpleRnn(input_dim=56, hidden_dim=32)
    rnn.forward(vector)       # (56,) -> (32,): one step; the state is carried until reset_hidden_state()
    rnn.forward(batch)        # (N, T, 56) -> (N, T, 32): whole sequences, each from a zero state

In both, integer ids may stand for one-hot rows (`forward(7)`, or ids of shape (N, T)): the product of a matrix
with a one-hot row is one of its columns, so it is looked up instead of computed.

The arguments of the methods below are, for one step of one row or of N (H is hidden_dim):

    blocks            (num_blocks, ..., H)   the first come in as w x + b; what `gates` leaves there, its way back finds
    recurrent         (num_gates, ..., H)    u h
    previous, state   (num_states, ..., H)   the last state and the new one: hidden, and in an LSTM the cell
    state_grad, grad                         the gradients of `state` and of the blocks that w and u make

Read next: `through_time.py`.
"""

from scratch.backend import Array, xp
from scratch.functions import sigmoid
from scratch.through_time import Recurrent


class SimpleRnn(Recurrent):
    """The new state is a squashed sum of what comes in and what was there.

        hidden = tanh(w input + u previous + b)

    Source: Elman 1990, https://doi.org/10.1207/s15516709cog1402_1; the book's chapter 21.
    Differs: from PyTorch, which has a second bias; the sum of the two is this one.
    """

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        blocks += recurrent
        xp.tanh(blocks, out=state)

    def gates_slope(self, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        # tanh' is 1 - tanh^2.
        xp.multiply(state, state, out=grad)
        xp.subtract(1, grad, out=grad)

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        grad *= state_grad  # both products went into the same sum, so both get its gradient


class LSTM(Recurrent):
    """A cell that is added to, not overwritten, so that what it holds, and its gradient, last for many steps.

        i, f, o = sigmoid(w x + u hidden + b)     what comes in, what stays, what is shown
        g       = tanh(w x + u hidden + b)        the candidate
        cell    = f * previous cell + i * g
        hidden  = o * tanh(cell)

    Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; the forget gate is from
        Gers et al. 2000, and its bias starts at 1 (Jozefowicz et al. 2015), so that the cell at first remembers.
    Differs: the gates lie in the order i, f, o, g (PyTorch and Keras: i, f, g, o), so that one call squashes the
        first three; one bias, where PyTorch has two.
    """

    num_gates = 4
    num_states = 2
    num_blocks = 5  # the gates, and tanh(cell)

    def __init__(
        self, input_dim: int, hidden_dim: int, init: str = "xavier", stateful: bool = False,
        return_sequences: bool = True, input_gradient: bool = True,
    ) -> None:
        super().__init__(input_dim, hidden_dim, init, stateful, return_sequences, input_gradient)
        self.b.data[hidden_dim : 2 * hidden_dim] = 1

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
        (i, _, o, g, tanh_cell), (i_grad, f_grad, o_grad, g_grad) = blocks.swapaxes(0, 1), grad.swapaxes(0, 1)
        # Through the squashing: sigmoid' is s (1 - s), tanh' is 1 - tanh^2.
        squashed, squashed_grad = blocks[:, :3], grad[:, :3]
        xp.subtract(1, squashed, out=squashed_grad)
        squashed_grad *= squashed
        xp.multiply(g, g, out=g_grad)
        xp.subtract(1, g_grad, out=g_grad)
        # Of a product each factor's gradient is the product's times the other factor:
        # hidden = o * tanh(cell), cell = f * previous cell + i * g.
        o_grad *= tanh_cell
        i_grad *= g
        f_grad *= previous[:, 1]
        g_grad *= i
        # blocks[4] is from here on `to_cell`, what leads from hidden to the cell: o * (1 - tanh(cell)^2).
        xp.multiply(tanh_cell, tanh_cell, out=tanh_cell)
        xp.subtract(1, tanh_cell, out=tanh_cell)
        tanh_cell *= o

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        (hidden_grad, cell_grad), f, to_cell = state_grad, blocks[1], blocks[4]
        grad[2] *= hidden_grad
        # The cell is used twice: here, and by the next step, whose share has come in already.
        hidden_grad *= to_cell
        cell_grad += hidden_grad
        grad[:2] *= cell_grad
        grad[3] *= cell_grad
        cell_grad *= f  # what stayed of the previous cell


class GRU(Recurrent):
    """Two gates and no cell: the new state is a mixture of the old one and a candidate.

        r, z   = sigmoid(w x + u hidden + b)              how much of the past the candidate sees; how much stays
        n      = tanh(w x + b + r * (u hidden))           the candidate
        hidden = (1 - z) * n + z * previous hidden

    Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078, equations 5 to 8.
    Differs: the reset gate acts after the product with u, as in PyTorch and Keras (Cho: before it); the rows of w
        and b are in the order n, r, z, those of u in the order r, z, n (PyTorch: r, z, n); PyTorch adds a second
        bias to u hidden.
    """

    num_gates = 3
    num_blocks = 4  # n, r, z, and u's part of n
    first_u_block = 1  # w makes the first three, u adds to the last three
    past_beside_u = True

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        n, r, z, from_u = blocks
        r_and_z = blocks[1:3]
        r_and_z += recurrent[:2]
        from_u[...] = recurrent[2]
        r_and_z[...] = sigmoid(r_and_z)
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
