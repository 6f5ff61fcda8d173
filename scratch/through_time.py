"""How any recurrent layer goes through a sequence, and back: what SimpleRnn, GRU and LSTM share.

At each step a recurrent layer sees one input and its own last state, and makes a new one, with the same weights at
every step:

    hidden[t] = f(w input[t] + b,  u hidden[t-1],  state[t-1])

The gradient flows back the same way, from the last step to the first: back-propagation through time (BPTT). Here is
one such step, as in the book; the loop over the steps of whole sequences is in `sequences.py`. The elementwise function
f, and its way back, is all that a layer of `recurrent.py` adds.

w, u and b of a layer with several gates hold the rows of one gate below those of another. `gates` and its ways back
look at nothing but their arguments: one call serves two layers that go through time together.

Read next: `sequences.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, as_mask, expect, expect_ids, to_device, xp
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter
from scratch.sequences import read, read_back
from scratch.workspaces import Workspaces

_RESET = "call reset_hidden_state() between streams"
_HINT = "is the vocabulary the one it was trained with?"


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
    num_blocks = 1  # how many (..., hidden_dim) blocks `gates` keeps for `gates_backward`; what w and u make, at least
    first_u_block = 0  # w's products begin at block 0, u's at this one
    past_beside_u = False  # whether some of the state goes to the next one without passing through u
    working = ("_memory", "_work")
    _work: Workspaces | None = None

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

    def gates_slope(self, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        """Begin `grad` with what needs no later step; all have an axis more, in front: several steps at once."""

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        """From `state_grad`, the gradient of the new state, and what `gates_slope` left, make `grad` that of `blocks`.

        Leaves in state_grad the gradient of the previous state, as far as it does not pass through u: of the cell in
        state_grad[1], if there are cells. state_grad[0] is not looked at unless `past_beside_u`.
        """
        raise NotImplementedError

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if isinstance(input, int):
            right = 0 <= input < self.input_dim and mask is None
            expect(right, self, "an id from 0 to below {input_dim}, and no mask for a single step", input)
            return self._forward_step(input)
        if not hasattr(input, "dtype") or input.dtype.kind != "f":  # floats have to be where they belong already
            input = to_device(input)
        if input.ndim == 0 and input.dtype.kind in "iu":
            return self.forward(int(input))
        if input.ndim == 1:
            input = as_floats(input)
            expect(input.shape == (self.input_dim,), self, "a step ({input_dim},)", input, _HINT)
            expect(mask is None, self, "no mask for a single step", mask)
            return self._forward_step(input)
        input, mask = self.sequences(input, mask)
        self._work, self._memory = self._work or Workspaces(), None  # whose arrays are overwritten from here on
        output, memory = read([self], self._work, input, mask)
        self.remember(output.shape, self._backward_sequences, *memory)
        return output

    def sequences(self, input: Array, mask: Array | None) -> tuple[Array, Array | None]:
        """The sequences and their mask, once it is sure that they are what this layer reads."""
        if input.ndim == 2 and input.dtype.kind in "iu":
            expect_ids(self, input, self.input_dim)
        else:
            input = as_floats(input)
            right = input.ndim == 3 and input.shape[2] == self.input_dim
            expect(right, self, "a step ({input_dim},), sequences (N, T, {input_dim}) or ids (N, T)", input, _HINT)
        if self.stateful and self.state is not None:
            carried, N = self.state.shape[1:-1], len(input)
            expect(carried == (N,), self, f"a batch of {carried} rows, as the carried state's", f"({N},)", _RESET)
        return input, None if mask is None else as_mask(self, mask, input.shape[:2])

    def backward(self, gradient: Array) -> Array | None:
        go_back, *memory = self.recall(gradient)
        return go_back(gradient, *memory)

    def _backward_sequences(self, gradient: Array, *memory: Any) -> Array | None:
        return read_back([self], gradient, *memory)

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
        self.gates_slope(blocks[None], previous[None], state[None], grad[None])
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
