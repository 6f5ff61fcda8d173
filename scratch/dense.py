"""Layers that are one product or one lookup: Linear, Embedding, Flatten.

The simplest layer multiplies and adds:

    y[o] = sum over i of w[o][i] * x[i]  +  b[o]

and its three derivatives can be read off that line. Every other chapter is a variation on them.

    layer = Linear(784, 10)
    y = layer.forward(x)                 # (N, 784) -> (N, 10)
    x_grad = layer.backward(y_grad)      # (N, 10) -> (N, 784); layer.w.grad and layer.b.grad have grown

For matrices `a.dot(b)` is `a @ b`. Networks that learn from one example at a time multiply tens of thousands of tiny
matrices a second, and there it takes half the time; so it is what the layers write.

Read next: `activations.py`.
"""

import math
from typing import Any

from scratch.backend import Array, add_at, as_floats, expect, expect_ids, to_device, xp
from scratch.functions import sigmoid
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter


class Linear(Layer):
    """Each output is a weighted sum of all inputs, plus a bias.

        y = w x + b

    Shapes: (..., input_dim) -> (..., output_dim); one vector, a batch of rows, or sequences of rows.
    Parameters: w (output_dim, input_dim), b (output_dim,); with `bias=False` no b.
    Source: Grus, Data Science from Scratch, chapter 19. `init` is one of `initial.INITS`.
    Differs: the bias starts at zero; the book draws it at random.
    Raises: ScratchError when the last axis of the input is not input_dim.
    """

    def __init__(self, input_dim: int, output_dim: int, init: str = "xavier", bias: bool = True) -> None:
        self.input_dim, self.output_dim = input_dim, output_dim
        self.w = Parameter(random_tensor(output_dim, input_dim, init=init))
        self.b = Parameter(zeros(output_dim)) if bias else None

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(
            input.shape[-1:] == (self.input_dim,),
            self, "input (..., {input_dim})", input, "is the vocabulary the one it was trained with?",
        )
        rows = input.reshape(-1, self.input_dim)
        output = rows.dot(self.w.data.T)
        if self.b is not None:
            output += self.b.data
        output = output.reshape(*input.shape[:-1], self.output_dim)
        self.remember(output.shape, rows, input.shape)
        return output

    def backward(self, gradient: Array) -> Array:
        input, shape = self.recall(gradient)
        gradient = gradient.reshape(-1, self.output_dim)
        # Each b[o] is added to output[n, o] for every row n; so it collects gradient[n, o] over n.
        if self.b is not None:
            self.b.grad += gradient.sum(axis=0)
        # Row n of the input met weight w[o] in output[n, o]; so w[o] collects gradient[n, o] * input[n] over n.
        self.w.grad += gradient.T.dot(input)
        # input[n, i] was multiplied by w[o, i] in every output[n, o]; so it collects gradient[n, o] * w[o, i] over o.
        return gradient.dot(self.w.data).reshape(shape)


class Embedding(Layer):
    """A table with a learned vector for each id.

        output[n] = w[ids[n]]

    Shapes: integers (...) -> (..., embedding_dim); one id gives one vector.
    Parameters: w (num_embeddings, embedding_dim).
    Source: Bengio et al. 2003, A Neural Probabilistic Language Model, section 2.
        https://www.jmlr.org/papers/v3/bengio03a.html
    Raises: ScratchError for ids that are not integers in 0 .. num_embeddings - 1.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, init: str = "normal") -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.w = Parameter(random_tensor(num_embeddings, embedding_dim, init=init))

    @property
    def embeddings(self) -> Array:
        """The table itself, one row for each id."""
        return self.w.data

    def forward(self, input: Any) -> Array:
        ids = to_device(input)
        expect_ids(self, ids, self.num_embeddings)
        self.remember((*ids.shape, self.embedding_dim), ids)
        return self.w.data[ids]

    def backward(self, gradient: Array) -> None:
        (ids,) = self.recall(gradient)
        # Row w[k] was copied to output[n] wherever ids[n] == k; so it collects gradient[n] over those n.
        add_at(self.w.grad, ids.ravel(), gradient.reshape(-1, self.embedding_dim))


class Highway(Layer):
    """A layer that may be passed by: for each number a gate says how much of it is computed, and how much goes through.

        transform = relu(w x + b)        gate = sigmoid(v x + c)
        y = gate * transform + (1 - gate) * x

    Shapes: (..., dim) -> the same.
    Parameters: w (2, dim, dim), of the transform and of the gate; b (2, dim). The gate's b begins at -1: at first most
        goes through.
    Source: Srivastava et al. 2015, https://arxiv.org/abs/1505.00387, equation 3.
    """

    def __init__(self, dim: int, init: str = "xavier") -> None:
        self.dim = dim
        self.w = Parameter(xp.stack([random_tensor(dim, dim, init=init) for _ in range(2)]))
        self.b = Parameter(zeros(2, dim))
        self.b.data[1] = -1

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.shape[-1:] == (self.dim,), self, "input (..., {dim})", input)
        x = input.reshape(-1, self.dim)
        transform = xp.maximum(x.dot(self.w.data[0].T) + self.b.data[0], 0)
        gate = sigmoid(x.dot(self.w.data[1].T) + self.b.data[1])
        output = x + gate * (transform - x)
        self.remember(input.shape, x, transform, gate)
        return output.reshape(input.shape)

    def backward(self, gradient: Array) -> Array:
        x, transform, gate = self.recall(gradient)
        g = gradient.reshape(-1, self.dim)
        # y = x + gate * (transform - x): the gate opens on their difference, and passes its share to each of them.
        transform_grad = g * gate * (transform > 0)
        gate_grad = g * (transform - x) * gate * (1 - gate)
        self.b.grad += xp.stack([transform_grad.sum(axis=0), gate_grad.sum(axis=0)])
        self.w.grad += xp.stack([transform_grad.T.dot(x), gate_grad.T.dot(x)])
        # x was read three times: it went through, and into both products.
        x_grad = g * (1 - gate)
        x_grad += transform_grad.dot(self.w.data[0])
        x_grad += gate_grad.dot(self.w.data[1])
        return x_grad.reshape(gradient.shape)


class Flatten(Layer):
    """All axes but the first become one.

    Shapes: (N, ...) -> (N, product of the rest).
    """

    def forward(self, input: Array) -> Array:
        output = input.reshape(len(input), math.prod(input.shape[1:]))
        self.remember(output.shape, input.shape)
        return output

    def backward(self, gradient: Array) -> Array:
        (shape,) = self.recall(gradient)
        return gradient.reshape(shape)
