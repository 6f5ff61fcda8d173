"""Whole sequences through a recurrent layer, and back: the loop over time, and the products before and after it.

All inputs (but ids) meet `w` in one product before the loop, and all steps' gradients meet `w` and `u` in one product
after it; inside the loop there is only the product with `u` and the layer's own `gates`.

Two layers that read the same sequences from both ends (`bidirectional.py`) go through the loop together: step p is the
first layer's p-th, and the second's, which is p steps before the end. So there are half as many, each twice as large.

What one step needs lies together, and in it what belongs to a gate, so that nothing has to be cut out of wider rows.
The axes of the arrays, of T steps of N rows:

    blocks            (T, num_blocks, [2,] N, hidden_dim)          the 2 is there with two layers only
    grad              (T, first_u_block + num_gates, [2,] N, hidden_dim)
    states            (T + 1, num_states, [2,] N, hidden_dim)      states[p] is from before step p

Read next: `bidirectional.py`.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from scratch.backend import Array, add_at, expect, pieces, xp

Recurrent: TypeAlias = Any  # the class of through_time.py, which stands on this file

RESET = "call reset_hidden_state() between streams"
_MANY_ROWS = 8
_MAX_SHAPES = 64  # shapes of batches whose views are kept


def read(layers: Sequence[Recurrent], kept: "Workspaces", input: Array, mask: Array | None) -> tuple[Array, tuple]:
    """Sequences (N, T, input_dim) or ids (N, T) through one layer, or through two, the second from the end.

    Returns the output (N, T, hidden_dim of each), or the last states (N, ...), and what `read_back` needs. `kept` are
    the arrays of whoever calls, for these layers alone: until `read_back` nobody else may write to them.
    """
    first, (N, T), D = layers[0], input.shape[:2], len(layers)
    G, H = first.num_gates, first.hidden_dim
    first_state, work = _first_state(first, N), kept.of(first, T, N, D)
    rows = input.swapaxes(0, 1)
    rows = rows.reshape(-1) if input.ndim == 2 else rows.reshape(T * N, first.input_dim)
    _project(layers, rows, work)
    work.states[0] = first_state
    real, real_in_time = _real_steps(mask, D)
    # Names of their own, since in a batch of one each look-up in the loop is felt.
    hidden, state, block, recurrent, gates = work.hidden, work.state, work.block, work.recurrent, first.gates
    u = [layer.u.data.reshape(G, H, H).swapaxes(1, 2) for layer in layers]
    if one_gate := G * D == 1:
        u_transposed, product = u[0][0], recurrent[0]
    else:
        u_transposed = xp.stack(u, axis=1) if D > 1 else u[0]
        if N >= _MANY_ROWS:  # then a copy makes each of the many products faster
            u_transposed = xp.ascontiguousarray(u_transposed)
    for p in range(T):
        if one_gate:  # the same, and less than half the time where there is little to do
            hidden[p].dot(u_transposed, product)
        else:
            xp.matmul(hidden[p], u_transposed, out=recurrent)
        gates(block[p], recurrent, state[p], state[p + 1])
        if real is not None and real[p] is not None:
            state[p + 1][...] = xp.where(real[p], state[p + 1], state[p])
    if first.stateful:
        first.state = state[T].copy()
    if first.return_sequences:
        output = xp.empty((T, N, D * H), dtype=first.w.data.dtype)
        for d, after in enumerate(work.after):
            _masked(after, real_in_time, output[:, :, d * H : (d + 1) * H])
        output = output.swapaxes(0, 1)
    else:  # masked steps have kept the state, so it is that of the last real one
        output = hidden[T].copy() if D == 1 else hidden[T].swapaxes(0, 1).reshape(N, D * H)
    return output, (rows, work, real, real_in_time)


def _project(layers: Sequence[Recurrent], rows: Array, work: "Work") -> None:
    """Write w x + b of all steps into the blocks."""
    (T, N, _), G, H = work.shape, layers[0].num_gates, layers[0].hidden_dim
    for layer, projected, by_gate, blocks in zip(layers, work.projected, work.by_gate, work.inputs, strict=True):
        w, b = layer.w.data, layer.b.data.reshape(G, 1, H)
        if rows.ndim == 1 and len(rows) >= layer.input_dim:
            # At least as many ids as columns of w: so the columns are laid in rows, and b is added, once.
            table = xp.ascontiguousarray(w.reshape(G, H, -1).swapaxes(1, 2)) + b
            for step, ids in zip(blocks, rows.reshape(T, N), strict=True):
                xp.take(table, ids, axis=1, out=step)
            continue
        if rows.ndim == 1:
            projected[...] = w.T[rows]
        else:
            xp.matmul(rows, w.T, out=projected)
        xp.add(by_gate, b, out=blocks)


def read_back(
    layers: Sequence[Recurrent], gradient: Array, rows: Array, work: "Work", real: list | None,
    real_in_time: Array | None,
) -> Array | None:
    """From the gradient of the output, those of w, u and b; returns the input's, None where it is not wanted."""
    first, (T, N, D) = layers[0], work.shape
    G, H = first.num_gates, first.hidden_dim
    state_grad, state, gates_backward = work.state_grad, work.state, first.gates_backward
    block, block_grad, u_side, products = work.block, work.block_grad, work.u_side, work.recurrent
    u = [layer.u.data.reshape(G, H, H) for layer in layers]
    one_gate = G * D == 1
    u_stacked = u[0][0] if one_gate else u[0] if D == 1 else xp.stack(u, axis=1)
    state_grad.fill(0)
    hidden_grad = state_grad[0]
    each_step = first.return_sequences
    if each_step:
        gradient = _as_steps(gradient, real_in_time, D, H)
    else:
        hidden_grad += gradient if D == 1 else gradient.reshape(N, D, H).swapaxes(0, 1)
    for piece in reversed(list(pieces(work.grad))):
        previous, after = work.states[:-1][piece], work.states[1:][piece]
        first.gates_slope(work.blocks[piece], previous, after, work.grad[piece])
        for p in reversed(range(T)[piece]):
            # hidden[p] is used twice: it is an output of the layer, and the next step starts from it.
            if each_step:
                hidden_grad += gradient[p]
            masked = None if real is None else real[p]
            if masked is not None:
                # A masked step copied the state, so all of its gradient goes past the gates to the step before.
                past_gates = xp.where(masked, 0, state_grad)
                state_grad -= past_gates
            past_u = gates_backward(state_grad, block[p], state[p], state[p + 1], block_grad[p])
            # Each gate's product with u, at o, was the sum of hidden[p-1][h] * u[o, h]; so hidden[p-1][h] collects
            # u_side[o] * u[o, h] over the o of all gates.
            if one_gate:
                u_side[p].dot(u_stacked, hidden_grad)
            else:
                xp.matmul(u_side[p], u_stacked, out=products)
                products.sum(axis=0, out=hidden_grad)
            if past_u is not None:
                hidden_grad += past_u
            if masked is not None:
                state_grad += past_gates
    return _collect(layers, rows, work)


