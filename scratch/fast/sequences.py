"""Whole sequences through a recurrent layer, and back: the loop over time, and the products before and after it.

All inputs (but ids) meet `w` before the loop, and all steps' gradients meet `w` and `u` in one product after it; inside
the loop there is only the product with `u` and the layer's own `gates`.

Two layers that read the same sequences from both ends (`bidirectional.py`) go through the loop together: step p is the
first layer's p-th, and the second's, which is p steps before the end. So there are half as many, each twice as large.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from scratch.backend import Array, xp
from scratch.fast.arrays import add_at, pieces, sum_rows
from scratch.fast.parts import current
from scratch.fast.small_products import by_columns, in_columns, width
from scratch.fast.workspaces import Work, Workspaces

Recurrent: TypeAlias = Any  # the class of through_time.py, which stands on this file

_MANY_ROWS = 8
_TURNS = 256  # hidden units; with fewer, a step's product takes too short a time beside its gates
_NUMBERS = 1 << 16  # of the hidden states of the steps that are taken at once where no backward follows


def read(layers: Sequence[Recurrent], kept: Workspaces, input: Array, mask: Array | None) -> tuple[Array, tuple]:
    """Sequences (N, T, input_dim) or ids (N, T) through one layer, or through two, the second from the end.

    Returns the output (N, T, hidden_dim of each), or the last states (N, ...), and what `read_back` needs. `kept` are
    the arrays of whoever calls, for these layers alone: until `read_back` nobody else may write to them.
    """
    first, (N, T), D = layers[0], input.shape[:2], len(layers)
    H, on_a_gpu = first.hidden_dim, xp.device != "cpu"
    rows = input.swapaxes(0, 1)
    rows = rows.reshape(-1) if input.ndim == 2 else rows.reshape(T * N, first.input_dim)
    real, real_in_time = _real_steps(mask, D)
    output = xp.empty((T, N, D * H), dtype=first.w.data.dtype) if first.return_sequences else None
    state: Any = first.state if first.stateful and first.state is not None else 0.0
    # Without a backward, the arrays of a few steps suffice, and stay in the processor's cache.
    at_once = T if first.train or D > 1 or on_a_gpu else max(_NUMBERS // max(N * H, 1), 1)
    u, w = None, [_input_weights(layer, rows, N) for layer in layers]
    for start in range(0, max(T, 1), max(at_once, 1)):
        piece = slice(start, min(start + at_once, T))
        work = kept.of(first, piece.stop - start, N, D)
        u = _recurrent_weights(layers, work) if u is None else u
        work.states[0] = state
        _project(layers, w, rows[start * N : piece.stop * N], work)
        _go(first, u, work, None if real is None else real[piece])
        state = work.states[-1]
        if output is not None:
            for d, after in enumerate(work.after):
                masked = None if real_in_time is None else real_in_time[piece]
                _masked(after, masked, output[piece, :, d * H : (d + 1) * H])
    if first.stateful:
        first.state = state.copy()
    if output is None:  # masked steps have kept the state, so it is that of the last real one
        last = state[0].copy() if D == 1 else xp.concatenate(list(state[0]), axis=1)
        return last, (rows, work, real, real_in_time)
    return output.swapaxes(0, 1), (rows, work, real, real_in_time)


def _recurrent_weights(layers: Sequence[Recurrent], work: Work) -> Array:
    """The matrices u of the layers, as the product with the hidden state wants them."""
    G, H, D = layers[0].num_gates, layers[0].hidden_dim, len(layers)
    if work.product.ndim == 2:
        return layers[0].u.data.T
    if work.on_a_gpu:
        return xp.stack([layer.u.data.T for layer in layers])
    by_gate = [layer.u.data.reshape(G, H, H).swapaxes(1, 2) for layer in layers]
    u = xp.stack(by_gate, axis=1) if D > 1 else by_gate[0]
    if work.cut:
        return in_columns(u, work.width)
    return xp.ascontiguousarray(u) if work.shape[1] >= _MANY_ROWS else u  # a copy makes many products faster


def _go(layer: Recurrent, u: Array, work: Work, real: list[Any] | None) -> None:
    """The loop over time."""
    # Names of their own, since in a batch of one each look-up in the loop is felt.
    hidden, state, block, recurrent, product = work.hidden, work.state, work.block, work.recurrent, work.product
    one_product, step = product.ndim == 2, layer.gates
    gates: Sequence[Callable[[], None]] = ()
    if work.on_a_gpu:
        step = layer.gates if real is None else _masked_step(layer)
        step = work.fused(step, block, [recurrent], state, state, *([real] if real is not None else []))
    else:
        gates = _in_turn(layer, work.bound_gates(layer))
    for p in range(work.shape[0]):
        if one_product:  # the same, and less than half the time where there is little to do
            hidden[p].dot(u, product)
        else:
            xp.matmul(hidden[p], u, out=product)
        if gates:
            gates[p]()
            if real is not None and real[p] is not None:
                _keep(state[p], state[p + 1], real[p])
        elif real is None:
            step(block[p], recurrent, state[p], state[p + 1])
        else:
            step(block[p], recurrent, state[p], state[p + 1], real[p])


def _in_turn(layer: Recurrent, functions: Sequence[Callable[..., None]]) -> Sequence[Callable[..., None]]:
    """`functions`, which only one of two threads runs at a time: so they run beside the other's product.

    When both make short array operations, they wait for the interpreter at each of them.
    """
    turn = current.get().turn
    if turn is None or layer.hidden_dim < _TURNS:
        return functions

    def in_turn(function: Callable[..., None], *arguments: Any) -> None:
        with turn:
            function(*arguments)

    return [partial(in_turn, function) for function in functions]


def _masked_step(layer: Recurrent) -> Callable[..., None]:
    """The layer's gates, where the state of rows that are not real stays as it was."""

    def step(blocks: Array, recurrent: Array, previous: Array, state: Array, real: Array) -> None:
        layer.gates(blocks, recurrent, previous, state)
        _keep(previous, state, real)

    return step


