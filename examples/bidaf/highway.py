"""Highway: a layer with a bypass, and a gate that weighs the two."""

from typing import Any

from scratch.backend import Array, as_floats, xp
from scratch.checks import expect
from scratch.functions import sigmoid
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter


class Highway(Layer):
    """For each feature, a learned gate chooses how much is transformed and how much is passed on unchanged.

        transform = relu(w x + b)        gate = sigmoid(v x + c)
        y = gate * transform + (1 - gate) * x

    Shapes: (..., dim) -> the same.
    Parameters: w (2, dim, dim), which holds w and v; b (2, dim), which holds b and c. c starts at -1, so that at first
        the gate is about 0.27 and most of x is passed on.
    Source: Srivastava et al. 2015, https://arxiv.org/abs/1505.00387, equation 3.
    Raises: ScratchError when the last axis of the input is not dim.
    """

    def __init__(self, dim: int, init: str = "xavier") -> None:
        self.dim = dim
        self.w = Parameter(xp.stack([random_tensor(dim, dim, init=init) for _ in range(2)]))
        self.b = Parameter(zeros(2, dim))
        self.b.data[1] = -1

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.shape[-1:] == (self.dim,), self, "input (..., {dim})", input)
        (w, v), (b, c) = self.w.data, self.b.data
        x = input.reshape(-1, self.dim)  # all axes but the last count rows
        transform = xp.maximum(x @ w.T + b, 0)
        gate = sigmoid(x @ v.T + c)
        y = gate * transform + (1 - gate) * x
        self.remember(input.shape, x, transform, gate)
        return y.reshape(input.shape)

    def backward(self, gradient: Array) -> Array:
        x, transform, gate = self.recall(gradient)
        w, v = self.w.data
        y_grad = gradient.reshape(-1, self.dim)
        # y contains gate * transform, and relu passes a gradient only where its output is positive.
        transform_grad = y_grad * gate * (transform > 0)
        # A gate that opens replaces x by transform in y; the slope of the sigmoid is gate * (1 - gate).
        gate_grad = y_grad * (transform - x) * gate * (1 - gate)
        for k, product_grad in enumerate((transform_grad, gate_grad)):
            # As in Linear: the bias collects the gradient of every row, a weight that gradient times its input.
            self.b.grad[k] += product_grad.sum(axis=0)
            self.w.grad[k] += product_grad.T @ x
        # x was used three times:
        x_grad = y_grad * (1 - gate)  # it was passed on,
        x_grad += transform_grad @ w  # it was transformed,
        x_grad += gate_grad @ v  # and it set the gate.
        return x_grad.reshape(gradient.shape)
