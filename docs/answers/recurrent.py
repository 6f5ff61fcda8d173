"""Answers to the exercises on recurrent.py."""

import math

from scratch.backend import xp
from scratch.functions import sigmoid
from scratch.initial import zeros
from scratch.recurrent import Recurrent, add_gradients

# cell = 0.25 * 1 + 0.5 * -0.5 = 0, so tanh(cell) = 0 and its derivative is 1. The gradient of the cell has two parts:
# from the hidden state 1 * o * 1 = 0.5, and 0.5 from the next step.
one_step = {
    "cell": 0.25 * 1 + 0.5 * -0.5,
    "i": 1 * -0.5 * 0.5 * (1 - 0.5),  # times g, times the derivative of the sigmoid
    "f": 1 * 1 * 0.25 * (1 - 0.25),  # times the cell before
    "o": 1 * 0 * 0.5 * (1 - 0.5),  # the gradient of the hidden state, times tanh(cell) = 0
    "g": 1 * 0.5 * (1 - 0.5**2),  # times i, times the derivative of the tanh
    "cell before": 1 * 0.25,  # times f
}


def half_life(steps):
    # Each step multiplies the cell by f, so f ** steps = 1/2. For 100 steps f = 0.993 and the bias is 4.97.
    f = 0.5 ** (1 / steps)
    return math.log(f / (1 - f))


class OneGate(Recurrent):
    num_gates = 2

    def read(self, x, mask, *states):
        (N, T, _), H, (hidden,) = x.shape, self.hidden_dim, states
        before, outputs, steps = zeros(N, T, H), zeros(N, T, H), []
        for t in range(T):
            real = mask[:, t, None]
            sums = x[:, t] @ self.w.data.T + hidden @ self.u.data.T + self.b.data  # (N, 2H), for z and n
            z, n = sigmoid(sums[:, :H]), xp.tanh(sums[:, H:])
            before[:, t] = hidden
            steps.append((z, n))
            hidden = xp.where(real, (1 - z) * n + z * hidden, hidden)
            outputs[:, t] = xp.where(real, hidden, 0)
        return outputs, [hidden], (x, mask, before, steps)

    def read_back(self, output_grads, last_grad, *memory):
        x, mask, before, steps = memory
        (N, T, _), H = x.shape, self.hidden_dim
        sum_grads = zeros(N, T, 2 * H)
        from_next = last_grad
        for t in reversed(range(T)):
            real, (z, n) = mask[:, t, None], steps[t]
            hidden_grad = xp.where(real, output_grads[:, t] + from_next, 0)
            sum_grads[:, t, :H] = hidden_grad * (before[:, t] - n) * z * (1 - z)
            sum_grads[:, t, H:] = hidden_grad * (1 - z) * (1 - n**2)
            # hidden[t-1] was used twice: in the products with u, and directly, weighted by z.
            from_next = xp.where(real, sum_grads[:, t] @ self.u.data + hidden_grad * z, from_next)
        add_gradients(self, x, before, sum_grads, sum_grads)
        return sum_grads @ self.w.data
