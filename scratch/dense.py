"""The simplest layers: Linear, a matrix product; Embedding, a table look-up; and Flatten, a change of shape.

Linear multiplies and adds:

    y[o] = sum over i of w[o, i] * x[i]  +  b[o]

With w = [[2, 3]], b = [1] and x = [10, 20], y = [2 * 10 + 3 * 20 + 1] = [81]. The formula gives three derivatives:
dy[o]/dw[o, i] = x[i], dy[o]/db[o] = 1 and dy[o]/dx[i] = w[o, i]. Derivatives in later chapters are variations on these.

    layer = Linear(784, 10)
    y = layer.forward(x)                 # (N, 784) -> (N, 10)
    x_grad = layer.backward(y_grad)      # (N, 10) -> (N, 784); also adds to layer.w.grad and layer.b.grad

Read next: `activations.py`.
"""

import math
from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import VOCABULARY, as_ids, expect
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter


class Linear(Layer):
    """Each output is a weighted sum of all inputs, plus a bias.

        y = w x + b

    Shapes: (..., input_dim) -> (..., output_dim); one vector, a batch of rows, or sequences of rows.
    Parameters: w (output_dim, input_dim), b (output_dim,), omitted with `bias=False`.
    Source: Grus, Data Science from Scratch, chapter 19. `init` is one of `initial.INITS`.
    Differs: the bias starts at zero; the book draws it at random.
    Raises: ScratchError when the length of the input's last axis is not input_dim.
    """

    def __init__(self, input_dim: int, output_dim: int, init: str = "xavier", bias: bool = True) -> None:
        self.input_dim, self.output_dim, self.bias = input_dim, output_dim, bias
        # Random: in a hidden layer, equal weights would make all outputs equal for ever. `initial.py` has the scale.
        self.w = Parameter(random_tensor(output_dim, input_dim, init=init))
        self.b = Parameter(zeros(output_dim)) if bias else None

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        expect(input.shape[-1:] == (self.input_dim,), self, "input (..., {input_dim})", input)
        output = input @ self.w.data.T  # (..., output_dim)
        if self.b is not None:
            output = output + self.b.data
        self.remember(output.shape, input)
        return output

    def backward(self, gradient: Array) -> Array:
        (input,) = self.recall(gradient)
        # Merge all axes but the last into rows, numbered n below.
        rows, row_grads = input.reshape(-1, self.input_dim), gradient.reshape(-1, self.output_dim)
        # Each b[o] is added to output[n, o] for every row n; its gradient sums gradient[n, o] over n.
        if self.b is not None:
            self.b.grad += row_grads.sum(axis=0, dtype="float64")  # in float32, a sum of many rows loses digits
        # w[o] multiplies input[n] in every output[n, o]; its gradient sums gradient[n, o] * input[n] over n.
        self.w.grad += row_grads.T @ rows
        # input[n, i] is multiplied by w[o, i] in output[n, o]; its gradient sums gradient[n, o] * w[o, i] over o.
        return gradient @ self.w.data


class Embedding(Layer):
    """A table with one learned vector per id: row 7 is the vector of word 7.

        output[n] = w[ids[n]]

    Shapes: integers (...) -> (..., embedding_dim); one id gives one vector.
    Parameters: w (num_embeddings, embedding_dim); `init` is one of `initial.INITS`.
    Source: Bengio et al. 2003, A Neural Probabilistic Language Model, section 2.
        https://www.jmlr.org/papers/v3/bengio03a.html
    Raises: ScratchError for ids that are not integers in 0 .. num_embeddings - 1.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, init: str = "normal") -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.w = Parameter(random_tensor(num_embeddings, embedding_dim, init=init))

    @property
    def embeddings(self) -> Array:
        """The table, one row per id, under the book's name."""
        return self.w.data

    def forward(self, input: Any) -> Array:
        ids = as_ids(self, to_device(input), self.num_embeddings, hint=VOCABULARY)
        self.remember((*ids.shape, self.embedding_dim), ids)
        return self.w.data[ids]

    def backward(self, gradient: Array) -> None:
        (ids,) = self.recall(gradient)
        # Row w[k] was copied to output[n] wherever ids[n] == k; its gradient sums gradient[n] over those n.
        # (w.grad[ids] += gradient would count only the last occurrence of an id.)
        total = xp.zeros(self.w.data.shape, dtype="float64")
        xp.add.at(total, ids, gradient)
        self.w.grad += total


class Flatten(Layer):
    """Merges all axes but the first into one.

    Shapes: (N, ...) -> (N, product of the rest).
    """

    def forward(self, input: Array) -> Array:
        output = input.reshape(len(input), math.prod(input.shape[1:]))  # -1 would fail for an empty batch
        self.remember(output.shape, input.shape)
        return output

    def backward(self, gradient: Array) -> Array:
        (shape,) = self.recall(gradient)
        return gradient.reshape(shape)
