"""Layers, losses and optimizers of *Data Science from Scratch*, chapter 19, as the book prints them."""

LISTING = '''
import operator
import random
from typing import Callable, Iterable, List

from scratch.deep_learning import (
    Layer, Loss, Optimizer, Tensor, random_tensor, sigmoid, tanh, tensor_apply, tensor_combine, tensor_sum, zeros_like,
)


def dot(v, w):
    return sum(v_i * w_i for v_i, w_i in zip(v, w))


class Sigmoid(Layer):
    def forward(self, input):
        self.sigmoids = tensor_apply(sigmoid, input)
        return self.sigmoids

    def backward(self, gradient):
        return tensor_combine(lambda sig, grad: sig * (1 - sig) * grad, self.sigmoids, gradient)


class Linear(Layer):
    def __init__(self, input_dim, output_dim, init="xavier"):
        self.input_dim = input_dim
        self.output_dim = output_dim
        self.w = random_tensor(output_dim, input_dim, init=init)
        self.b = random_tensor(output_dim, init=init)

    def forward(self, input):
        self.input = input
        return [dot(input, self.w[o]) + self.b[o] for o in range(self.output_dim)]

    def backward(self, gradient):
        self.b_grad = gradient
        self.w_grad = [[self.input[i] * gradient[o] for i in range(self.input_dim)] for o in range(self.output_dim)]
        return [sum(self.w[o][i] * gradient[o] for o in range(self.output_dim)) for i in range(self.input_dim)]

    def params(self):
        return [self.w, self.b]

    def grads(self):
        return [self.w_grad, self.b_grad]


class Sequential(Layer):
    def __init__(self, layers):
        self.layers = layers

    def forward(self, input):
        for layer in self.layers:
            input = layer.forward(input)
        return input

    def backward(self, gradient):
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def params(self):
        return (param for layer in self.layers for param in layer.params())

    def grads(self):
        return (grad for layer in self.layers for grad in layer.grads())


class SSE(Loss):
    def loss(self, predicted, actual):
        squared_errors = tensor_combine(lambda predicted, actual: (predicted - actual) ** 2, predicted, actual)
        return tensor_sum(squared_errors)

    def gradient(self, predicted, actual):
        return tensor_combine(lambda predicted, actual: 2 * (predicted - actual), predicted, actual)


class GradientDescent(Optimizer):
    def __init__(self, learning_rate=0.1):
        self.lr = learning_rate

    def step(self, layer):
        for param, grad in zip(layer.params(), layer.grads()):
            param[:] = tensor_combine(lambda param, grad: param - grad * self.lr, param, grad)


class Momentum(Optimizer):
    def __init__(self, learning_rate, momentum=0.9):
        self.lr = learning_rate
        self.mo = momentum
        self.updates = []

    def step(self, layer):
        if not self.updates:
            self.updates = [zeros_like(grad) for grad in layer.grads()]
        for update, param, grad in zip(self.updates, layer.params(), layer.grads()):
            update[:] = tensor_combine(lambda u, g: self.mo * u + (1 - self.mo) * g, update, grad)
            param[:] = tensor_combine(lambda p, u: p - self.lr * u, param, update)


class Dropout(Layer):
    def __init__(self, p):
        self.p = p
        self.train = True

    def forward(self, input):
        if self.train:
            self.mask = tensor_apply(lambda _: 0 if random.random() < self.p else 1, input)
            return tensor_combine(operator.mul, input, self.mask)
        else:
            return tensor_apply(lambda x: x * (1 - self.p), input)

    def backward(self, gradient):
        if self.train:
            return tensor_combine(operator.mul, gradient, self.mask)
        else:
            raise RuntimeError("don't call backward when not in train mode")
'''
XS, YS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [[0.0], [1.0], [1.0], [0.0]]


def xor(net, optimizer, loss, num_epochs):
    """Train the network on the exclusive or, one example a step; returns the loss of the last epoch."""
    for _ in range(num_epochs):
        total = 0.0
        for x, y in zip(XS, YS, strict=True):
            predicted = net.forward(x)
            total += loss.loss(predicted, y)
            net.backward(loss.gradient(predicted, y))
            optimizer.step(net)
    return total