def _keep(previous: Array, state: Array, real: Array) -> None:
    """Where rows are not real, the state stays the previous one."""
    state[...] = xp.where(real, state, previous)


def _input_weights(layer: Recurrent, rows: Array, N: int) -> Array:
    """w, as `_project` wants it; where that is a copy, b is in it."""
    G, H, K = layer.num_gates, layer.hidden_dim, layer.input_dim
    many_ids = rows.ndim == 1 and len(rows) >= K and xp.device == "cpu"
    columns = H if rows.ndim == 1 else width(N, K + 1, H)
    if not many_ids and columns == H:
        return layer.w.data.T
    by_gate, b = layer.w.data.reshape(G, H, K).swapaxes(1, 2), layer.b.data.reshape(G, 1, H)
    if many_ids:
        return xp.ascontiguousarray(by_gate) + b  # (G, K, H): the row of each id
    return in_columns(xp.concatenate([by_gate, b], axis=1), columns)  # (G, H / columns, K + 1, columns)


def _project(layers: Sequence[Recurrent], weights: Sequence[Array], rows: Array, work: Work) -> None:
    """Write w x + b of all steps into the blocks."""
    T, N, _ = work.shape
    for d, (layer, w, blocks) in enumerate(zip(layers, weights, work.inputs, strict=True)):
        if w.ndim == 3:
            for step, ids in zip(blocks, rows.reshape(T, N), strict=True):
                xp.take(w, ids, axis=1, out=step, mode="clip")  # which need not check the ids again
            continue
        if w.ndim == 4:
            ones = xp.ones((T * N, 1), dtype=rows.dtype)
            steps = xp.concatenate([rows, ones], axis=1).reshape(T, 1, 1, N, -1)
            xp.matmul(steps, w, out=by_columns(blocks, w.shape[-1]))
            continue
        if rows.ndim == 1:
            work.projected[d][...] = w[rows]
        else:
            xp.matmul(rows, w, out=work.projected[d])
        xp.add(work.by_gate[d], layer.b.data.reshape(layer.num_gates, 1, -1), out=blocks)


