"""LSTMs that read characters: streams with a target at every step, the windows of Alice with one target each, or a text
that is generated letter by letter.
"""

import random

import numpy as np
from char_lm.network import build
from char_lm.sample import generate
from workloads.training import (
    OURS,
    SIDES,
    of_side,
    our_forward,
    our_step,
    our_text,
    pytorch_forward,
    pytorch_step,
    pytorch_text,
)

from scratch.backend import to_device
from scratch.gradient_check import relative_error
from scratch.layer import evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam

LR = 0.002
CASES = {  # layers, hidden, batch, steps, vocabulary, windows?
    "256": (2, 256, 64, 50, 65, False),
    "512": (2, 512, 64, 100, 65, False),
    "alice": (1, 256, 128, 100, 47, True),
    "alice2": (2, 256, 128, 100, 47, True),
    "letters": (2, 512, 1, 64, 65, False),
}


class Workload:
    SIDES = SIDES

    def __init__(self, case, batch=None):
        self.writes = case == "letters"  # a text, one letter at a time
        self.layers, self.hidden, usual, num_steps, self.vocab, self.windows = CASES[case]
        batch = batch or usual
        draw = np.random.default_rng(0)
        self.letters = draw.integers(0, self.vocab, (batch, num_steps))
        self.following = draw.integers(0, self.vocab, (batch,) if self.windows else (batch, num_steps))

    def ours(self, stateful=False):
        random.seed(0)
        if self.windows:
            return build(self.vocab, self.hidden, self.layers, input="id", stateful=False, every_step=False)
        return build(self.vocab, self.hidden, self.layers, stateful=stateful)

    def steps(self, side):
        """A function that makes one training step, or that generates a text."""
        if self.writes:
            return self.text(side)
        if side in OURS:
            return our_step(side, self.ours(), Adam(LR), self.letters, self.following)
        return self.in_pytorch(side)

    def forward(self, side):
        """A function that predicts once."""
        if side in OURS:
            return our_forward(side, self.ours(), self.letters)
        if side == "tuned" and len(self.letters) == 1:
            import torch

            torch.set_num_threads(1)
        return pytorch_forward(*self.network()[:2])

    def operations(self, forward=False):
        """The operations of a step's products: forward, and backward to the weights and to the input.

        The first layer's input needs none: its weights are looked up by id.
        """
        (N, T), forward = self.letters.shape, forward or self.writes
        T = 1 if self.writes else T
        lstms = 2 * N * T * 4 * self.hidden * self.hidden * (2 * self.layers - 1)
        scores = 2 * N * (1 if self.windows else T) * self.hidden * self.vocab
        return (lstms + scores) * (1 if forward else 3)

    def network(self):
        import torch

        class Network(torch.nn.Module):
            def __init__(self, input_dim, hidden, layers, vocab, windows):
                super().__init__()
                self.lstm = torch.nn.LSTM(input_dim, hidden, layers, batch_first=True)
                self.linear, self.windows = torch.nn.Linear(hidden, vocab), windows

            def forward(self, x):
                output, _ = self.lstm(x)
                return self.linear(output[:, -1] if self.windows else output)

        network = Network(1 if self.windows else self.vocab, self.hidden, self.layers, self.vocab, self.windows)
        letters = torch.from_numpy(self.letters)
        if self.windows:
            input = letters[..., None].float() / self.vocab
        else:
            input = torch.nn.functional.one_hot(letters, self.vocab).float()
        return network, input, torch.from_numpy(self.following).reshape(-1)

    def text(self, side):
        count = self.letters.shape[1]
        if side in OURS:
            return our_text(side, self.ours(stateful=True), generate, count)
        import torch

        network, one_hot, states = self.network()[0].eval(), torch.eye(self.vocab), [None] * self.layers
        cells = [torch.nn.LSTMCell(self.hidden if k else self.vocab, self.hidden) for k in range(self.layers)]
        for cell, weights in zip(cells, network.lstm.all_weights, strict=True):
            cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh = weights

        def read(id):
            output, states[0] = network.lstm(one_hot[id], states[0])
            return network.linear(output)

        def read_by_cells(id):  # `torch.nn.LSTM` lays its weights out anew at each call
            x = one_hot[id[:, 0]]
            for k, cell in enumerate(cells):
                states[k] = cell(x, states[k])
                x = states[k][0]
            return network.linear(x)[:, None]

        def forget():
            states[:] = [None] * self.layers

        return pytorch_text(side, read_by_cells if side == "tuned" else read, forget, count)

    def in_pytorch(self, side):
        import torch

        network, input, following = self.network()
        optimizer = torch.optim.Adam(network.parameters(), lr=LR, fused=side == "tuned")
        return pytorch_step(network, optimizer, input, following)

    def gradient_error(self):
        """The largest relative difference between our gradients and PyTorch's."""
        import torch

        H, num_rows = self.hidden, len(self.letters)
        model, loss = of_side("ours", self.ours(), SoftmaxCrossEntropy(), num_rows=num_rows)
        network, input, following = self.network()
        order = [k * H + j for k in (0, 1, 3, 2) for j in range(H)]  # our gates are i, f, o, g, PyTorch's i, f, g, o
        ours = model.parameters()
        theirs = [getattr(network.lstm, f"{name}_l{k}") for k in range(self.layers)
                  for name in ("weight_ih", "weight_hh", "bias_ih")]
        theirs += [network.linear.weight, network.linear.bias]
        with torch.no_grad():
            for k in range(self.layers):
                getattr(network.lstm, f"bias_hh_l{k}").zero_()
            for p, q in zip(ours, theirs, strict=True):
                q.copy_(torch.from_numpy(p.data[order] if len(p.data) == 4 * H else p.data))
        predicted, scores = model.forward(to_device(self.letters)), network(input)
        model.backward(loss.gradient(predicted, to_device(self.following)))
        torch.nn.functional.cross_entropy(scores.reshape(-1, self.vocab), following).backward()
        errors = [relative_error(p.grad[order] if len(p.grad) == 4 * H else p.grad, q.grad.numpy())
                  for p, q in zip(ours, theirs, strict=True)]
        if self.writes:
            (model,) = of_side("ours", self.ours(stateful=True))
            with evaluating(model):
                one_by_one = [model.forward(self.letters[:, t : t + 1]) for t in range(self.letters.shape[1])]
            errors.append(relative_error(np.concatenate(one_by_one, axis=1), scores.detach().numpy()))
        return max(errors)
