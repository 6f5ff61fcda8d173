"""Answers to the exercises on convolution.py."""

import numpy

from scratch import Layer, Parameter

by_hand = {
    "y": [2 * 1 + 3 * 4, 2 * 4 + 3 * 5],
    # w[0] was multiplied by 1 and 4, w[1] by 4 and 5.
    "w": [10 * 1 + 1 * 4, 10 * 4 + 1 * 5],
    "b": [10 + 1],
    # x[1] is the second step of the first window, and the first step of the second.
    "x": [2 * 10, 3 * 10 + 2 * 1, 3 * 1],
}

# w[k, m] multiplies the pixel in row k and column m of the window; row 2 is the bottom one.
kernel = [[-1 / 3, -1 / 3, -1 / 3], [0, 0, 0], [1 / 3, 1 / 3, 1 / 3]]


class Depthwise(Layer):
    def __init__(self, channels, kernel_size):
        self.w = Parameter(numpy.ones((kernel_size, channels)))

    def forward(self, input):
        K = len(self.w.data)
        T = input.shape[1] - K + 1  # the number of windows
        output = sum(self.w.data[k] * input[:, k : k + T] for k in range(K))
        self.remember(output.shape, input)
        return output

    def backward(self, gradient):
        (input,) = self.recall(gradient)
        T, input_grad = gradient.shape[1], numpy.zeros_like(input)
        for k in range(len(self.w.data)):
            # w[k, c] multiplied input[n, t + k, c] for all n and t: sum over both.
            self.w.grad[k] += (gradient * input[:, k : k + T]).sum(axis=(0, 1))
            # A step is in several windows, so its terms are added up.
            input_grad[:, k : k + T] += gradient * self.w.data[k]
        return input_grad
