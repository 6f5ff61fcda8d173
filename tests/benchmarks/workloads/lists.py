"""The network of the book's chapter 21 in plain Python lists, as the book computes it, to compare with.

It has two recurrent layers, whose gradient reaches back one step, and a linear layer. Softmax, cross-entropy and
momentum too compute each number by itself.
"""

import math
import random
from itertools import pairwise


def matrix(rows, columns):
    spread = math.sqrt(2 / (rows + columns))
    return [[random.gauss(0, spread) for _ in range(columns)] for _ in range(rows)]


def dot(v, w):
    return sum(a * b for a, b in zip(v, w, strict=True))


class Rnn:
    def __init__(self, input_dim, hidden_dim):
        self.w, self.u, self.b = matrix(hidden_dim, input_dim), matrix(hidden_dim, hidden_dim), [0.0] * hidden_dim
        self.reset()

    def reset(self):
        self.hidden = [0.0] * len(self.b)

    def forward(self, input):
        self.input, self.previous = input, self.hidden
        self.hidden = [
            math.tanh(dot(self.w[h], input) + dot(self.u[h], self.previous) + self.b[h]) for h in range(len(self.b))
        ]
        return self.hidden

    def backward(self, gradient):
        a_grad = [gradient[h] * (1 - self.hidden[h] ** 2) for h in range(len(self.b))]
        self.grads = [
            [[g * x for x in self.input] for g in a_grad],
            [[g * x for x in self.previous] for g in a_grad],
            a_grad,
        ]
        return [sum(a_grad[h] * self.w[h][i] for h in range(len(a_grad))) for i in range(len(self.input))]

    def params(self):
        return [self.w, self.u, self.b]


class Linear:
    def __init__(self, input_dim, output_dim):
        self.w, self.b = matrix(output_dim, input_dim), [0.0] * output_dim

    def forward(self, input):
        self.input = input
        return [dot(row, input) + b for row, b in zip(self.w, self.b, strict=True)]

    def backward(self, gradient):
        self.grads = [[[g * x for x in self.input] for g in gradient], gradient]
        return [sum(gradient[o] * self.w[o][i] for o in range(len(gradient))) for i in range(len(self.input))]

    def params(self):
        return [self.w, self.b]


def softmax(scores):
    top = max(scores)
    exps = [math.exp(s - top) for s in scores]
    total = sum(exps)
    return [e / total for e in exps]


class Momentum:
    def __init__(self, lr, momentum=0.9):
        self.lr, self.mo, self.updates = lr, momentum, None

    def step(self, params, grads):
        if self.updates is None:
            self.updates = [[[0.0] * len(r) for r in p] if isinstance(p[0], list) else [0.0] * len(p) for p in params]
        for update, param, grad in zip(self.updates, params, grads, strict=True):
            if isinstance(param[0], list):
                for u, p, g in zip(update, param, grad, strict=True):
                    self.step_row(u, p, g)
            else:
                self.step_row(update, param, grad)

    def step_row(self, u, p, g):
        u[:] = [self.mo * a + (1 - self.mo) * b for a, b in zip(u, g, strict=True)]
        p[:] = [a - self.lr * b for a, b in zip(p, u, strict=True)]


def learn(layers, optimizer, ids, vocab_size):
    """One name, a character a step; returns the summed loss."""
    loss = 0.0
    for layer in layers[:2]:
        layer.reset()
    for letter, target in pairwise(ids):
        values = [0.0] * vocab_size
        values[letter] = 1.0
        for layer in layers:
            values = layer.forward(values)
        probabilities = softmax(values)
        loss -= math.log(probabilities[target] + 1e-30)
        gradient = [p - (k == target) for k, p in enumerate(probabilities)]
        for layer in reversed(layers):
            gradient = layer.backward(gradient)
        optimizer.step([p for layer in layers for p in layer.params()], [g for layer in layers for g in layer.grads])
    return loss
