"""Answers to the exercises on plain_arrays.py."""

import numpy

from scratch import Layer


class Parabola(Layer):
    def __init__(self, dim):
        self.w = numpy.ones(dim)
        self.b = numpy.zeros(dim)

    def forward(self, input):
        self.input = input
        return self.w * input**2 + self.b

    def backward(self, gradient):
        # w[i] multiplies input[n, i]^2 in every row n, and b[i] is added to every row.
        self.w_grad = (gradient * self.input**2).sum(axis=0)
        self.b_grad = gradient.sum(axis=0)
        # The derivative of w x^2 is 2 w x.
        return gradient * 2 * self.w * self.input

    def params(self):
        return [self.w, self.b]

    def grads(self):
        return [self.w_grad, self.b_grad]
