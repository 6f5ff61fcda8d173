"""How the engine's recurrent layers share one loop: what a layer of `recurrent.py` adds is an elementwise function.

    hidden[t] = f(w input[t] + b,  u hidden[t-1],  state[t-1])

Here are the checks and a single step, as in the book; the loop over whole sequences is in `sequences.py`. w, u and b of
a layer with several gates stack the gates' rows. `gates` and its backward look at nothing but their arguments, so one
call serves two layers that go through time together.

Gains over the plain layers (2 LSTM of 256, batch 64, 50 steps, one thread): inputs projected in one product, gates in
place, slopes for several steps at once; ids looked up instead of multiplied.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from scratch import recurrent
from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect
from scratch.fast.arrays import as_ids, as_mask
from scratch.fast.sequences import read, read_back
from scratch.fast.workspaces import Workspaces

_SHAPES = "a step ({input_dim},), sequences (N, T, {input_dim}) or ids (N, T)"
_RESET = "call reset_hidden_state() between streams"


class Recurrent(recurrent.Recurrent):
    """The fast twin of every recurrent layer's base. A subclass writes `gates` and `gates_backward`.

    The arguments of these methods are, for one step of one row or of N (H is hidden_dim):

        blocks            (num_blocks, ..., H)   the first hold w x + b; `gates` overwrites all with backward's memory
        recurrent         (num_gates, ..., H)    u h
        previous, state   (num_states, ..., H)   the last state and the new one: hidden, and in an LSTM the cell
        state_grad, grad                         the gradients of `state` and of the blocks that w and u make
    """

    num_blocks = 1  # how many (..., hidden_dim) blocks `gates` keeps for `gates_backward`; what w and u make, at least
    first_u_block = 0  # w's products begin at block 0, u's at this one
    past_beside_u = False  # whether some of the state reaches the next one without passing through u
    working = (*recurrent.Recurrent.working, "_work")
    state: Any = None  # the carried state, (num_states, ..., hidden_dim)
    _work: Workspaces | None = None

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        """Write the new `state` (num_states, ..., H) from w x + b (in `blocks`), u h (`recurrent`) and the last."""
        self.bind(blocks, recurrent, previous, state)()

    def bind(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> Callable[[], None]:
        """`gates` of these arrays, to be called again and again: a layer of several gates makes its views of them here.

        A subclass writes either this or `gates`, and either `bind_backward` or `gates_backward`.
        """
        return partial(self.gates, blocks, recurrent, previous, state)

    def gates_slope(self, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        """Precompute in `grad` the factors that need no later gradient; all arguments have a leading time axis."""

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        """From `state_grad`, the gradient of the new state, and the factors in `grad`, make `grad` that of `blocks`.

        Leaves in state_grad the part of the previous state's gradient that does not pass through u: the cell's in
        state_grad[1]; state_grad[0] is read only with `past_beside_u`.
        """
        self.bind_backward(state_grad, blocks, previous, state, grad)()

    def bind_backward(
        self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array
    ) -> Callable[[], None]:
        """`gates_backward` of these arrays, as `bind` is `gates`."""
        return partial(self.gates_backward, state_grad, blocks, previous, state, grad)

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if isinstance(input, int) and 0 <= input < self.input_dim and mask is None:
            return self._forward_step(input)
        if not hasattr(input, "dtype") or input.dtype.kind != "f":  # `as_floats` refuses floats of the host
            input = to_device(input)
        if input.ndim < 2:
            if are_ids := input.ndim == 0 and input.dtype.kind in "iu":
                input = as_ids(self, input, self.input_dim)
            else:
                input = as_floats(input)
                expect(input.shape == (self.input_dim,), self, _SHAPES, input)
            expect(mask is None, self, "no mask for a single step", mask)
            return self._forward_step(int(input) if are_ids else input)
        input, mask = self.sequences(input, mask)
        self._work, self._memory = self._work or Workspaces(), None  # its arrays are overwritten from here on
        output, memory = read([self], self._work, input, mask)
        self.remember(output.shape, self._backward_sequences, *memory)
        return output

    def sequences(self, input: Array, mask: Array | None) -> tuple[Array, Array | None]:
        """The sequences and their mask, after validation."""
        if input.ndim == 2 and input.dtype.kind in "iu":
            input = as_ids(self, input, self.input_dim)
        else:
            input = as_floats(input)
            right = input.ndim == 3 and input.shape[2] == self.input_dim
            expect(right, self, _SHAPES, input)
        mask = None if mask is None else as_mask(self, mask, input.shape[:2])
        if self.stateful and self.state is not None:
            right = self.state.shape[1:-1] == (len(input),)
            expect(right, self, f"a carried state of {len(input)} rows", self.hidden, _RESET)
        return input, mask

    def backward(self, gradient: Array) -> Array | None:
        go_back, *memory = self.recall(gradient)
        return go_back(gradient, *memory)

    def _backward_sequences(self, gradient: Array, *memory: Any) -> Array | None:
        return read_back([self], gradient, *memory)

    # One step, as in the book ----------------------------------------------------------------------------------

    def _forward_step(self, input: int | Array) -> Array:
        G, H, w = self.num_gates, self.hidden_dim, self.w.data
        previous = xp.zeros((self.num_states, H), dtype=w.dtype) if self.state is None else self.state
        if previous.ndim != 2:
            expect(False, self, "a carried state of 1 rows", self.hidden, _RESET)
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
