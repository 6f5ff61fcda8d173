"""Networks that read a sequence step by step and carry a state: SimpleRnn, GRU, LSTM.

At each step the layer sees one input and its own last state, and makes a new one with the same weights each time:

    hidden[t] = f(w input[t] + b,  u hidden[t-1],  state[t-1])

The gradient flows back the same way, from the last step to the first: back-propagation through time (BPTT). What
the three layers share is written once, in `Recurrent`: all inputs meet `w` in one product, each step adds its
product with `u`, and all steps' gradients meet the weights in one product again. What makes them differ, the
elementwise arithmetic that turns the two products into a new state, is `gates` and `gates_backward` of each.

    rnn = SimpleRnn(input_dim=56, hidden_dim=32)
    rnn.forward(vector)       # (56,) -> (32,): one step; the state is carried until reset_hidden_state()
    rnn.forward(batch)        # (N, T, 56) -> (N, T, 32): whole sequences, each from a zero state

In both, integer ids may stand for one-hot rows (`forward(7)`, or ids of shape (N, T)): the product of a matrix
with a one-hot row is one of its columns, so it is looked up instead of computed.

Read next: `losses.py`.
"""

import math
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from scratch.backend import Array, add_at, as_floats, expect, expect_ids, to_device, xp
from scratch.functions import sigmoid
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter


