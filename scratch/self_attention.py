"""Self-attention with several heads, causal or not: each position of a text looks at the others.

A recurrent network carries what it has read in one state. With self-attention, each position looks at all earlier ones
directly. Position t computes a query, and each position j a key and a value; the better query t matches key j, the more
of value j position t receives. Take queries of zero, so that all scores are equal, and the values 3, 5, 10: each
position receives the mean of the values so far, 3, 4 and 6. No output depends on a later input (the attention is
causal), so a network that predicts the next character of a text is trained at all positions in one pass.

    attention = SelfAttention(features=128, num_heads=4)
    y = attention.forward(x)                 # (N, T, 128) -> (N, T, 128)

Comments number the steps of forward, and backward takes them in reverse. Read next: `transformer.py`.
"""

import math
from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect, expect_mask
from scratch.dense import Linear
from scratch.functions import softmax, softmax_gradient
from scratch.layer import Layer
from scratch.regular import Dropout


class SelfAttention(Layer):
    """Each position of a text receives a mean of the positions up to itself, weighted by how well they match it.

        1.  q[t], k[t], v[t] = query, key and value: linear functions of x[t], each cut into num_heads of equal size
        2.  a[t] = softmax over j <= t of q[t] . k[j] / sqrt(size)         in each head
        3.  m[t] = sum over j of a[t, j] v[j]                              in each head
        4.  y[t] = a linear function of the heads' m[t], concatenated

    A dot product of `size` independent terms has a variance proportional to size; the square root undoes that. Dropout,
    with probability `dropout`, acts on a and on y. With `causal=False`, j may be any position.

    Shapes: (N, T, features), with an optional mask (N, T), True at real positions -> the same; zeros at masked ones.
    Parameters: in_projection (a Linear; the rows of its w are those of queries, keys and values) and out_projection;
        without biases with `bias=False`.
    State: with `stateful=True`, keys and values are kept (the "key-value cache" of text generators), and later calls
        attend to them too, until `reset_hidden_state()`. So a text may come in pieces, or one character at a time.
        Use it inside `evaluating`: after a forward that began with a state, `backward` raises RuntimeError.
    Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.
    Raises: ScratchError for num_heads that do not divide features, an input or a mask of the wrong shape, or a carried
        state for another N.
    """

    working = (*Layer.working, "state")
    state: tuple[Array, Array, Array] | None = None  # the keys, values and mask of the positions so far

    def __init__(
        self, features: int, num_heads: int, dropout: float = 0.0, causal: bool = True, stateful: bool = False,
        bias: bool = True,
    ) -> None:
        divides = num_heads >= 1 and features % num_heads == 0
        expect(divides, "SelfAttention", f"num_heads that divide the {features} features", num_heads)
        self.features, self.num_heads, self.dropout = features, num_heads, dropout
        self.causal, self.stateful, self.bias = causal, stateful, bias
        self.in_projection = projection(features, 3 * features, bias)
        self.out_projection = projection(features, features, bias)
        self.drop_weights, self.drop_output = Dropout(dropout), Dropout(dropout)

    def reset_hidden_state(self) -> None:
        """Forget the earlier positions: the next call begins a text."""
        self.state = None

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        x = as_floats(input)
        right = x.ndim == 3 and x.shape[1] > 0 and x.shape[2] == self.features
        expect(right, self, "sequences (N, T, {features}), T >= 1", x)
        real = xp.ones(x.shape[:2], dtype=bool) if mask is None else to_device(mask)
        expect_mask(self, real, x.shape[:2])
        # 1. Queries, keys and values, and with a state the keys and values before them.
        q, k, v = self.split(self.in_projection.forward(x), 3)  # each (N, num_heads, T, size)
        before, seen = self.state if self.stateful else None, real
        if before is not None:
            right, hint = len(before[0]) == len(x), "call reset_hidden_state() between texts"
            expect(right, self, f"a carried state of {len(x)} rows", len(before[0]), hint)
            k, v = xp.concatenate([before[0], k], axis=2), xp.concatenate([before[1], v], axis=2)
            seen = xp.concatenate([before[2], real], axis=1)  # (N, S); S = T without a state
        self.state = (k, v, seen) if self.stateful else None
        # 2. The weights of the positions that each position sees.
        a = self.weights(q, k, seen)  # (N, num_heads, T, S)
        kept = self.drop_weights.forward(a)
        # 3. Means of the values.
        m = kept @ v  # (N, num_heads, T, size)
        # 4. A linear function of the heads side by side; zeros at padding.
        output = only_real(self.drop_output.forward(self.out_projection.forward(self.join([m]))), real)
        self.remember(output.shape, real, q, k, v, a, kept, before is not None)
        return output

    def weights(self, q: Array, k: Array, seen: Array) -> Array:
        """a, (N, num_heads, T, S). Queries are of the last T of S positions; `seen`, (N, S), is False at padding."""
        (T, size), S = q.shape[2:], k.shape[2]
        allowed = seen[:, None, None, :]
        if self.causal:
            allowed = allowed & (xp.arange(S) <= xp.arange(S - T, S)[:, None])  # (N, 1, T, S)
        return softmax(q @ k.swapaxes(2, 3) / math.sqrt(size), mask=allowed)

    def backward(self, gradient: Array) -> Array:
        real, q, k, v, a, kept, continued = self.recall(gradient)
        if continued:
            raise RuntimeError(f"{self}: backward cannot reach the earlier pieces of a text; call reset_hidden_state()")
        # 4. The linear function and the heads side by side.
        (m_grad,) = self.split(self.out_projection.backward(self.drop_output.backward(only_real(gradient, real))), 1)
        # 3. m[t] is a mean of v with weights a[t]: v[j] gets a[t, j] times the gradient of m[t], summed over t; a[t, j]
        # gets the dot product of that gradient with v[j].
        v_grad = kept.swapaxes(2, 3) @ m_grad
        a_grad = self.drop_weights.backward(m_grad @ v.swapaxes(2, 3))
        # 2. q[t] and k[j] are the factors of their score: each gets the score's gradient times the other. Where t does
        # not see j, a[t, j] is 0 whatever the score, and softmax_gradient gives 0.
        score_grad = softmax_gradient(a, a_grad) / math.sqrt(q.shape[3])
        q_grad = score_grad @ k
        k_grad = score_grad.swapaxes(2, 3) @ q
        # 1. x was used three times, in one product: the Linear sums over all rows of w.
        return self.in_projection.backward(self.join([q_grad, k_grad, v_grad]))

    def split(self, x: Array, parts: int) -> Array:
        """(N, T, parts * features) -> (parts, N, num_heads, T, size)."""
        return x.reshape(*x.shape[:2], parts, self.num_heads, self.features // self.num_heads).transpose(2, 0, 3, 1, 4)

    def join(self, parts: list[Array]) -> Array:
        """The inverse of `split`, of a list of (N, num_heads, T, size)."""
        N, _, T, _ = parts[0].shape
        return xp.stack(parts).transpose(1, 3, 0, 2, 4).reshape(N, T, len(parts) * self.features)


def projection(input_dim: int, output_dim: int, bias: bool) -> Linear:
    """A Linear with the initial weights of GPT-2: normal, with standard deviation 0.02."""
    linear = Linear(input_dim, output_dim, "normal", bias)
    linear.w.data *= 0.02
    return linear


def only_real(x: Array, mask: Array | None) -> Array:
    """x (N, T, ...) with zeros where the mask (N, T) is False."""
    return x if mask is None else xp.where(to_device(mask)[:, :, None], x, 0)