def read_back(
    layers: Sequence[Recurrent], gradient: Array, rows: Array, work: Work, real: list[Any] | None,
    real_in_time: Array | None,
) -> Array | None:
    """From the gradient of the output, those of w, u and b; returns the input's, None where it is not wanted."""
    first, (T, N, D) = layers[0], work.shape
    G, H = first.num_gates, first.hidden_dim
    state_grad, state = work.state_grad, work.state
    block, block_grad, u_side = work.block, work.block_grad, work.u_side
    u = [layer.u.data.reshape(G, H, H) for layer in layers]
    one_gate = G * D == 1 and not first.past_beside_u
    u_stacked = u[0][0] if one_gate else u[0] if D == 1 else xp.stack(u, axis=1)
    u_stacked = in_columns(u_stacked, work.width) if work.cut else u_stacked
    state_grad.fill(0)
    # What comes through u from the step after lies in `products`, gate by gate, or with one gate in `hidden_grad`; what
    # comes past a masked one in `past`, which for the next step is `came`, or None where nothing was masked.
    through_u = hidden_grad = state_grad[0]
    products = product = past = None
    if not one_gate:
        products, product = work.products, work.product if work.cut else work.products
        products.fill(0)
        through_u = products[0]
    if real is not None:
        past = work.past
        past.fill(0)
    simple, each_step = one_gate and real is None and not work.on_a_gpu, first.return_sequences
    steps: Any = [None] * T
    if each_step:
        steps = _as_steps(gradient, real_in_time, D, H, state_grad.dtype)
    else:  # as if it had come from a step after the last
        through_u += gradient if D == 1 else gradient.reshape(N, D, H).swapaxes(0, 1)
    came, masks = past, [] if real is None else [[past], [past], real]
    if work.on_a_gpu:
        on_device = _step_back_on_device(first)
        on_device = work.fused(on_device, [state_grad], [products], steps, block, state, state, block_grad, *masks)
    else:
        gates_backward = work.bound_gates_backward(first)
    gates_slope, step_back = _in_turn(first, [first.gates_slope, _step_back])
    numbers = 1 << (16 if step_back is _step_back else 15)  # short turns fit beside a product
    for piece in reversed(list(pieces(work.grad, numbers))):
        slope = work.blocks[piece], work.states[:-1][piece], work.states[1:][piece], work.grad[piece]
        if work.on_a_gpu:
            gates_slope = work.fused(first.gates_slope, *([array] for array in slope), axis=1)
        gates_slope(*slope)
        for p in reversed(range(T)[piece]):
            past_it: Any = () if real is None else (came, past, real[p])
            if simple:  # the same, and a tenth less of the time where there is little to do
                if each_step:
                    hidden_grad += steps[p]
                gates_backward[p]()
            elif work.on_a_gpu:
                on_device(state_grad, products, steps[p], block[p], state[p], state[p + 1], block_grad[p], *past_it)
            else:
                step_back(first, gates_backward[p], state_grad, products, steps[p], *past_it)
            if real is not None:
                came = None if real[p] is None else past
            if p == 0:  # what the first state was is not learned
                break
            # Each gate's product with u, at o, was the sum of hidden[p-1][h] * u[o, h]; so hidden[p-1][h] collects
            # u_side[o] * u[o, h] over the o of all gates.
            if one_gate:
                u_side[p].dot(u_stacked, hidden_grad)
            else:
                xp.matmul(u_side[p], u_stacked, out=product)
    return _collect(layers, rows, work)