def _collect(layers: Sequence[Recurrent], rows: Array, work: "Work") -> Array | None:
    """Every step used the same weights, so each gradient is a sum over all T * N rows: one product for all gates."""
    first, (T, N, _) = layers[0], work.shape
    G, H, input_grad = first.num_gates, first.hidden_dim, None
    for layer, side, grad, before in zip(layers, work.sides, work.grads, work.before, strict=True):
        if side is not grad:
            side[...] = grad
        w_side = side[:, :, :G].reshape(T * N, G * H)
        u_rows = side[:, :, first.first_u_block :].reshape(T * N, G * H)
        layer.u.grad += u_rows.T.dot(before.reshape(T * N, H))
        layer.b.grad += w_side.sum(axis=0)
        if rows.ndim == 1:
            add_at(layer.w.grad.T, rows, w_side)
            continue
        layer.w.grad += w_side.T.dot(rows)
        if layer.input_gradient:
            part = w_side.dot(layer.w.data)
            input_grad = part if input_grad is None else xp.add(input_grad, part, out=part)
    return None if input_grad is None else input_grad.reshape(T, N, first.input_dim).swapaxes(0, 1)


def _first_state(layer: Recurrent, N: int) -> Array | float:
    if not layer.stateful or layer.state is None:
        return 0.0
    carried = layer.state.shape[1:-1]
    expect(carried == (N,), layer, f"a batch of {carried} rows, as the carried state's", f"({N},)", RESET)
    return layer.state


def _real_steps(mask: Array | None, D: int) -> tuple[list[Any] | None, Array | None]:
    """For each step the rows that are real in it ([2,] N, 1), or None where all are; and the mask as (T, N, 1).

    Most steps of a batch of sequences of about one length are real in all rows, and need no second look.
    """
    if mask is None:
        return None, None
    in_time = mask.T[:, :, None]
    steps = in_time if D == 1 else xp.stack([in_time, in_time[::-1]], axis=1)
    whole = steps.all(axis=tuple(range(1, steps.ndim))).tolist()
    if all(whole):
        return None, None
    return [None if all_real else step for all_real, step in zip(whole, steps, strict=True)], in_time


