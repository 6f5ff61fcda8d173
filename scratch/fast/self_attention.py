"""The fast twin of SelfAttention: some rows, all heads and some queries at a time.

The scores of a piece fit a cache, from their product to the means of the values, and no scores are made of keys later
than all queries of the piece. What is kept for backward are the exponentials of the scores; their sum divides the means
and not them, being fewer numbers. Heads are views of the projections, in and out, so nothing is transposed or joined.
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
    """As `self_attention.SelfAttention`. Scores beyond 30 take the plain layer's softmax.

    The keys and values of a carried state lie in arrays with room for more, so a further position copies only itself.
    """

    working = (*self_attention.SelfAttention.working, "_room")
    _room: tuple[Any, Array, Array] | None = None  # the state whose keys and values are in these arrays; the arrays

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
        drop: Any = self.drop_weights  # a twin
        keep = drop.keep((N, H, T, k.shape[2]))
        scale = 1.0 if keep is None else 1 / (1 - self.dropout)
        # 2. and 3.
        m, shares, exponentials = xp.empty_like(x), xp.empty((N, H, T, 1), dtype=x.dtype), []
        (means,) = self.split(m, 1)
        for piece in self._pieces(N, T, k.shape[2]):
            rows, queries, keys = piece
            e = q[rows, :, queries] @ k[rows, :, keys].swapaxes(2, 3)
            self._exp(e, None if seen is None else seen[rows, keys], k.shape[2] - T + queries.start)
            total = e.reshape(-1, e.shape[3]).dot(xp.ones((e.shape[3], 1), dtype=x.dtype)).reshape(*e.shape[:3], 1)
            if seen is not None:
                total[total == 0] = 1
            shares[rows, :, queries] = scale / total
            kept = e if keep is None else e * keep[rows, :, queries, keys]
            xp.matmul(kept, v[rows, :, keys], out=means[rows, :, queries])
            if self.train:
                exponentials.append((piece, e))
        means *= shares
        # 4.
        output = only_real(self.drop_output.forward(self.out_projection.forward(m)), real)
        self.remember(output.shape, real, q, k, v, m, shares, exponentials, keep, continued)
        return output

    def backward(self, gradient: Array) -> Array:
        real, q, k, v, m, shares, exponentials, keep, continued = self.recall(gradient)
        if continued:
            raise RuntimeError(f"{self}: backward cannot reach the earlier pieces of a text; call reset_hidden_state()")
        (N, H, T, size), F = q.shape, self.features
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

    def _with_state(self, k: Array, v: Array, real: Array | None) -> tuple[Array, Array, Array]:
        """The keys, values and mask of all positions so far, which are the next state."""
        (N, H, T, size), before = k.shape, self.state
        seen = xp.ones((N, T), dtype=bool) if real is None else real
        start = 0
        if before is not None:
            right, hint = len(before[0]) == N, "call reset_hidden_state() between texts"
            expect(right, self, f"a carried state of {N} rows", len(before[0]), hint)
            start, seen = before[0].shape[2], xp.concatenate([before[2], seen], axis=1)
        stop = start + T
        if self._room is None or self._room[0] is not before or self._room[1].shape[2] < stop or not start:
            # Not written to is what a caller has taken, a state that may be put back.
            keys, values = (xp.empty((N, H, stop if not start else 2 * stop, size), dtype=k.dtype) for _ in range(2))
            if before is not None:
                keys[:, :, :start], values[:, :, :start] = before[:2]
        else:
            _, keys, values = self._room
        keys[:, :, start:stop], values[:, :, start:stop] = k, v
        self.state = keys[:, :, :stop], values[:, :, :stop], seen
        self._room = self.state, keys, values
        return self.state


TWINS: dict[type, type] = {self_attention.SelfAttention: SelfAttention}
