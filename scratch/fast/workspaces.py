"""The arrays that a pass through time works in, and how they lie in memory.

What one step needs lies together, and in it what belongs to a gate, so that nothing has to be cut out of wider rows.
The axes of the arrays, of T steps of N rows:

    blocks            (T, num_blocks, [2,] N, hidden_dim)          the 2 is there with two layers only
    grad              (T, first_u_block + num_gates, [2,] N, hidden_dim)
    states            (T + 1, num_states, [2,] N, hidden_dim)      states[p] is from before step p
    products          (num_gates, [2,] N, hidden_dim)              u's, there and back
    state_grad, past  (num_states, [2,] N, hidden_dim)

On a GPU what a step does number by number is one operation (`fusion.py`), and u's products of all gates are one too.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from scratch.backend import Array, xp
from scratch.fast.fusion import fused
from scratch.fast.small_products import by_columns, width

Recurrent: TypeAlias = Any  # the class of through_time.py, which stands on this file

_MAX_SHAPES = 64  # shapes of batches whose views are kept


class Work:
    """The arrays of a pass over N sequences of T steps, whole and as lists of steps, in one buffer."""

    def __init__(self, layer: Recurrent, buffer: Array, T: int, N: int, D: int) -> None:
        self.shape, H, G, first = (T, N, D), layer.hidden_dim, layer.num_gates, layer.first_u_block
        arrays, start = [], 0
        for shape in Work.shapes(layer, T, N, D):
            size = math.prod(shape)
            arrays.append(buffer[start : start + size].reshape(shape))
            start += size
        self.blocks, self.states, self.products, self.grad, self.state_grad, self.past = arrays
        # u's product with a state, for each gate by itself; on a GPU it is one product, which puts them side by side.
        self.recurrent = self.products
        self.product = self.products.reshape(N, G * H) if D == 1 and (G == 1 or N == 1) else self.products
        self.on_a_gpu = xp.device != "cpu"
        if self.on_a_gpu and G * D > 1:
            step = (N,) if D == 1 else (D, N)
            self.product = self.products.reshape(*step, G * H)
            self.recurrent = xp.moveaxis(self.product.reshape(*step, G, H), -2, 0)
        self.kernels = dict[tuple, Callable[..., None]]()
        self.block, self.state, self.block_grad = list(self.blocks), list(self.states), list(self.grad)
        self.hidden = [state[0] for state in self.state]
        self.u_side = [grad[first] if G * D == 1 else grad[first:] for grad in self.block_grad]
        self.gates, self.gates_backward = list[Callable[[], None]](), list[Callable[[], None]]()  # of each step
        self.width = width(N, H, H)  # of the pieces of u: less than H where a product is made with each
        self.cut = self.width < H and G * D > 1
        if self.cut:
            self.product = by_columns(self.products, self.width)
            self.u_side = [side[..., None, :, :] for side in self.u_side]
            if D > 1:
                self.hidden = [hidden[:, None] for hidden in self.hidden]
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
        F = first + G
        if D * layer.num_blocks == 1:  # both orders are the same
            self.projected, self.sides = [self.blocks.reshape(T * N, H)], self.grads
        else:
            self.projected = list(self.grad.reshape(-1)[: D * T * N * G * H].reshape(D, T * N, G * H))
            self.sides = list(self.blocks.reshape(-1)[: D * T * N * F * H].reshape(D, T, N, F, H))
        self.by_gate = [projected.reshape(T, N, G, H).swapaxes(1, 2) for projected in self.projected]

    def bound_gates(self, layer: Recurrent) -> list[Callable[[], None]]:
        """The layer's gates of each step, bound to its arrays at the first call."""
        if not self.gates:
            steps = zip(self.block, self.state, self.state[1:], strict=False)
            self.gates += [layer.bind(block, self.recurrent, *states) for block, *states in steps]
        return self.gates

    def bound_gates_backward(self, layer: Recurrent) -> list[Callable[[], None]]:
        if not self.gates_backward:
            steps = zip(self.block, self.state, self.state[1:], self.block_grad, strict=False)
            self.gates_backward += [layer.bind_backward(self.state_grad, *arrays) for arrays in steps]
        return self.gates_backward

    def fused(self, function: Callable[..., None], *lists: Sequence[Any], axis: int = 0) -> Callable[..., None]:
        """`function` as one operation on a GPU, for arrays like the first of each list.

        It is made once, and found by its name, for all passes that these arrays serve.
        """
        if not all(map(len, lists)):  # no step at all
            return function
        arrays = [some[0] for some in lists]
        key = function.__name__, *(None if array is None else (array.dtype.char, array.shape) for array in arrays)
        if key not in self.kernels:
            self.kernels[key] = fused(function, *arrays, axis=axis)
        return self.kernels[key]

    @staticmethod
    def shapes(layer: Recurrent, T: int, N: int, D: int) -> list[tuple[int, ...]]:
        """Of blocks, states, products, grad, state_grad and past."""
        G, S, B, F = layer.num_gates, layer.num_states, layer.num_blocks, layer.first_u_block + layer.num_gates
        step = (N, layer.hidden_dim) if D == 1 else (D, N, layer.hidden_dim)
        return [(T, B, *step), (T + 1, S, *step), (G, *step), (T, F, *step), (S, *step), (S, *step)]


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
                self.by_shape.clear()  # with the old buffer, before there is a new one
                self.buffer = xp.empty(0)
                self.buffer = xp.empty(size, dtype=layer.w.data.dtype)
            if len(self.by_shape) == _MAX_SHAPES:
                self.by_shape.clear()
            self.by_shape[T, N] = Work(layer, self.buffer, T, N, D)
        return self.by_shape[T, N]