def _as_steps(gradient: Array, real_in_time: Array | None, D: int, H: int) -> Array:
    """The gradient of the output (N, T, ...) as those of the steps: (T, [2,] N, H); zero where they are masked."""
    in_time = gradient.swapaxes(0, 1)
    if D == 1:
        return in_time if real_in_time is None else in_time * real_in_time
    T, N = in_time.shape[:2]
    steps = xp.empty((T, D, N, H), dtype=gradient.dtype)
    _masked(in_time[:, :, :H], real_in_time, steps[:, 0])
    _masked(in_time[:, :, H:], real_in_time, steps[::-1, 1])
    return steps


def _masked(values: Array, real_in_time: Array | None, out: Array) -> None:
    """Write `values`, with zeros where a step is not real."""
    if real_in_time is None:
        out[...] = values
    else:
        xp.multiply(values, real_in_time, out=out)


class Work:
    """The arrays of a pass over N sequences of T steps, whole and as lists of steps, in one buffer."""

    def __init__(self, layer: Recurrent, buffer: Array, T: int, N: int, D: int) -> None:
        self.shape, H, G = (T, N, D), layer.hidden_dim, layer.num_gates
        arrays, start = [], 0
        for shape in Work.shapes(layer, T, N, D):
            size = math.prod(shape)
            arrays.append(buffer[start : start + size].reshape(shape))
            start += size
        self.blocks, self.states, self.recurrent, self.grad, self.state_grad = arrays
        self.block, self.state, self.block_grad = list(self.blocks), list(self.states), list(self.grad)
        self.hidden = [state[0] for state in self.state]
        self.u_side = [grad[0] if G * D == 1 else grad[layer.first_u_block :] for grad in self.block_grad]
        # What follows has an item for each layer, in the order of time: the second layer's is turned around. They are:
        # where w x + b goes; the hidden states before and after the steps; the gradients of the gates.
        blocks, hidden, grad = [self.blocks], [self.states[:, 0]], [self.grad]
        if D == 2:
            blocks = [self.blocks[:, :, 0], self.blocks[::-1, :, 1]]
            hidden = [self.states[:, 0, 0], self.states[::-1, 0, 1]]
            grad = [self.grad[:, :, 0], self.grad[::-1, :, 1]]
        self.inputs = [block[:, :G] for block in blocks]
        self.before = [state[:-1] if d == 0 else state[1:] for d, state in enumerate(hidden)]
        self.after = [state[1:] if d == 0 else state[:-1] for d, state in enumerate(hidden)]
        self.grads = [part.swapaxes(1, 2) for part in grad]
        # In a product the gates of a row are side by side. So w x is made in the place of `grad`, which is not needed
        # yet, and moved with b; and the gradients are laid so, as sides, in that of `blocks`, needed no more.
        F = layer.first_u_block + G
        if D * F == 1:  # both orders are the same
            self.projected, self.sides = [self.blocks.reshape(T * N, H)], self.grads
        else:
            self.projected = list(self.grad.reshape(-1)[: D * T * N * G * H].reshape(D, T * N, G * H))
            self.sides = list(self.blocks.reshape(-1)[: D * T * N * F * H].reshape(D, T, N, F, H))
        self.by_gate = [projected.reshape(T, N, G, H).swapaxes(1, 2) for projected in self.projected]

    @staticmethod
    def shapes(layer: Recurrent, T: int, N: int, D: int) -> list[tuple[int, ...]]:
        """Of blocks, states, recurrent, grad and state_grad."""
        G, S, B, F = layer.num_gates, layer.num_states, layer.num_blocks, layer.first_u_block + layer.num_gates
        step = (N, layer.hidden_dim) if D == 1 else (D, N, layer.hidden_dim)
        return [(T, B, *step), (T + 1, S, *step), (G, *step), (T, F, *step), (S, *step)]


class Workspaces:
    """The arrays of the passes of one layer, or of two that go together, by their shape: kept from call to call.

    They share one buffer, for a fresh large array costs page faults, and are never returned to a caller: the next
    forward overwrites them.
    """

    def __init__(self) -> None:
        self.buffer, self.by_shape = xp.empty(0), dict[tuple[int, int], Work]()

    def of(self, layer: Recurrent, T: int, N: int, D: int) -> Work:
        """The arrays for N sequences of T steps, through so many layers."""
        other_dtype = self.buffer.dtype != layer.w.data.dtype
        if (T, N) not in self.by_shape or other_dtype:
            size = sum(math.prod(shape) for shape in Work.shapes(layer, T, N, D))
            if size > self.buffer.size or other_dtype:
                self.by_shape.clear()  # else they would keep the old buffer alive
                self.buffer = xp.empty(size, dtype=layer.w.data.dtype)
            if len(self.by_shape) == _MAX_SHAPES:
                self.by_shape.clear()
            self.by_shape[T, N] = Work(layer, self.buffer, T, N, D)
        return self.by_shape[T, N]