class Recurrent(Layer):
    """What SimpleRnn, GRU and LSTM share: steps and sequences, ids, masks, and the way back through time.

    Shapes: one step (input_dim,) or one id -> (hidden_dim,); or sequences (N, T, input_dim) or ids (N, T)
        -> (N, T, hidden_dim), with an optional mask (N, T), True where a step is real, padding to the right.
        A masked step keeps the state and outputs zero.
    Parameters: w (num_gates * hidden_dim, input_dim), u (num_gates * hidden_dim, hidden_dim),
        b (num_gates * hidden_dim,).
    State: `hidden`, carried from step to step until `reset_hidden_state()`. Sequences start from zeros, or with
        `stateful=True` from where the last batch stopped. No gradient flows into a carried state.
    Raises: ScratchError for an input of another rank or width, ids out of range, or a batch of another size
        than the carried state's.
    """

    num_gates = 1
    num_states = 1  # hidden alone, or hidden and cell
    num_blocks = 1  # how many (..., hidden_dim) blocks `gates` keeps for `gates_backward`

    def __init__(self, input_dim: int, hidden_dim: int, init: str = "xavier", stateful: bool = False) -> None:
        self.input_dim, self.hidden_dim, self.stateful = input_dim, hidden_dim, stateful
        gates = range(self.num_gates)
        self.w = Parameter(xp.concatenate([random_tensor(hidden_dim, input_dim, init=init) for _ in gates]))
        self.u = Parameter(xp.concatenate([random_tensor(hidden_dim, hidden_dim, init=init) for _ in gates]))
        self.b = Parameter(zeros(self.num_gates * hidden_dim))
        self.forget()

    def reset_hidden_state(self) -> None:
        """Forget the carried state: the next step, or the next batch, starts from zeros."""
        self.state: Array | None = None

    @property
    def hidden(self) -> Array:
        """The carried hidden state: (hidden_dim,) after steps, (N, hidden_dim) after stateful sequences."""
        return zeros(self.hidden_dim) if self.state is None else self.state[0]

    def forget(self) -> None:
        super().forget()
        self.reset_hidden_state()
        self._buffer = xp.empty(0, dtype=self.w.data.dtype)
        self._workspaces: dict[tuple[int, int], SimpleNamespace] = {}

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        """Write the new `state` (num_states, ..., H) from w x + b (in `blocks`), u h (`recurrent`) and the last."""
        raise NotImplementedError

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        """Write the gradient of `blocks` into `grad`.

        `state_grad` comes in as the gradient of the new state and goes out as that of the previous one, as far as
        it does not pass through u.
        """
        raise NotImplementedError

    def gates_slope(self, blocks: Array, state: Array, grad: Array) -> None:
        """Begin `grad` with what needs no later step, for all steps at once; `gates_backward` goes on from it."""

    def gates_backward(
        self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array
    ) -> Array | None:
        """From `state_grad`, the gradient of the new state, write the gradient of `blocks` into `grad`.

        Returns the gradient of the previous hidden state as far as it does not pass through u (None: all of it
        does), and leaves the previous cell's, if there are cells, in state_grad[1].
        """
        raise NotImplementedError

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if isinstance(input, int):
            expect(0 <= input < self.input_dim, self, "an id from 0 to below {input_dim}", input)
            return self._forward_step(input)
        if not isinstance(input, xp.ndarray):
            input = to_device(input)
        if input.ndim == 1 and mask is None:
            input = as_floats(input)
            expect(input.shape == (self.input_dim,), self, "a step ({input_dim},)", input, _HINT)
            return self._forward_step(input)
        if input.ndim == 2 and input.dtype.kind in "iu":
            expect_ids(self, input, self.input_dim)
        else:
            input = as_floats(input)
            right = input.ndim == 3 and input.shape[2] == self.input_dim
            expect(right, self, "a step ({input_dim},), sequences (N, T, {input_dim}) or ids (N, T)", input, _HINT)
        if mask is not None:
            expect(mask.shape == input.shape[:2], self, f"a mask {input.shape[:2]}", mask)
        return self._forward_sequences(input, mask)

    def backward(self, gradient: Array) -> Array | None:
        if gradient.ndim == 1:
            return self._backward_step(gradient)
        return self._backward_sequences(gradient)

    # One step, as in the book ----------------------------------------------------------------------------------

    def _forward_step(self, input: int | Array) -> Array:
        H, w = self.hidden_dim, self.w.data
        previous = xp.zeros((self.num_states, H), dtype=w.dtype) if self.state is None else self.state
        expect(previous.ndim == 2, self, "a state of one step (call reset_hidden_state() first)", previous)
        blocks = xp.empty(self.num_blocks * H, dtype=w.dtype)
        projected = w[:, input] if isinstance(input, int) else w.dot(input)
        xp.add(projected, self.b.data, out=blocks[: self.num_gates * H])
        self.state = xp.empty_like(previous)
        self.gates(blocks, self.u.data.dot(previous[0]), previous, self.state)
        self.remember(input, blocks, previous, self.state)
        return self.state[0]

    def _backward_step(self, gradient: Array) -> Array | None:
        input, blocks, previous, state = self.recall()
        state_grad = xp.zeros(state.shape, dtype=state.dtype)
        state_grad[0] = gradient
        grad = xp.empty_like(blocks)
        self.gates_slope(blocks, state, grad)
        self.gates_backward(state_grad, blocks, previous, state, grad)
        w_side, u_side = grad[: len(self.b.data)], grad[-len(self.b.data) :]
        # Linear's backward, twice: w met the input, u met the previous hidden state.
        self.b.grad += w_side
        self.u.grad += u_side[:, None].dot(previous[:1])
        if isinstance(input, int):
            self.w.grad[:, input] += w_side
            return None
        self.w.grad += w_side[:, None].dot(input[None])
        return w_side.dot(self.w.data)

    # Whole sequences: inside, time comes first, so that what one step needs lies together ------------------------

    def _forward_sequences(self, input: Array, mask: Array | None) -> Array:
        N, T = input.shape[:2]
        work = self._workspace(T, N)
        rows = self._project(input.swapaxes(0, 1), work.blocks[:, : len(self.b.data)])
        work.states[:, 0] = self._first_state(N)
        real = None if mask is None else mask.T[:, :, None]
        hidden, state, recurrent, u_transposed = work.states[0], work.state, work.recurrent, self.u.data.T
        for t in range(T):
            hidden[t].dot(u_transposed, recurrent)
            self.gates(work.block[t], recurrent, state[t], state[t + 1])
            if real is not None:
                state[t + 1][...] = xp.where(real[t], state[t + 1], state[t])
        if self.stateful:
            self.state = state[T].copy()
        self.remember(rows, work, real)
        output = hidden[1:].copy() if real is None else hidden[1:] * real
        return output.swapaxes(0, 1)

    def _backward_sequences(self, gradient: Array) -> Array | None:
        rows, work, real = self.recall()
        gradient = gradient.swapaxes(0, 1)
        T, N, H = gradient.shape
        grad, state_grad, state, u = work.grad, work.state_grad, work.state, self.u.data
        self.gates_slope(work.blocks, work.states[:, 1:].reshape(-1, T * N, H), grad)
        state_grad.fill(0)
        hidden_grad = state_grad[0]
        for t in reversed(range(T)):
            # hidden[t] is used twice: it is an output of the layer, and the next step starts from it.
            if real is None:
                hidden_grad += gradient[t]
            else:
                hidden_grad += gradient[t] * real[t]
                # A masked step copied the state, so all of its gradient goes past the gates to the step before.
                past_gates = xp.where(real[t], 0, state_grad)
                state_grad -= past_gates
            past_u = self.gates_backward(state_grad, work.block[t], state[t], state[t + 1], work.block_grad[t])
            # hidden[t-1] met u[o] in recurrent[o]; so it collects u_side[o] * u[o] over o.
            work.u_side[t].dot(u, hidden_grad)
            if past_u is not None:
                hidden_grad += past_u
            if real is not None:
                state_grad += past_gates
        # Every step used the same weights, so each gradient is a sum over all T * N rows: one product.
        w_side, u_side = grad[:, : len(u)], grad[:, -len(u) :]
        self.b.grad += w_side.sum(axis=0)
        self.u.grad += u_side.T.dot(work.states[0, :-1].reshape(T * N, H))
        if rows.ndim == 1:
            add_at(self.w.grad.T, rows, w_side)
            return None
        self.w.grad += w_side.T.dot(rows)
        return w_side.dot(self.w.data).reshape(T, N, self.input_dim).swapaxes(0, 1)

    def _project(self, input: Array, out: Array) -> Array:
        """Write w x + b for all steps into `out`; return the inputs as rows, or the ids in a row."""
        if input.ndim == 2:
            ids = input.reshape(-1)
            out[...] = (xp.ascontiguousarray(self.w.data.T) + self.b.data)[ids]
            return ids
        rows = input.reshape(-1, self.input_dim)
        xp.matmul(rows, self.w.data.T, out=out)
        out += self.b.data
        return rows

    def _first_state(self, N: int) -> Array | float:
        if not self.stateful or self.state is None:
            return 0.0
        right = self.state.shape == (self.num_states, N, self.hidden_dim)
        expect(right, self, f"a batch of the carried state's size, not {N}; reset_hidden_state() first", self.state)
        return self.state

    def _workspace(self, T: int, N: int) -> SimpleNamespace:
        """The arrays of a pass over N sequences of T steps, whole and as lists of steps.

        They lie in one buffer that is reused from call to call, for a fresh large array costs page faults; and they
        are never returned to a caller, who may keep what the next forward overwrites.
        """
        if (T, N) not in self._workspaces:
            H, S, G, B = self.hidden_dim, self.num_states, self.num_gates, self.num_blocks
            shapes = [(T * N, B * H), (S, T + 1, N, H), (N, G * H), (T * N, B * H), (S, N, H)]
            sizes = [math.prod(shape) for shape in shapes]
            if sum(sizes) > self._buffer.size:
                self._workspaces.clear()  # else they would keep the old buffer alive
                self._buffer = xp.empty(sum(sizes), dtype=self.w.data.dtype)
            ends = list(accumulate(sizes))
            blocks, states, recurrent, grad, state_grad = (
                self._buffer[end - size : end].reshape(shape)
                for end, size, shape in zip(ends, sizes, shapes, strict=True)
            )
            block_grad = list(grad.reshape(T, N, B * H))
            self._workspaces[T, N] = SimpleNamespace(
                blocks=blocks, states=states, recurrent=recurrent, grad=grad, state_grad=state_grad,
                block=list(blocks.reshape(T, N, B * H)), state=[states[:, t] for t in range(T + 1)],
                block_grad=block_grad, u_side=[step[:, -G * H :] for step in block_grad],
            )
        return self._workspaces[T, N]