def _step_back(
    layer: Recurrent, gates_backward: Callable[[], None], state_grad: Array, products: Array | None,
    gradient: Array | None, came: Array | None = None, past: Array | None = None, real: Array | None = None,
) -> None:
    """What a step back does number by number: from u's products of the step after it to the gradient of the gates."""
    # hidden is used three times: the next step's gates took it through u, and some of it beside u or, where it was
    # masked, past all; and it is an output of the layer.
    hidden_grad = state_grad[0]
    if products is not None:
        if layer.past_beside_u:
            hidden_grad += products.sum(axis=0)
        else:
            xp.add.reduce(products, axis=0, out=hidden_grad)
    if came is not None:
        state_grad += came
    if gradient is not None:
        hidden_grad += gradient
    if past is not None and real is not None:
        # A masked step copied the state, so all of its gradient goes past the gates to the step before.
        past[...] = xp.where(real, 0, state_grad)
        state_grad -= past
    gates_backward()


def _step_back_on_device(layer: Recurrent) -> Callable[..., None]:
    def step_back(
        state_grad: Array, products: Array | None, gradient: Array | None, blocks: Array, previous: Array, state: Array,
        grad: Array, *masks: Any,
    ) -> None:
        gates_backward = layer.bind_backward(state_grad, blocks, previous, state, grad)
        _step_back(layer, gates_backward, state_grad, products, gradient, *masks)

    return step_back


def _collect(layers: Sequence[Recurrent], rows: Array, work: Work) -> Array | None:
    """Every step used the same weights, so each gradient is a sum over all T * N rows: one product for all gates."""
    first, (T, N, _) = layers[0], work.shape
    G, H, input_grad = first.num_gates, first.hidden_dim, None
    for layer, side, grad, before in zip(layers, work.sides, work.grads, work.before, strict=True):
        if side is not grad:
            side[...] = grad
        w_side = side[:, :, :G].reshape(T * N, G * H)
        u_rows = side[:, :, first.first_u_block :].reshape(T * N, G * H)
        layer.u.grad += u_rows.T.dot(before.reshape(T * N, H))
        layer.b.grad += sum_rows(w_side)
        if rows.ndim == 1:
            add_at(layer.w.grad.T, rows, w_side)
            continue
        layer.w.grad += w_side.T.dot(rows)
        if layer.input_gradient:
            part = w_side.dot(layer.w.data)
            input_grad = part if input_grad is None else xp.add(input_grad, part, out=part)
    return None if input_grad is None else input_grad.reshape(T, N, first.input_dim).swapaxes(0, 1)


def _real_steps(mask: Array | None, D: int) -> tuple[list[Any] | None, Array | None]:
    """For each step the rows that are real in it ([2,] N, 1), None where all are; and the mask as (T, N, 1); or None.

    Most steps of a batch of sequences of about one length are real in all rows, and need no second look. (On a GPU they
    get one, all or none: to ask which, and wait for the answer, takes longer.)
    """
    if mask is None:
        return None, None
    in_time = xp.ascontiguousarray(mask.T)[:, :, None]
    steps = in_time if D == 1 else xp.stack([in_time, in_time[::-1]], axis=1)
    if xp.device != "cpu":
        return list(steps), in_time
    whole = steps.all(axis=tuple(range(1, steps.ndim))).tolist()
    if all(whole):
        return None, None
    return [None if all_real else step for all_real, step in zip(whole, steps, strict=True)], in_time


def _as_steps(gradient: Array, real_in_time: Array | None, D: int, H: int, dtype: Any) -> Array:
    """The gradient of the output (N, T, ...) as those of the steps: (T, [2,] N, H); zero where they are masked."""
    in_time = gradient.swapaxes(0, 1)
    if D == 1:
        in_time = in_time if real_in_time is None else in_time * real_in_time
        return in_time if xp.device == "cpu" else xp.ascontiguousarray(in_time, dtype=dtype)
    T, N = in_time.shape[:2]
    steps = xp.empty((T, D, N, H), dtype=dtype)
    _masked(in_time[:, :, :H], real_in_time, steps[:, 0])
    _masked(in_time[:, :, H:], real_in_time, steps[::-1, 1])
    return steps


def _masked(values: Array, real_in_time: Array | None, out: Array) -> None:
    """Write `values`, with zeros where a step is not real."""
    if real_in_time is None:
        out[...] = values
    else:
        xp.multiply(values, real_in_time, out=out)
