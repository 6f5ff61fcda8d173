"""The fast twin of SelfAttention: some rows, all heads and some queries at a time.

The scores of such a piece stay in a cache until the means of the values are made, and no scores are computed for keys
later than all queries of the piece. The exponentials of the scores are kept for backward. The means, which are fewer
numbers, are divided by the sum instead of the exponentials. Heads are views of what the projections read and write, so
nothing is transposed or joined.
"""

import math
from collections.abc import Iterator
from typing import Any

from scratch import self_attention
from scratch.backend import Array, as_floats, xp
from scratch.checks import expect
from scratch.fast.arrays import as_mask
from scratch.functions import softmax
from scratch.self_attention import only_real

_QUERIES = 64  # of a piece
_NUMBERS = 1 << 16  # of a piece: 256 KiB in float32
_LARGEST = 30.0  # of scores whose exponentials need no shift: e^30 is 1e13

Piece = tuple[slice, slice, slice]


class SelfAttention(self_attention.SelfAttention):
    """As `self_attention.SelfAttention`. A piece with a score beyond 30 takes the plain layer's softmax.

    The keys and values of a carried state are in arrays with room for more, so a new position copies only its own.
    """

    working = (*self_attention.SelfAttention.working, "_room")
    _room: Any = None  # the state whose arrays are views of these three, and whether all its positions are real

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        x = as_floats(input)
        right = x.ndim == 3 and x.shape[1] > 0 and x.shape[2] == self.features
        expect(right, self, "sequences (N, T, {features}), T >= 1", x)
        (N, T, F), H = x.shape, self.num_heads
        real = None if mask is None else as_mask(self, mask, (N, T))
        # 1. The queries are scaled, not the scores, which are more.
        projected = self.in_projection.forward(x)
        projected[:, :, :F] *= 1 / math.sqrt(F // H)
        q, k, v = self.split(projected, 3)
        seen, continued = real, self.stateful and self.state is not None
        if self.stateful:
            k, v, seen = self._with_state(k, v, real)
        # 2. and 3.
        memory: Any = ()
        if T == 1 and seen is None and not self._train:
            m = self._last_means(q, k, v).reshape(N, T, F)
        else:
            m, *memory = self._means(q, k, v, seen)
        # 4.
        output = only_real(self.drop_output.forward(self.out_projection.forward(m)), real)
        self.remember(output.shape, real, continued, q, k, v, m, *memory)
        return output

    def _means(self, q: Array, k: Array, v: Array, seen: Array | None) -> tuple[Any, ...]:
        """The heads' means side by side, (N, T, features), and what backward needs: what divides them, e and keep."""
        (N, H, T, size), S, dtype = q.shape, k.shape[2], q.dtype
        drop: Any = self.drop_weights  # a twin
        keep = drop.keep((N, H, T, S)) if self._train else None
        scale = 1.0 if keep is None else 1 / (1 - self.dropout)
        m, shares, exponentials = xp.empty((N, T, H * size), dtype=dtype), xp.empty((N, H, T, 1), dtype=dtype), []
        (means,) = self.split(m, 1)
        for piece in self._pieces(N, T, S):
            rows, queries, keys = piece
            e = q[rows, :, queries] @ k[rows, :, keys].swapaxes(2, 3)
            self._exp(e, None if seen is None else seen[rows, keys], S - T + queries.start)
            total = e.reshape(-1, e.shape[3]).dot(xp.ones((e.shape[3], 1), dtype=dtype)).reshape(*e.shape[:3], 1)
            if seen is not None:
                total[total == 0] = 1
            shares[rows, :, queries] = scale / total
            kept = e if keep is None else e * keep[rows, :, queries, keys]
            xp.matmul(kept, v[rows, :, keys], out=means[rows, :, queries])
            if self._train:
                exponentials.append((piece, e))
        means *= shares
        return m, shares, exponentials, keep

    def _last_means(self, q: Array, k: Array, v: Array) -> Array:
        """The means of the last position, which sees all: a letter of a text that is being generated."""
        e = q @ k.swapaxes(2, 3)
        e -= e.max(axis=3, keepdims=True)
        xp.exp(e, out=e)
        m = e @ v
        m /= e.sum(axis=3, keepdims=True)
        return m

    def backward(self, gradient: Array) -> Array:
        real, continued, q, k, v, m, *memory = self.recall(gradient)
        if continued:
            raise RuntimeError(f"{self}: backward cannot reach the earlier pieces of a text; call reset_hidden_state()")
        (N, H, T, size), F, (shares, exponentials, keep) = q.shape, self.features, memory
        # 4. From here on the gradient is of means of exponentials, which are not divided by their sum.
        m_grad = self.out_projection.backward(self.drop_output.backward(only_real(gradient, real)))
        (grad,) = self.split(m_grad, 1)
        grad *= shares
        # softmax_gradient subtracts a sum over j of gradient times a; that is the product of m and its gradient.
        m *= m_grad
        both = m.reshape(-1, size).dot(xp.ones((size, 1), dtype=m.dtype)).reshape(N, T, H, 1).swapaxes(1, 2)
        if keep is not None:
            both *= 1 - self.dropout
        projected_grad = xp.empty((N, T, 3 * F), dtype=m.dtype)
        q_grad, k_grad, v_grad = self.split(projected_grad, 3)
        for (rows, queries, keys), e in exponentials:
            s = grad[rows, :, queries] @ v[rows, :, keys].swapaxes(2, 3)
            kept = e
            if keep is not None:
                s *= keep[rows, :, queries, keys]
                kept = e * keep[rows, :, queries, keys]
            s -= both[rows, :, queries]
            s *= e
            xp.matmul(s, k[rows, :, keys], out=q_grad[rows, :, queries])
            for target, a, b in ((k_grad, s, q), (v_grad, kept, grad)):
                if queries.stop == T:  # the first of these rows, which has all keys
                    xp.matmul(a.swapaxes(2, 3), b[rows, :, queries], out=target[rows, :, keys])
                else:
                    target[rows, :, keys] += a.swapaxes(2, 3) @ b[rows, :, queries]
        projected_grad[:, :, :F] *= 1 / math.sqrt(size)
        return self.in_projection.backward(projected_grad)

    def _pieces(self, N: int, T: int, S: int) -> Iterator[Piece]:
        """Rows, queries and keys; of the same rows the last queries come first."""
        most, numbers = (_QUERIES, _NUMBERS) if xp.device == "cpu" else (T, 1 << 30)
        step = max(numbers // (self.num_heads * min(T, most) * S), 1)
        for start in range(0, N, step):
            for first in reversed(range(0, T, most)):
                stop = min(first + most, T)
                yield slice(start, start + step), slice(first, stop), slice(0, S - T + stop if self.causal else S)

    def _exp(self, scores: Array, seen: Array | None, first: int) -> None:
        """In place, the exponentials of the scores, 0 where not seen. `first` is the first query's position."""
        T, S = scores.shape[2:]
        if xp.device == "cpu" and scores.size and scores.max() < _LARGEST and scores.min() > -_LARGEST:
            xp.exp(scores, out=scores)
            if self.causal and T > 1:
                scores[:, :, :, first:] *= xp.arange(T) <= xp.arange(T)[:, None]
            if seen is not None:
                scores *= seen[:, None, None]
            return
        allowed = xp.ones((1, 1, 1, S), dtype=bool) if seen is None else seen[:, None, None]
        if self.causal:
            allowed = allowed & (xp.arange(S) <= xp.arange(first, first + T)[:, None])
        scores[...] = softmax(scores, mask=allowed)

    def _with_state(self, k: Array, v: Array, real: Array | None) -> tuple[Array, Array, Array | None]:
        """The keys, values and mask (None where all are real) of all positions so far. They become the state."""
        (N, H, T, size), before, start, whole = k.shape, self.state, 0, real is None
        if before is not None:
            right, hint = len(before[0]) == N, "call reset_hidden_state() between texts"
            expect(right, self, f"a carried state of {N} rows", len(before[0]), hint)
            start = before[0].shape[2]
        stop, room = start + T, self._room
        if start and room is not None and room[0] is before and room[1].shape[2] >= stop:
            _, keys, values, mask, known = room
        else:  # a state that somebody took, and put back, is copied
            length, known = 2 * stop if start else stop, before is None or bool(before[2].all())
            keys, values = (xp.empty((N, H, length, size), dtype=k.dtype) for _ in range(2))
            mask = xp.ones((N, length), dtype=bool)
            if before is not None:
                keys[:, :, :start], values[:, :, :start], mask[:, :start] = before
        keys[:, :, start:stop], values[:, :, start:stop] = k, v
        mask[:, start:stop] = True if real is None else real
        whole = whole and known
        self.state = keys[:, :, :stop], values[:, :, :stop], mask[:, :stop]
        self._room = self.state, keys, values, mask, whole
        return *self.state[:2], None if whole else self.state[2]


TWINS: dict[type, type] = {self_attention.SelfAttention: SelfAttention}
