"""Exercises on `activations.py`."""

from typing import Any

import numpy

from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator
from scratch.layer import Sequential

START = """
import numpy

from scratch import Layer, Linear
"""


@exercise
def by_hand(answer: Any) -> None:
    """Each layer below has computed the output that is given, and receives the gradient that is given. Work out the
    gradient of its input on paper.

    - sigmoid: output 0.8, gradient 10
    - tanh: output 0.6, gradient 2
    - relu: output [3, 0], gradient [5, 5]
    - softmax: output [0.5, 0.3, 0.2], gradient [1, 0, 0]

    Start:

        by_hand = {"sigmoid": 0, "tanh": 0, "relu": [0, 0], "softmax": [0, 0, 0]}
    """
    expected = {"sigmoid": 1.6, "tanh": 1.28, "relu": [5, 0], "softmax": [0.25, -0.15, -0.1]}
    for name, gradient in expected.items():
        expect_equal(answer[name], gradient, f"the gradient of {name}'s input")


@exercise
def merged(answer: Any) -> None:
    """Write a function that takes two Linear layers and returns one Linear that computes the same as the two in
    sequence, where the first layer's output is the second layer's input. A Linear has the attributes input_dim,
    output_dim, w.data (one row for each output) and b.data.

    Start:

        def merged(first, second):
            layer = Linear(first.input_dim, second.output_dim)
            layer.w.data[:] = 0  # replace both zeros
            layer.b.data[:] = 0
            return layer
    """
    first, second, x = Linear(2, 4), Linear(4, 3), generator().standard_normal((5, 2))
    first.params()[1][:], second.params()[1][:] = [1, 2, -3, 4], [5, -6, 7]
    layer = answer(first, second)
    if not isinstance(layer, Linear):
        raise Wrong(f"merged returns {layer!r}, not a Linear")
    at_zero = Sequential([first, second]).forward(numpy.zeros(2))
    expect_equal(layer.forward(numpy.zeros(2)), at_zero, "the output for the input [0, 0], which is the bias,")
    expect_equal(layer.forward(x), Sequential([first, second]).forward(x), "the output")


@exercise
def LeakyRelu(answer: Any) -> None:
    """Where its input is negative, Relu has slope zero, and the weights before it get no gradient. Write a layer with a
    small slope there: output = x where x > 0, and slope * x elsewhere.

    Start:

        class LeakyRelu(Layer):
            def __init__(self, slope=0.1):
                self.slope = slope

            def forward(self, input):
                raise NotImplementedError  # numpy.where(condition, values if true, values if false)

            def backward(self, gradient):
                raise NotImplementedError
    """
    layer = answer(0.2)
    expect_equal(layer.forward(numpy.array([3.0, -3.0])), [3, -0.6], "LeakyRelu(0.2) of [3, -3]")
    x = generator().standard_normal((4, 3))
    expect_gradients(layer, x + 0.1 * numpy.sign(x))  # away from the kink
