"""Two texts that look at each other: attention at its simplest, and the bi-directional attention of BiDAF.

To answer a question about a paragraph, each word of the paragraph asks which words of the question matter to it; and,
with `BidirectionalAttention`, the question asks which words of the paragraph matter at all. Both are read off one table
of similarities:

    S[t, j]  how much word t of the paragraph (H, the context) has to do with word j of the question (U)

These layers are graphs that are no chain: H and U, the two texts, are used again and again. So a forward is numbered
lines, and its backward the same numbers in reverse. Whatever was used in several places has one sum of gradients, to
which each use adds its own line.

    attention = BidirectionalAttention(200)
    G = attention.forward(H, U, context_mask, question_mask)      # (N, T, 200), (N, J, 200) -> (N, T, 800)

Read next: `text.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, as_mask, expect, xp
from scratch.functions import softmax, softmax_gradient
from scratch.initial import random_tensor
from scratch.layer import Layer, Parameter


class DotAttention(Layer):
    """Each word of the context beside what the question has to say of it.

        1.  S[t, j] = h[t] . u[j]
        2.  a[t] = softmax of S[t] over the question;   u~[t] = sum over j of a[t, j] u[j]
        3.  g[t] = h[t], u~[t], one after the other

    Shapes: context h (N, T, dim), question u (N, J, dim), with optional masks (N, T) and (N, J), True where a word is
        real -> (N, T, 2 dim); a masked step gives zeros, and so does what a question without a word has to say.
        Padding may hold any finite number.
    Source: Luong et al. 2015, https://arxiv.org/abs/1508.04025, section 3.1 ("dot").
    Raises: ScratchError for texts of another width, without a step, or not of one N; for masks of another shape.
    """

    def __init__(self, dim: int) -> None:
        self.dim, self.output_dim = dim, 2 * dim

    def forward(
        self, context: Any, question: Any, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> Array:
        h, u, real_h, real_u = _texts(self, context, question, context_mask, question_mask)
        # 1. How alike.
        s = self.similarities(h, u)
        # 2. What the question has to say of each word.
        a = softmax(s, mask=real_u[:, None, :])
        u_seen = xp.matmul(a, u)
        # 3. Side by side; where the context is padding, zeros.
        output = xp.concatenate([h, u_seen], axis=2)
        output *= real_h[:, :, None]
        self.remember(output.shape, h, u, real_h, a)
        return output

    def similarities(self, h: Array, u: Array) -> Array:
        """S, (N, T, J)."""
        return xp.matmul(h, u.swapaxes(1, 2))

    def backward(self, gradient: Array) -> tuple[Array, Array]:
        h, u, real_h, a = self.recall(gradient)
        # 3. Two pieces side by side.
        g = gradient * real_h[:, :, None]
        g_h, u_seen_grad = g[:, :, : self.dim], g[:, :, self.dim :]
        # 2. u~[t] is a mean of u with weights a[t]: u[j] gets a[t, j] of its gradient, a[t, j] its product with u[j].
        u_grad = xp.matmul(a.swapaxes(1, 2), u_seen_grad)
        s_grad = softmax_gradient(a, xp.matmul(u_seen_grad, u.swapaxes(1, 2)))
        # 1. Both texts were in the products; h was used above too, as it is.
        h_grad = g_h + xp.matmul(s_grad, u)
        u_grad += xp.matmul(s_grad.swapaxes(1, 2), h)
        return h_grad, u_grad


class BidirectionalAttention(Layer):
    """Each word of the context beside what the question has to say of it, and beside what the question looks for.

        1.  S[t, j] = w[0] . h[t] + w[1] . u[j] + w[2] . (h[t] * u[j])
        2.  a[t] = softmax of S[t] over the question;                u~[t] = sum over j of a[t, j] u[j]
        3.  b = softmax of (the largest of each S[t]) over the context;  h~ = sum over t of b[t] h[t]
        4.  g[t] = h[t], u~[t], h[t] * u~[t], h[t] * h~, one after the other

    Shapes: context h (N, T, dim), question u (N, J, dim), with optional masks (N, T) and (N, J), True where a word is
        real -> (N, T, 4 dim); a masked step gives zeros, and so do u~ and h~ where the question has no word.
        Padding may hold any finite number.
    Parameters: w (3, dim).
    Source: Seo et al. 2016, https://arxiv.org/abs/1611.01603, section 2, equations 1 and 2.
    Raises: ScratchError for texts of another width, without a step, or not of one N; for masks of another shape.
    """

    def __init__(self, dim: int, init: str = "xavier") -> None:
        self.dim, self.output_dim = dim, 4 * dim
        self.w = Parameter(random_tensor(3, dim, init=init))

    def forward(
        self, context: Any, question: Any, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> Array:
        h, u, real_h, real_u = _texts(self, context, question, context_mask, question_mask)
        # 1. How alike.
        s = self.similarities(h, u)
        # 2. What the question has to say of each word.
        a = softmax(s, mask=real_u[:, None, :])
        u_seen = xp.matmul(a, u)
        # 3. What the question looks for: a word of the context counts by the word of the question that is most like it.
        s = xp.where(real_u[:, None, :], s, xp.finfo(s.dtype).min)
        nearest = s.argmax(axis=2)
        largest = s.max(axis=2)
        b = softmax(largest, mask=real_h & real_u.any(axis=1, keepdims=True))
        h_seen = xp.matmul(b[:, None, :], h)
        # 4. Side by side; where the context is padding, zeros.
        output = xp.concatenate([h, u_seen, h * u_seen, h * h_seen], axis=2)
        output *= real_h[:, :, None]
        self.remember(output.shape, h, u, real_h, a, u_seen, nearest, b, h_seen)
        return output

    def similarities(self, h: Array, u: Array) -> Array:
        """S, (N, T, J). Its last term is a product of the two texts, one of them scaled by w[2]."""
        w = self.w.data
        s = xp.matmul(h * w[2], u.swapaxes(1, 2))
        s += h.dot(w[0])[:, :, None]
        s += u.dot(w[1])[:, None, :]
        return s

    def backward(self, gradient: Array) -> tuple[Array, Array]:
        h, u, real_h, a, u_seen, nearest, b, h_seen = self.recall(gradient)
        w, D = self.w.data, self.dim
        # 4. Four pieces side by side, each with its own gradient.
        g = gradient * real_h[:, :, None]
        g_h, g_u, g_hu, g_hh = (g[:, :, k * D : (k + 1) * D] for k in range(4))
        h_grad = g_h + g_hu * u_seen  # h[t] is in three of them: as it is, times u~,
        h_grad += g_hh * h_seen  # and times h~,
        u_seen_grad = g_u + g_hu * h
        h_seen_grad = (g_hh * h).sum(axis=1, keepdims=True)
        # 3. h~ = sum of b[t] h[t]: h[t] gets b[t] times h~'s gradient, and b[t] the product of that gradient with h[t].
        h_grad += b[:, :, None] * h_seen_grad
        largest_grad = softmax_gradient(b, xp.matmul(h_seen_grad, h.swapaxes(1, 2))[:, 0])
        # 2. u~[t] is a mean of u with weights a[t], likewise.
        u_grad = xp.matmul(a.swapaxes(1, 2), u_seen_grad)
        s_grad = softmax_gradient(a, xp.matmul(u_seen_grad, u.swapaxes(1, 2)))
        # S was used twice. Of each row the largest stood for all in step 3, so it alone gets that gradient.
        s_grad += (xp.arange(s_grad.shape[2]) == nearest[:, :, None]) * largest_grad[:, :, None]
        # 1. Three terms. h[t] met w[0] in S[t, j] for every j; u[j] met w[1] for every t;
        of_h, of_u = s_grad.sum(axis=2), s_grad.sum(axis=1)
        h_grad += of_h[:, :, None] * w[0]
        u_grad += of_u[:, :, None] * w[1]
        # and the products h[t] * u[j] met w[2].
        product_grad = xp.matmul(s_grad, u)
        h_grad += product_grad * w[2]
        u_grad += xp.matmul(s_grad.swapaxes(1, 2), h * w[2])
        w_grads = of_h.ravel().dot(h.reshape(-1, D)), of_u.ravel().dot(u.reshape(-1, D)), (h * product_grad).sum((0, 1))
        self.w.grad += xp.stack(w_grads)
        return h_grad, u_grad


def _texts(
    layer: DotAttention | BidirectionalAttention, context: Any, question: Any, context_mask: Any, question_mask: Any
) -> tuple[Array, Array, Array, Array]:
    """Both texts, and where their words are real, once it is sure that they go together."""
    h, u = as_floats(context), as_floats(question)
    right = h.ndim == u.ndim == 3 and len(h) == len(u) and h.shape[2] == u.shape[2] == layer.dim
    right = right and min(h.shape[1], u.shape[1]) > 0
    expect(right, layer, "two texts (N, T, {dim}) and (N, J, {dim}), of a word at least", f"{h.shape} and {u.shape}")
    real_h = xp.ones(h.shape[:2], dtype=bool) if context_mask is None else as_mask(layer, context_mask, h.shape[:2])
    real_u = xp.ones(u.shape[:2], dtype=bool) if question_mask is None else as_mask(layer, question_mask, u.shape[:2])
    return h, u, real_h, real_u
