"""Exercises on `convolution.py`."""

from typing import Any

import numpy

from scratch.convolution import Conv2d
from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.initial import generator
from scratch.layer import Parameter

START = """
import numpy

from scratch import Layer, Parameter
"""


@exercise
def by_hand(answer: Any) -> None:
    """Conv1d(1, 1, kernel_size=2) has w = [2, 3], b = [0] and the input x = [1, 4, 5]. The gradient of its two outputs
    is [10, 1]. Work out the outputs and the gradients of w, b and x on paper.

    Start:

        by_hand = {"y": [0, 0], "w": [0, 0], "b": [0], "x": [0, 0, 0]}
    """
    if numpy.array_equal(answer["x"], [20, 3, 0]) or numpy.array_equal(answer["x"], [20, 2, 3]):
        raise Wrong(f"the gradient of x is {answer['x']}: x[1] is in both windows, so it gets a term from each")
    for name, expected in {"y": [14, 23], "w": [14, 45], "b": [11], "x": [20, 32, 3]}.items():
        expect_equal(answer[name], expected, "y" if name == "y" else f"the gradient of {name}")


@exercise
def kernel(answer: Any) -> None:
    """Choose the weights of Conv2d(1, 1, 3) so that each output is the mean of the window's bottom row minus the mean
    of its top row. It is then positive where the picture gets brighter downwards.

    Start:

        kernel = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
    """
    given, wanted = numpy.asarray(answer, dtype="float64"), numpy.array([[-1.0], [0], [1]]) * numpy.ones(3) / 3
    if given.shape != (3, 3):
        raise Wrong(f"the kernel has shape {given.shape}, expected (3, 3)")
    if numpy.allclose(given, -wanted):
        raise Wrong("the kernel is upside down: w[k, m] multiplies the pixel in row k of the window; row 2 is last")
    if numpy.allclose(given, wanted.T):
        raise Wrong("the kernel compares the right column with the left one: the first index is the row")
    layer, picture = Conv2d(1, 1, 3), generator().standard_normal((1, 5, 4, 1))
    layer.w.data[0, :, :, 0] = given
    down = (picture[:, 2:] - picture[:, :-2])[..., 0]  # the pixel two rows below, minus this one
    expect_equal(layer.forward(picture)[..., 0], (down[..., :-2] + down[..., 1:-1] + down[..., 2:]) / 3, "the output")


@exercise
def Depthwise(answer: Any) -> None:
    """In Conv1d every output feature reads all channels. Write a layer in which each channel has its own kernel and
    depends on no other channel: output[n, t, c] = sum over k of w[k, c] * input[n, t + k, c], for every window within
    the sequence.

    Start:

        class Depthwise(Layer):
            def __init__(self, channels, kernel_size):
                self.w = Parameter(numpy.ones((kernel_size, channels)))

            def forward(self, input):
                raise NotImplementedError  # loop over k; then self.remember(output.shape, input)

            def backward(self, gradient):
                (input,) = self.recall(gradient)
                raise NotImplementedError  # the same loop: add to self.w.grad[k] and to the input's gradient
    """
    layer, x = answer(2, 3), generator().standard_normal((2, 6, 2))
    if not isinstance(getattr(layer, "w", None), Parameter) or layer.w.data.shape != (3, 2):
        raise Wrong("Depthwise(2, 3).w is not a Parameter of shape (3, 2)")
    layer.w.data[:] = [[1, -2], [3, 0.5], [-1, 4]]
    w = layer.w.data
    expect_equal(layer.forward(x), w[0] * x[:, :-2] + w[1] * x[:, 1:-1] + w[2] * x[:, 2:], "the output")
    # One output alone: its gradient must reach all three steps of its window.
    one = numpy.zeros((2, 4, 2))
    one[0, 1] = 1
    layer.forward(x)
    found = layer.backward(one)
    if getattr(found, "shape", None) == x.shape and not found[0, 1:4].all():
        steps = numpy.flatnonzero(found[0].any(axis=1)).tolist()
        raise Wrong(f"the gradient of output 1 reaches the input's steps {steps}; its window is steps 1, 2 and 3")
    expect_gradients(layer, x)