_HINT = "is the vocabulary the one it was trained with?"


class SimpleRnn(Recurrent):
    """The new state is a squashed sum of what comes in and what was there.

        hidden = tanh(w input + u previous + b)

    Source: Elman 1990, https://doi.org/10.1207/s15516709cog1402_1; the book's chapter 21.
    Differs: from PyTorch, which has a second bias; the sum of the two is this one.
    """

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        blocks += recurrent
        xp.tanh(blocks, out=state[0])

    def gates_slope(self, blocks: Array, state: Array, grad: Array) -> None:
        # tanh' is 1 - tanh^2.
        xp.multiply(state[0], state[0], out=grad)
        xp.subtract(1, grad, out=grad)

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        grad *= state_grad[0]  # both products went into the same sum, so both get its gradient


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
    num_blocks = 4

    def __init__(self, input_dim: int, hidden_dim: int, init: str = "xavier", stateful: bool = False) -> None:
        super().__init__(input_dim, hidden_dim, init, stateful)
        self.b.data[hidden_dim : 2 * hidden_dim] = 1

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        H, (hidden, cell) = self.hidden_dim, state
        blocks += recurrent
        squashed = blocks[..., : 3 * H]
        squashed *= 0.5  # sigmoid(z) = 0.5 tanh(0.5 z) + 0.5, so one tanh serves all four gates
        xp.tanh(blocks, out=blocks)
        squashed *= 0.5
        squashed += 0.5
        i, f, o, g = (blocks[..., k * H : (k + 1) * H] for k in range(4))
        xp.multiply(f, previous[1], out=cell)
        cell += i * g
        xp.tanh(cell, out=hidden)
        hidden *= o

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        H, (hidden_grad, cell_grad) = self.hidden_dim, state_grad
        i, f, o, g = (blocks[..., k * H : (k + 1) * H] for k in range(4))
        i_grad, f_grad, o_grad, g_grad = (grad[..., k * H : (k + 1) * H] for k in range(4))
        tanh_cell = xp.tanh(state[1])
        # hidden = o * tanh(cell): each factor's gradient is hidden's times the other factor.
        xp.multiply(hidden_grad, tanh_cell, out=o_grad)
        # The cell is used twice: here, and by the next step, whose share has come in already.
        cell_grad += hidden_grad * o * (1 - tanh_cell * tanh_cell)
        # cell = f * previous cell + i * g: likewise.
        xp.multiply(cell_grad, g, out=i_grad)
        xp.multiply(cell_grad, previous[1], out=f_grad)
        xp.multiply(cell_grad, i, out=g_grad)
        # Through the squashing: sigmoid' is s (1 - s), tanh' is 1 - g^2.
        squashed = blocks[..., : 3 * H]
        grad[..., : 3 * H] *= squashed * (1 - squashed)
        g_grad *= 1 - g * g
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
    num_blocks = 4  # n, r, z, and u's part of n; w makes the first three, u adds to the last three

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        H = self.hidden_dim
        blocks[..., H : 3 * H] += recurrent[..., : 2 * H]
        blocks[..., 3 * H :] = recurrent[..., 2 * H :]
        blocks[..., H : 3 * H] = sigmoid(blocks[..., H : 3 * H])
        n, r, z, from_u = (blocks[..., k * H : (k + 1) * H] for k in range(4))
        n += r * from_u
        xp.tanh(n, out=n)
        xp.subtract(previous[0], n, out=state[0])
        state[0] *= z
        state[0] += n

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> Array:
        H, hidden_grad = self.hidden_dim, state_grad[0]
        n, r, z, from_u = (blocks[..., k * H : (k + 1) * H] for k in range(4))
        n_grad, r_grad, z_grad, from_u_grad = (grad[..., k * H : (k + 1) * H] for k in range(4))
        # hidden = n + z * (previous - n): n reaches it with weight 1 - z, z with weight previous - n.
        n_grad[...] = hidden_grad * (1 - z) * (1 - n * n)
        z_grad[...] = hidden_grad * (previous[0] - n) * z * (1 - z)
        # Inside n, r and u's part are the two factors of a product.
        r_grad[...] = n_grad * from_u * r * (1 - r)
        xp.multiply(n_grad, r, out=from_u_grad)
        return hidden_grad * z  # what stayed of the previous state
