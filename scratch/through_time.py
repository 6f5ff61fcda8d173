"""How any recurrent layer goes through a sequence, and back: what SimpleRnn, GRU and LSTM share.

At each step a recurrent layer sees one input and its own last state, and makes a new one, with the same weights at
every step:

    hidden[t] = f(w input[t] + b,  u hidden[t-1],  state[t-1])

The gradient flows back the same way, from the last step to the first: back-propagation through time (BPTT). All
inputs meet `w` in one product before the loop over time, and all steps' gradients meet `w` and `u` in one product
after it; inside the loop there is only the product with `u` and the elementwise function f. That f, and its way
back, is all that a layer of `recurrent.py` adds.

A layer with several gates has the weights of each below those of the one before, and makes one product for each: so
what belongs to a gate lies together, for all its steps and rows, and nothing has to be cut out of wider rows.

Read next: `bidirectional.py`.
"""

import math
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from scratch.backend import Array, add_at, as_floats, as_mask, expect, expect_ids, to_device, xp
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter

_HINT = "is the vocabulary the one it was trained with?"
_RESET = "call reset_hidden_state() between streams"
_MAX_SHAPES = 64  # of batches whose views are kept


class Recurrent(Layer):
    """What SimpleRnn, GRU and LSTM share: steps and sequences, ids, masks, and the way back through time.

    Shapes: one step (input_dim,) or one id -> (hidden_dim,); or sequences (N, T, input_dim) or ids (N, T)
        -> (N, T, hidden_dim), with an optional mask (N, T), True where a step is real, padding to the right.
        A masked step keeps the state and outputs zero. Padding may hold any finite number, or any id there is.
        With `return_sequences=False` sequences -> (N, hidden_dim), the state after each row's last real step.
        With `input_gradient=False`, for the first layer of a model, whose input is data, `backward` of sequences
        returns None.
    Parameters: w (num_gates * hidden_dim, input_dim), u (num_gates * hidden_dim, hidden_dim),
        b (num_gates * hidden_dim,).
    State: `hidden`, carried from step to step until `reset_hidden_state()`. Sequences start from zeros, or with
        `stateful=True` from where the last batch stopped (evaluation moves it too: reset it before and after).
        `backward` goes to where the forward before it started: through one step, or through whole sequences. To
        learn across steps, give it the sequence.
    Raises: ScratchError for an input of another rank or width, ids out of range, or a batch of another size
        than the carried state's.
    """

    num_gates = 1
    num_states = 1  # hidden alone, or hidden and cell
    num_blocks = 1  # how many (..., hidden_dim) blocks `gates` keeps for `gates_backward`
    first_u_block = 0  # w's products begin at block 0, u's at this one
    working = ("_memory", "_buffer", "_workspaces")
    _buffer: Array | None = None
    _workspaces: dict[tuple[int, int], SimpleNamespace] | None = None

    def __init__(
        self, input_dim: int, hidden_dim: int, init: str = "xavier", stateful: bool = False,
        return_sequences: bool = True, input_gradient: bool = True,
    ) -> None:
        self.input_dim, self.hidden_dim, self.stateful = input_dim, hidden_dim, stateful
        self.return_sequences, self.input_gradient = return_sequences, input_gradient
        gates = range(self.num_gates)
        self.w = Parameter(xp.concatenate([random_tensor(hidden_dim, input_dim, init=init) for _ in gates]))
        self.u = Parameter(xp.concatenate([random_tensor(hidden_dim, hidden_dim, init=init) for _ in gates]))
        self.b = Parameter(zeros(self.num_gates * hidden_dim))
        self.reset_hidden_state()

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

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        """Write the new `state` (num_states, ..., H) from w x + b (in `blocks`), u h (`recurrent`) and the last."""
        raise NotImplementedError

    def gates_slope(self, blocks: Array, state: Array, grad: Array) -> None:
        """Begin `grad` with what needs no later step, for all steps at once; `gates_backward` goes on from it."""

    def of_gates(self, weights: Array) -> list[Array]:
        """The part of w, u or b, or of its gradient, that belongs to each gate."""
        H = self.hidden_dim
        if self.num_gates == 1:
            return [weights]
        return [weights[k * H : (k + 1) * H] for k in range(self.num_gates)]

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
        if input.ndim == 0 and input.dtype.kind in "iu":
            return self.forward(int(input))
        if input.ndim == 1:
            input = as_floats(input)
            expect(input.shape == (self.input_dim,), self, "a step ({input_dim},)", input, _HINT)
            expect(mask is None, self, "no mask for a single step", mask)
            return self._forward_step(input)
        if input.ndim == 2 and input.dtype.kind in "iu":
            expect_ids(self, input, self.input_dim)
        else:
            input = as_floats(input)
            right = input.ndim == 3 and input.shape[2] == self.input_dim
            expect(right, self, "a step ({input_dim},), sequences (N, T, {input_dim}) or ids (N, T)", input, _HINT)
        return self._forward_sequences(input, None if mask is None else as_mask(self, mask, input.shape[:2]))

    def backward(self, gradient: Array) -> Array | None:
        go_back, *memory = self.recall(gradient)
        return go_back(gradient, *memory)

    # One step, as in the book ----------------------------------------------------------------------------------

    def _forward_step(self, input: int | Array) -> Array:
        G, H, w = self.num_gates, self.hidden_dim, self.w.data
        previous = xp.zeros((self.num_states, H), dtype=w.dtype) if self.state is None else self.state
        expect(previous.ndim == 2, self, "the carried state of one row", previous, _RESET)
        blocks = xp.empty((self.num_blocks, H), dtype=w.dtype)
        projected = w[:, input] if isinstance(input, int) else w.dot(input)
        xp.add(projected, self.b.data, out=blocks[:G].reshape(G * H))
        self.state = xp.empty(previous.shape, dtype=w.dtype)
        self.gates(blocks, self.u.data.dot(previous[0]).reshape(G, H), previous, self.state)
        self.remember((H,), self._backward_step, input, blocks, previous, self.state)
        return self.state[0].copy()

    def _backward_step(
        self, gradient: Array, input: int | Array, blocks: Array, previous: Array, state: Array
    ) -> Array | None:
        G, H, first = self.num_gates, self.hidden_dim, self.first_u_block
        state_grad = xp.zeros(state.shape, dtype=state.dtype)
        state_grad[0] = gradient
        grad = xp.empty((first + G, H), dtype=blocks.dtype)
        self.gates_slope(blocks, state, grad)
        self.gates_backward(state_grad, blocks, previous, state, grad)
        w_side, u_side = grad[:G].reshape(G * H), grad[first:].reshape(G * H)
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
        (N, T), H = input.shape[:2], self.hidden_dim
        first_state, work = self._first_state(N), self._workspace(T, N)
        rows = self._project(input.swapaxes(0, 1), work.projected)
        work.states[:, 0] = first_state
        real = None if mask is None else mask.T[:, :, None]
        # Names of their own, since in a batch of one each look-up in the loop is felt. hidden[t] and state[t] are
        # from before step t, and so the formula's hidden[t-1]: place 0 holds the first state.
        hidden, state, block, recurrent, gates = work.hidden, work.state, work.block, work.recurrent, self.gates
        if one_gate := self.num_gates == 1:
            u_transposed, product = self.u.data.T, recurrent[0]
        else:  # a copy, for it makes each of the many products faster
            u_transposed = xp.ascontiguousarray(self.u.data.reshape(-1, H, H).swapaxes(1, 2))
        for t in range(T):
            if one_gate:  # the same, and less than half the time where there is little to do
                hidden[t].dot(u_transposed, product)
            else:
                xp.matmul(hidden[t], u_transposed, out=recurrent)
            gates(block[t], recurrent, state[t], state[t + 1])
            if real is not None:
                state[t + 1][...] = xp.where(real[t], state[t + 1], state[t])
        if self.stateful:
            self.state = state[T].copy()
        if not self.return_sequences:  # masked steps have kept the state, so it is that of the last real one
            self.remember((N, H), self._backward_sequences, rows, work, real)
            return hidden[T].copy()
        self.remember((N, T, H), self._backward_sequences, rows, work, real)
        output = work.states[0, 1:].copy() if real is None else work.states[0, 1:] * real
        return output.swapaxes(0, 1)

    def _backward_sequences(
        self, gradient: Array, rows: Array, work: SimpleNamespace, real: Array | None
    ) -> Array | None:
        (G, H), (T, N) = (self.num_gates, self.hidden_dim), work.shape
        grad, state_grad, state, gates_backward = work.grad, work.state_grad, work.state, self.gates_backward
        block, block_grad, u_side = work.block, work.block_grad, work.u_side
        u, one_gate, products = self.u.data.reshape(G, H, H), G == 1, work.recurrent
        if one_gate:
            u = u[0]
        self.gates_slope(work.blocks, work.states[:, 1:], grad)
        state_grad.fill(0)
        hidden_grad = state_grad[0]
        each_step = self.return_sequences
        if not each_step:
            hidden_grad += gradient
        for t in reversed(range(T)):
            # hidden[t] is used twice: it is an output of the layer, and the next step starts from it.
            if each_step:
                hidden_grad += gradient[:, t] if real is None else gradient[:, t] * real[t]
            if real is not None:
                # A masked step copied the state, so all of its gradient goes past the gates to the step before.
                past_gates = xp.where(real[t], 0, state_grad)
                state_grad -= past_gates
            past_u = gates_backward(state_grad, block[t], state[t], state[t + 1], block_grad[t])
            # Each gate's product with u, at o, was the sum of hidden[t-1][h] * u[o, h]; so hidden[t-1][h] collects
            # u_side[o] * u[o, h] over the o of all gates.
            if one_gate:
                u_side[t].dot(u, hidden_grad)
            else:
                xp.matmul(u_side[t], u, out=products)
                products.sum(axis=0, out=hidden_grad)
            if past_u is not None:
                hidden_grad += past_u
            if real is not None:
                state_grad += past_gates
        # Every step used the same weights, so each gradient is a sum over all T * N rows: one product for each gate.
        w_sides = work.w_sides
        for side, u_grad in zip(work.u_sides, self.of_gates(self.u.grad), strict=True):
            u_grad += side.T.dot(work.before)
        for side, w_grad, b_grad in zip(w_sides, self.of_gates(self.w.grad), self.of_gates(self.b.grad), strict=True):
            b_grad += side.sum(axis=0)
            if rows.ndim == 1:
                add_at(w_grad.T, rows, side)
            else:
                w_grad += side.T.dot(rows)
        if rows.ndim == 1 or not self.input_gradient:
            return None
        first_w, *other_w = self.of_gates(self.w.data)
        input_grad = w_sides[0].dot(first_w)
        for side, w in zip(w_sides[1:], other_w, strict=True):
            input_grad += side.dot(w)
        return input_grad.reshape(T, N, self.input_dim).swapaxes(0, 1)

    def _project(self, input: Array, blocks: list[Array]) -> Array:
        """Write each gate's w x + b for all steps into its block; return the inputs as rows, or the ids in a row."""
        rows = input.reshape(-1) if input.ndim == 2 else input.reshape(-1, self.input_dim)
        for w, b, block in zip(self.of_gates(self.w.data), self.of_gates(self.b.data), blocks, strict=True):
            if rows.ndim == 2:
                xp.matmul(rows, w.T, out=block)
                block += b
            elif len(rows) < self.input_dim:
                xp.add(w.T[rows], b, out=block)
            else:  # each column is read many times, and pays for being laid in a row first, with its bias
                block[...] = (w.T + b)[rows]
        return rows

    def _first_state(self, N: int) -> Array | float:
        if not self.stateful or self.state is None:
            return 0.0
        carried = self.state.shape[1:-1]
        expect(carried == (N,), self, f"a batch of {carried} rows, as the carried state's", f"({N},)", _RESET)
        return self.state

    def _workspace(self, T: int, N: int) -> SimpleNamespace:
        """The arrays of a pass over N sequences of T steps, whole and as lists of steps.

        They lie in one buffer that is reused from call to call, for a fresh large array costs page faults; and they
        are never returned to a caller, who may keep what the next forward overwrites.
        """
        if self._buffer is None or self._workspaces is None or self._buffer.dtype != self.w.data.dtype:
            self._buffer, self._workspaces = xp.empty(0, dtype=self.w.data.dtype), {}
        if (T, N) not in self._workspaces:
            if len(self._workspaces) == _MAX_SHAPES:
                self._workspaces.clear()
            H, S, G, B = self.hidden_dim, self.num_states, self.num_gates, self.num_blocks
            first = self.first_u_block
            shapes = [(B, T, N, H), (S, T + 1, N, H), (G, N, H), (first + G, T, N, H), (S, N, H)]
            sizes = [math.prod(shape) for shape in shapes]
            if sum(sizes) > self._buffer.size:
                self._workspaces.clear()  # else they would keep the old buffer alive
                self._buffer = xp.empty(sum(sizes), dtype=self.w.data.dtype)
            ends = list(accumulate(sizes))
            blocks, states, recurrent, grad, state_grad = (
                self._buffer[end - size : end].reshape(shape)
                for end, size, shape in zip(ends, sizes, shapes, strict=True)
            )
            self._workspaces[T, N] = SimpleNamespace(
                shape=(T, N), blocks=blocks, states=states, recurrent=recurrent, grad=grad, state_grad=state_grad,
                block=[blocks[:, t] for t in range(T)], hidden=list(states[0]),
                state=[states[:, t] for t in range(T + 1)], block_grad=[grad[:, t] for t in range(T)],
                u_side=[grad[0, t] if G == 1 else grad[first:, t] for t in range(T)],
                # and of all steps as rows
                projected=list(blocks[:G].reshape(G, T * N, H)), before=states[0, :-1].reshape(T * N, H),
                w_sides=list(grad[:G].reshape(G, T * N, H)), u_sides=list(grad[first:].reshape(G, T * N, H)),
            )
        return self._workspaces[T, N]
