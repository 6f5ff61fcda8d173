"""Answers to the exercises on attention.py."""

import numpy

from scratch import Layer, Parameter, softmax
from scratch.functions import softmax_gradient

# exp(S) = [3, 1], so a = [3/4, 1/4] and u~ = 3/4 * 4 = 3. The gradient of a is u = [4, 0]. Its mean weighted by a is
# 3, so the gradient of S is [3/4 * (4 - 3), 1/4 * (0 - 3)]. The gradient of u is a.
by_hand = {"a": [3 / 4, 1 / 4], "u~": 3, "a_grad": [4, 0], "S_grad": [3 / 4, -3 / 4], "u_grad": [3 / 4, 1 / 4]}


class Gated(Layer):
    def __init__(self, inner):
        self.inner = inner

    def forward(self, input):
        # 1.
        a = self.inner.forward(input)
        # 2.
        output = a * input
        self.remember(output.shape, input, a)
        return output

    def backward(self, gradient):
        input, a = self.recall(gradient)
        # 2. The factors of a product: the derivative with respect to each is the other.
        input_grad, a_grad = gradient * a, gradient * input
        # 1. The inner layer read the input too.
        input_grad += self.inner.backward(a_grad)
        return input_grad


class AttentionOverTime(Layer):
    def __init__(self, dim):
        self.w = Parameter(numpy.ones(dim))

    def forward(self, input):
        # 1.
        a = softmax(input @ self.w.data)  # (N, T)
        # 2.
        output = (a[:, None] @ input)[:, 0]  # (N, 1, T) times (N, T, dim)
        self.remember(output.shape, input, a)
        return output

    def backward(self, gradient):
        input, a = self.recall(gradient)
        # 2. The mean: the input gets a times the gradient, a[n, t] the gradient's dot product with input[n, t].
        input_grad = a[:, :, None] * gradient[:, None]
        scores_grad = softmax_gradient(a, (input @ gradient[:, :, None])[:, :, 0])  # (N, T)
        # 1. The scores: w and the input are the factors of the product.
        self.w.grad += (scores_grad[:, :, None] * input).sum(axis=(0, 1))
        input_grad += scores_grad[:, :, None] * self.w.data
        return input_grad
