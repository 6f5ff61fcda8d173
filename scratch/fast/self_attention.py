"""The fast twin of SelfAttention: some rows, all heads and some queries at a time.

The scores of such a piece stay in a cache until the means of the values are made, and no scores are computed for keys
later than all queries of the piece. The exponentials of the scores are kept for backward. The means, which are fewer
numbers, are divided by the sum instead of the exponentials. Heads are views of what the projections read and write, so
nothing is transposed or joined. On a GPU the scores of many rows are a piece, and what is done to them is one kernel in
each pass: there, the weights are kept for backward.
"""

import math
from collections.abc import Iterator
from typing import Any

from scratch import self_attention
from scratch.backend import Array, as_floats, xp
from scratch.checks import expect
from scratch.fast.arrays import as_mask, contiguous
from scratch.fast.rows import on_rows, row_max, row_sum, rows_fit, up_to_query
from scratch.functions import softmax
from scratch.self_attention import only_real

_QUERIES = 64  # of a piece
_NUMBERS = 1 << 16  # of a piece: 256 KiB in float32
_LARGEST = 30.0  # of scores whose exponentials need no shift: e^30 is 1e13

Piece = tuple[slice, slice, slice]


class SelfAttention(self_attention.SelfAttention):
    """As `self_attention.SelfAttention`. A piece with a score beyond 30 takes the plain layer's softmax; on a GPU, one
    with more than 1,024 keys does.

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
        if rows_fit(S, H * T * S):
            return self._means_on_gpu(q, k, v, seen, keep)
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

    def _means_on_gpu(self, q: Array, k: Array, v: Array, seen: Array | None, keep: Array | None) -> tuple[Any, ...]:
        """The same, where the softmax is a kernel. It divides by the sum, so the means are divided by nothing, None."""
        (N, H, T, size), S = q.shape, k.shape[2]
        m, weights = xp.empty((N, T, H * size), dtype=q.dtype), []
        (means,) = self.split(m, 1)
        seen = None if seen is None else contiguous(seen).reshape(N, 1, 1, S)
        for piece in self._pieces(N, T, S):
            rows = piece[0]
            a = xp.empty((len(q[rows]), H, T, S), dtype=q.dtype)
            xp.matmul(q[rows], k[rows].swapaxes(2, 3), out=a)
            kept = None if keep is None else xp.empty_like(a)
            on_rows(
                _softmax, (a, kept), a, None if seen is None else seen[rows],
                T if self.causal else None, S - T if self.causal else None, None if keep is None else keep[rows],
                1 / (1 - self.dropout), float(xp.finfo(a.dtype).min),
            )
            xp.matmul(a if kept is None else kept, v[rows], out=means[rows])
            if self._train:
                weights.append((piece, a))
        return m, None, weights, keep

    def _last_means(self, q: Array, k: Array, v: Array) -> Array:
        """The means of the last position, which sees all: a letter of a text that is being generated."""
        if rows_fit(k.shape[2], q.shape[1] * k.shape[2]):
            return self._means_on_gpu(q, k, v, None, None)[0]
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
        if shares is not None:
            grad *= shares
            # softmax_gradient subtracts a sum over j of gradient times a; that is the product of m and its gradient.
            m *= m_grad
            both = m.reshape(-1, size).dot(xp.ones((size, 1), dtype=m.dtype)).reshape(N, T, H, 1).swapaxes(1, 2)
            if keep is not None:
                both *= 1 - self.dropout
        projected_grad = xp.empty((N, T, 3 * F), dtype=m.dtype)
        q_grad, k_grad, v_grad = self.split(projected_grad, 3)
        for (rows, queries, keys), e in exponentials:
            if shares is None:
                s, kept = self._scores_gradient(grad[rows], v[rows], e, None if keep is None else keep[rows])
            else:
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

    def _scores_gradient(self, grad: Array, v: Array, a: Array, keep: Array | None) -> tuple[Array, Array]:
        """The gradient of a piece's scores, and its weights as dropout left them, from the gradient of the means."""
        s, kept = xp.empty_like(a), a if keep is None else xp.empty_like(a)
        xp.matmul(grad, v.swapaxes(2, 3), out=s)
        on_rows(_softmax_back, (s, None if keep is None else kept), s, a, keep, 1 / (1 - self.dropout))
        return s, kept

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


def _softmax(
    z: Array, seen: Array | None, num_queries: int | None, first: int | None, keep: Array | None,
    scale: float, lowest: float,
) -> tuple[Array, Array]:
    """The weights of scores z, and what dropout leaves of them. Without `num_queries`, later keys are seen too."""
    allowed = seen
    if num_queries is not None and first is not None:
        earlier = up_to_query(num_queries, first)
        allowed = earlier if seen is None else seen & earlier
    if allowed is not None:
        z = xp.where(allowed, z, lowest)
    e = xp.exp(z - row_max(z))
    a = e / row_sum(e if allowed is None else xp.where(allowed, e, 0))
    if allowed is not None:
        a = xp.where(allowed, a, 0)  # also where no key of the row is, and a is 0 / 0
    return a, a if keep is None else xp.where(keep, a * scale, 0)


def _softmax_back(gradient: Array, a: Array, keep: Array | None, scale: float) -> tuple[Array, Array]:
    """The gradient of the scores, from that of the weights after dropout; and the weights after dropout."""
    kept = a if keep is None else xp.where(keep, a * scale, 0)
    product = kept * gradient
    return product - a * row_sum(product), kept


TWINS: dict[type, type] = {self_attention.SelfAttention: SelfAttention}
