"""Exercises on `attention.py`."""

from typing import Any

import numpy

from scratch.activations import Sigmoid
from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.functions import softmax
from scratch.initial import generator
from scratch.layer import Parameter, Sequential

START = """
import numpy

from scratch import Layer, Parameter, softmax
from scratch.functions import softmax_gradient
"""


@exercise
def by_hand(answer: Any) -> None:
    """The similarities of a word of the paragraph to the two words of the question are S = [log 3, 0]. The vectors of
    these two words have one number each: u = [4, 0]. Work out the weights a = softmax(S) and the mean u~ on paper. Then
    let the gradient of u~ be 1, and work out the gradients of a, of S, and of u (the term of the mean).

    Start:

        by_hand = {"a": [0, 0], "u~": 0, "a_grad": [0, 0], "S_grad": [0, 0], "u_grad": [0, 0]}
    """
    if abs(sum(answer["S_grad"])) > 1e-9:
        raise Wrong("the gradient of S does not sum to 0; adding the same number to both scores changes no weight")
    expected = {"a": [0.75, 0.25], "u~": 3, "a_grad": [4, 0], "S_grad": [0.75, -0.75], "u_grad": [0.75, 0.25]}
    for name, value in expected.items():
        expect_equal(answer[name], value, name)


@exercise
def Gated(answer: Any) -> None:
    """Write a layer that multiplies its input by the output of an inner layer, elementwise:

        1.  a = inner(input)
        2.  output = a * input

    If inner ends with a Sigmoid, a is a gate: it passes between 0 and 100 % of each number.

    Start:

        class Gated(Layer):
            def __init__(self, inner):
                self.inner = inner

            def forward(self, input):
                raise NotImplementedError

            def backward(self, gradient):
                raise NotImplementedError  # input is used twice, so its gradient has two terms
    """
    inner, x = Sequential([Linear(3, 3), Sigmoid()]), generator().standard_normal((4, 3))
    a, layer = inner.forward(x), answer(inner)
    expect_equal(layer.forward(x), a * x, "the output")
    gradient = generator().standard_normal((4, 3))
    found = layer.backward(gradient)
    inner.forward(x)
    through_a = inner.backward(gradient * x)
    if found is not None and numpy.allclose(found, gradient * a):
        raise Wrong("the gradient of the input has only the term of step 2; the input is also used in step 1")
    if found is not None and numpy.allclose(found, through_a):
        raise Wrong("the gradient of the input has only the term of step 1; the input is also used in step 2")
    layer.zero_grads()
    expect_gradients(layer, x)


@exercise
def AttentionOverTime(answer: Any) -> None:
    """MeanOverTime gives each step the same weight. Write a layer that learns which steps matter. For an input x of
    shape (N, T, dim) and a Parameter w of shape (dim,), initially all ones:

        1.  a[n] = softmax over t of x[n, t] . w
        2.  output[n] = sum over t of a[n, t] x[n, t]

    Start:

        class AttentionOverTime(Layer):
            def __init__(self, dim):
                self.w = Parameter(numpy.ones(dim))

            def forward(self, input):
                raise NotImplementedError  # (N, T, dim) -> (N, dim)

            def backward(self, gradient):
                raise NotImplementedError  # softmax_gradient(a, a_grad) is the gradient of the scores
    """
    layer, x = answer(3), generator().standard_normal((2, 4, 3))
    if not isinstance(getattr(layer, "w", None), Parameter) or layer.w.data.shape != (3,):
        raise Wrong("AttentionOverTime(3).w is not a Parameter of shape (3,)")
    layer.w.data[:] = [1, -2, 0.5]
    a = softmax(x @ layer.w.data)
    expect_equal(layer.forward(x), (a[:, :, None] * x).sum(axis=1), "the output")
    gradient = generator().standard_normal((2, 3))
    found = layer.backward(gradient)
    if getattr(found, "shape", None) == x.shape and numpy.allclose(found, a[:, :, None] * gradient[:, None]):
        raise Wrong("the gradient of the input has only the term of step 2; the input is also used in step 1")
    expect_gradients(layer, x)
