"""Exercises on `plain_arrays.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator

START = """
import numpy

from scratch import Layer
"""


@exercise
def Parabola(answer: Any) -> None:
    """Write a layer in Grus's manner, with plain arrays, params() and grads():
    output[n, i] = w[i] * input[n, i]^2 + b[i]. Initially, w is all ones and b all zeros.

    Start:

        class Parabola(Layer):
            def __init__(self, dim):
                self.w = numpy.ones(dim)
                self.b = numpy.zeros(dim)

            def forward(self, input):
                raise NotImplementedError

            def backward(self, gradient):
                raise NotImplementedError  # assign self.w_grad and self.b_grad; return the gradient of the input

            def params(self):
                return [self.w, self.b]

            def grads(self):
                raise NotImplementedError
    """
    layer, x = answer(3), generator().standard_normal((4, 3))
    expect_equal(layer.forward(x), x**2, "the output at first")
    gradient = generator().standard_normal((4, 3))
    layer.backward(gradient)
    parameters = layer.named_parameters()
    if list(parameters) != ["w", "b"]:
        raise Wrong(f"the layer's Parameters are {list(parameters)}, expected ['w', 'b']: params() lists both arrays")
    w_grad, b_grad = (gradient * x**2).sum(axis=0), gradient.sum(axis=0)
    if numpy.allclose(parameters["w"].grad, b_grad) and numpy.allclose(parameters["b"].grad, w_grad):
        raise Wrong("the gradients of w and b are swapped: grads() must have the order of params()")
    parameters["w"].data[:], parameters["b"].data[:] = [1, 2, -3], [0, 1, 2]
    expect_equal(layer.forward(x), [1, 2, -3] * x**2 + [0, 1, 2], "the output")
    layer.backward(gradient)
    expect_gradients(layer, x)
