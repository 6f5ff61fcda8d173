"""Attention between two texts: dot-product attention, and bidirectional attention flow (BiDAF).

To answer a question about a paragraph, a network must know which words of the question matter to each word of the
paragraph; and, in `BidirectionalAttention`, which words of the paragraph matter to the question. Both are computed from
one matrix of similarities, which in the simplest case are dot products:

    S[t, j]  the similarity of word t of the paragraph (the context, h) to word j of the question (u)

Take one context word h = [1, 0] and the question words [2, 0] and [0, 2]. Then S = [2, 0], its softmax is
[0.88, 0.12], and the context word receives 0.88 [2, 0] + 0.12 [0, 2] = [1.76, 0.24].

These layers use h and u several times, so their steps do not form a chain. The comments number the steps of forward,
and backward takes them in reverse. The gradient of a value that is used several times is a sum with one
term for each use.

    attention = BidirectionalAttention(200)
    G = attention.forward(H, U, context_mask, question_mask)      # (N, T, 200), (N, J, 200) -> (N, T, 800)

Read next: `self_attention.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect, expect_mask
from scratch.functions import softmax, softmax_gradient
from scratch.initial import random_tensor
from scratch.layer import Layer, Parameter


class DotAttention(Layer):
    """Concatenates each context word with a mean of the question's words, weighted by their similarity to it.

        1.  S[t, j] = h[t] . u[j]
        2.  a[t] = softmax of S[t] over the question;   u~[t] = sum over j of a[t, j] u[j]
        3.  g[t] = h[t] and u~[t], concatenated

    Shapes: context h (N, T, dim), question u (N, J, dim), with optional masks (N, T) and (N, J), True at real
        words -> (N, T, 2 dim); zeros at masked words; u~ is zero where the question has no real word.
        Padding may hold any finite numbers.
    Source: Luong et al. 2015, https://arxiv.org/abs/1508.04025, section 3.1 ("dot").
    Raises: ScratchError for texts of the wrong width, of length 0 or with different N; for masks of the wrong shape.
    """

    def __init__(self, dim: int) -> None:
        self.dim, self.output_dim = dim, 2 * dim

    def forward(
        self, context: Any, question: Any, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> Array:
        h, u, real_h, real_u = _texts(self, context, question, context_mask, question_mask)
        # 1. Similarities.
        s = self.similarities(h, u)  # (N, T, J)
        # 2. For each word of the context, a mean of the question's words.
        a = softmax(s, mask=real_u[:, None, :])  # zeros at padding, even if everything is padding
        u_seen = a @ u  # (N, T, dim)
        # 3. Concatenate; zeros where the context is padding.
        output = xp.concatenate([h, u_seen], axis=2)
        output *= real_h[:, :, None]
        self.remember(output.shape, h, u, real_h, a)
        return output

    def similarities(self, h: Array, u: Array) -> Array:
        """S, (N, T, J)."""
        return h @ u.swapaxes(1, 2)

    def backward(self, gradient: Array) -> tuple[Array, Array]:
        h, u, real_h, a = self.recall(gradient)
        # 3. The gradients of the two parts.
        g = gradient * real_h[:, :, None]
        g_h, u_seen_grad = g[:, :, : self.dim], g[:, :, self.dim :]
        # 2. u~[t] is a mean of u with weights a[t]: u[j] gets a[t, j] times the gradient of u~[t]; a[t, j]
        # gets the dot product of that gradient with u[j].
        u_grad = a.swapaxes(1, 2) @ u_seen_grad
        s_grad = softmax_gradient(a, u_seen_grad @ u.swapaxes(1, 2))
        # 1. h and u are the factors of S; h was also used in step 3.
        h_grad = g_h + s_grad @ u
        u_grad += s_grad.swapaxes(1, 2) @ h
        return h_grad, u_grad


class BidirectionalAttention(Layer):
    """Concatenates each context word with its attention to the question, and the question's attention to the context.

        1.  S[t, j] = w[0] . h[t] + w[1] . u[j] + w[2] . (h[t] * u[j])
        2.  a[t] = softmax of S[t] over the question;                u~[t] = sum over j of a[t, j] u[j]
        3.  b = softmax of (the largest of each S[t]) over the context;  h~ = sum over t of b[t] h[t]
        4.  g[t] = h[t], u~[t], h[t] * u~[t], h[t] * h~, concatenated

    Shapes: context h (N, T, dim), question u (N, J, dim), with optional masks (N, T) and (N, J), True at real
        words -> (N, T, 4 dim); zeros at masked words; u~ and h~ are zero where the question has no real word.
        Padding may hold any finite numbers.
    Parameters: w (3, dim).
    Source: Seo et al. 2016, https://arxiv.org/abs/1611.01603, section 2, equations 1 and 2.
    Raises: ScratchError for texts of the wrong width, of length 0 or with different N; for masks of the wrong shape.
    """

    def __init__(self, dim: int, init: str = "xavier") -> None:
        self.dim, self.output_dim = dim, 4 * dim
        self.w = Parameter(random_tensor(3, dim, init=init))

    def forward(
        self, context: Any, question: Any, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> Array:
        h, u, real_h, real_u = _texts(self, context, question, context_mask, question_mask)
        # 1. Similarities.
        s = self.similarities(h, u)  # (N, T, J)
        # 2. For each word of the context, a mean of the question's words.
        a = softmax(s, mask=real_u[:, None, :])
        u_seen = a @ u  # (N, T, dim)
        # 3. For the question, a mean of the context's words, weighted by their similarity to the nearest question word.
        s = xp.where(real_u[:, None, :], s, xp.finfo(s.dtype).min)  # -inf would give NaN for an empty question
        nearest = s.argmax(axis=2)
        largest = s.max(axis=2)
        b = softmax(largest, mask=real_h & real_u.any(axis=1, keepdims=True))
        h_seen = b[:, None, :] @ h  # (N, 1, dim)
        # 4. Concatenate; zeros where the context is padding.
        output = xp.concatenate([h, u_seen, h * u_seen, h * h_seen], axis=2)
        output *= real_h[:, :, None]
        self.remember(output.shape, h, u, real_h, a, u_seen, nearest, b, h_seen)
        return output

    def similarities(self, h: Array, u: Array) -> Array:
        """S, (N, T, J). Its last term is the dot product of u with h scaled by w[2]."""
        w = self.w.data
        s = (h * w[2]) @ u.swapaxes(1, 2)
        s += (h @ w[0])[:, :, None]
        s += (u @ w[1])[:, None, :]
        return s

    def backward(self, gradient: Array) -> tuple[Array, Array]:
        h, u, real_h, a, u_seen, nearest, b, h_seen = self.recall(gradient)
        w, D = self.w.data, self.dim
        # 4. The gradients of the four parts.
        g = gradient * real_h[:, :, None]
        g_h, g_u, g_hu, g_hh = (g[:, :, k * D : (k + 1) * D] for k in range(4))
        h_grad = g_h + g_hu * u_seen  # h[t] is in three parts: alone, times u~ and times h~
        h_grad += g_hh * h_seen
        u_seen_grad = g_u + g_hu * h
        h_seen_grad = (g_hh * h).sum(axis=1, keepdims=True)
        # 3. h~ = sum of b[t] h[t]: h[t] gets b[t] times h~'s gradient; b[t] gets that gradient's dot product with h[t].
        h_grad += b[:, :, None] * h_seen_grad
        largest_grad = softmax_gradient(b, (h_seen_grad @ h.swapaxes(1, 2))[:, 0])
        # 2. Likewise u~[t], a mean of u with weights a[t].
        u_grad = a.swapaxes(1, 2) @ u_seen_grad
        s_grad = softmax_gradient(a, u_seen_grad @ u.swapaxes(1, 2))
        # S was used twice. Step 3 used only the largest of each row, so only that number gets a gradient from it.
        s_grad += (xp.arange(s_grad.shape[2]) == nearest[:, :, None]) * largest_grad[:, :, None]
        # 1. S is a sum of three terms. w[0] multiplied h[t] for every j, and w[1] multiplied u[j] for every t.
        of_h, of_u = s_grad.sum(axis=2), s_grad.sum(axis=1)
        h_grad += of_h[:, :, None] * w[0]
        u_grad += of_u[:, :, None] * w[1]
        # w[2] multiplied the products h[t] * u[j].
        scaled_h_grad = s_grad @ u  # of w[2] * h
        h_grad += scaled_h_grad * w[2]
        u_grad += s_grad.swapaxes(1, 2) @ (h * w[2])
        self.w.grad[0] += of_h.ravel() @ h.reshape(-1, D)
        self.w.grad[1] += of_u.ravel() @ u.reshape(-1, D)
        self.w.grad[2] += (h * scaled_h_grad).sum(axis=(0, 1), dtype="float64")
        return h_grad, u_grad


def _texts(
    layer: DotAttention | BidirectionalAttention, context: Any, question: Any, context_mask: Any, question_mask: Any
) -> tuple[Array, Array, Array, Array]:
    """Both texts and their masks, after validation."""
    h, u = as_floats(context), as_floats(question)
    right = h.ndim == u.ndim == 3 and len(h) == len(u) and h.shape[2] == u.shape[2] == layer.dim
    right = right and min(h.shape[1], u.shape[1]) > 0
    expect(right, layer, "two texts (N, T, {dim}) and (N, J, {dim}) of one word or more", f"{h.shape} and {u.shape}")
    real_h, real_u = (
        xp.ones(text.shape[:2], dtype=bool) if mask is None else to_device(mask)
        for text, mask in ((h, context_mask), (u, question_mask))
    )
    expect_mask(layer, real_h, h.shape[:2])
    expect_mask(layer, real_u, u.shape[:2])
    return h, u, real_h, real_u
