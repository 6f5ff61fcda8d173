"""Answers to the exercises on optimizers.py."""

from scratch import Optimizer

by_hand = {
    # Each step subtracts 0.1 times the gradient.
    "GradientDescent": 1 - 0.1 * 2 - 0.1 * 4,
    # u is 0.1 * 2 = 0.2 after the first step, and 0.9 * 0.2 + 0.1 * 4 = 0.58 after the second.
    "Momentum": 1 - 0.1 * 0.2 - 0.1 * 0.58,
    # After the corrections m is 2 and v is 4, so the step is 0.1 * 2 / sqrt(4), whatever the gradient was.
    "Adam": 1 - 0.1,
}

# dL/da = 6 a, so a step multiplies a by 1 - 6 lr. That is between -1 and 1 for lr below 2 / 6. For b the factor is
# 1 - lr, which would allow rates up to 2: the steepest direction sets the limit.
rate = 2 / 6


class Heavy(Optimizer):
    slots = ("u",)

    def __init__(self, learning_rate=0.01, momentum=0.9):
        super().__init__(learning_rate)
        self.momentum = momentum

    def update(self, data, grad, t, u):
        # In place: `u = ...` would make a new array, and the optimizer would keep the old one.
        u[...] = self.momentum * u + grad
        data -= self.lr * u
