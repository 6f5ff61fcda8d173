"""BiDAF from word vectors to the loss of answer spans: contexts of 200 words, questions of 30, hidden 100, Adam."""

import random

import numpy as np
from bidaf.losses import SpanLoss
from bidaf.network import Bidaf
from workloads.training import OURS, SIDES, at_hand, of_side, our_forward, our_step, pytorch_forward, pytorch_update

from scratch.backend import to_device
from scratch.gradient_check import relative_error
from scratch.optimizers import Adam

WORDS, ASKED, DIM, HIDDEN, MODELLING, DROPOUT, LR = 200, 30, 200, 100, 2, 0.2, 0.001


class Workload:
    SIDES = SIDES

    def __init__(self, case, batch=None):
        draw, self.batch = np.random.default_rng(0), batch or int(case)
        self.texts = [draw.standard_normal((self.batch, n, DIM)).astype(np.float32) for n in (WORDS, ASKED)]
        self.spans = draw.integers(0, WORDS, (self.batch, 2))

    def ours(self, dropout=DROPOUT):
        random.seed(0)
        return Bidaf(DIM, HIDDEN, MODELLING, dropout)

    def operations(self, forward=False):
        """The operations of a step's products: forward, and backward to the weights and to the input."""
        T, J, H, B = WORDS, ASKED, HIDDEN, 2 * HIDDEN
        lstm = lambda words, width: 2 * words * 4 * H * (width + H)  # noqa: E731 (both directions)
        total = 2 * 2 * (T + J) * DIM * DIM + lstm(T + J, DIM) + 3 * T * J * B
        total += lstm(T, 4 * B) + (MODELLING - 1) * lstm(T, B) + lstm(T, B) + T * (2 * 4 * B + 2 * B)
        return self.batch * 2 * total * (1 if forward else 3)

    def steps(self, side):
        """A function that makes one training step."""
        if side in OURS:
            return our_step(side, self.ours(), Adam(LR), self.texts, self.spans, SpanLoss())
        return self.in_pytorch(side)

    def forward(self, side):
        """A function that predicts once."""
        if side in OURS:
            return our_forward(side, self.ours(), *self.texts)
        import torch

        if side == "tuned" and self.batch == 1:
            torch.set_num_threads(1)
        return pytorch_forward(self.network(), *map(torch.from_numpy, self.texts))

    def network(self, dropout=DROPOUT):
        import torch
        from torch import nn

        def both_ends(width):
            return nn.LSTM(width, HIDDEN, batch_first=True, bidirectional=True)

        class Network(nn.Module):
            def __init__(self):
                super().__init__()
                self.transforms = nn.ModuleList(nn.Linear(DIM, DIM) for _ in range(2))
                self.gates = nn.ModuleList(nn.Linear(DIM, DIM) for _ in range(2))
                self.read, B = both_ends(DIM), 2 * HIDDEN
                self.similar = nn.Parameter(torch.randn(3, B) * 0.1)
                self.modelling = nn.ModuleList(both_ends(4 * B if k == 0 else B) for k in range(MODELLING))
                self.ending = both_ends(B)
                self.of_found = nn.Linear(4 * B, 2, bias=False)
                self.of_begin, self.of_end = nn.Linear(B, 1, bias=False), nn.Linear(B, 1, bias=False)
                self.drop = nn.Dropout(dropout)

            def highways(self, x):
                for transform, gate in zip(self.transforms, self.gates, strict=True):
                    g = torch.sigmoid(gate(x))
                    x = g * torch.relu(transform(x)) + (1 - g) * x
                return self.drop(x)

            def forward(self, context, question):
                h, u = self.read(self.highways(context))[0], self.read(self.highways(question))[0]
                w = self.similar
                s = (h * w[2]) @ u.transpose(1, 2) + (h @ w[0])[:, :, None] + (u @ w[1])[:, None, :]
                seen = torch.softmax(s, dim=2) @ u
                sought = torch.softmax(s.max(dim=2)[0], dim=1)[:, None] @ h
                g = self.drop(torch.cat([h, seen, h * seen, h * sought], dim=2))
                m = g
                for layer in self.modelling:
                    m = self.drop(layer(m)[0])
                e = self.drop(self.ending(m)[0])
                scores = self.of_found(g) + torch.cat([self.of_begin(m), self.of_end(e)], dim=2)
                return scores.transpose(1, 2)

        torch.manual_seed(0)
        return Network()

    def in_pytorch(self, side):
        import torch

        network, spans = self.network(), torch.from_numpy(self.spans)
        optimizer = torch.optim.Adam(network.parameters(), lr=LR, fused=side == "tuned")
        # Both sides compute the gradient of their input, which a network of characters below would need.
        *texts, spans = at_hand(network, *map(torch.from_numpy, self.texts), spans)
        texts = [text.requires_grad_() for text in texts]
        cross_entropy = torch.nn.CrossEntropyLoss()

        def step():
            scores = network(*texts)
            error = cross_entropy(scores[:, 0], spans[:, 0]) + cross_entropy(scores[:, 1], spans[:, 1])
            pytorch_update(optimizer, error)
            return 1

        return step

    def gradient_error(self):
        """The largest relative difference between our gradients and PyTorch's, on 2 questions."""
        import torch

        network, H = self.network(0.0), HIDDEN
        model, loss = of_side("ours", self.ours(0.0), SpanLoss())
        order = [k * H + j for k in (0, 1, 3, 2) for j in range(H)]  # our gates are i, f, o, g, PyTorch's i, f, g, o
        same = lambda array: array  # noqa: E731
        pairs = []  # (our Parameter, a function that puts its rows in PyTorch's order, PyTorch's parameters for it)
        for k in range(2):
            transform, gate = network.transforms[k], network.gates[k]
            pairs += [(model.highways[k].w, same, [transform.weight, gate.weight]),
                      (model.highways[k].b, same, [transform.bias, gate.bias])]
        pairs.append((model.attention.w, same, [network.similar]))
        ours = [model.read_context, *model.scores.modelling, model.scores.ending]
        for layer, twin in zip(ours, [network.read, *network.modelling, network.ending], strict=True):
            for one, suffix in zip(layer.directions.values(), ("", "_reverse"), strict=True):
                for p, name in ((one.w, "weight_ih"), (one.u, "weight_hh"), (one.b, "bias_ih")):
                    pairs.append((p, lambda array: array[order], [getattr(twin, f"{name}_l0{suffix}")]))
                with torch.no_grad():
                    getattr(twin, f"bias_hh_l0{suffix}").zero_()
        for name in ("of_found", "of_begin", "of_end"):
            pairs.append((getattr(model.scores, name).w, same, [getattr(network, name).weight]))
        with torch.no_grad():
            for p, reorder, theirs in pairs:
                values = p.data if len(theirs) > 1 else [p.data]
                for value, q in zip(values, theirs, strict=True):
                    q.copy_(torch.from_numpy(np.ascontiguousarray(reorder(value))))
        texts, spans = [text[:2] for text in self.texts], self.spans[:2]
        scores = model.forward(*(to_device(text) for text in texts))
        model.backward(loss.gradient(scores, to_device(spans)))
        said, truth = network(*(torch.from_numpy(text) for text in texts)), torch.from_numpy(spans)
        cross_entropy = torch.nn.functional.cross_entropy
        (cross_entropy(said[:, 0], truth[:, 0]) + cross_entropy(said[:, 1], truth[:, 1])).backward()
        errors = []
        for p, reorder, theirs in pairs:
            grads = p.grad if len(theirs) > 1 else [p.grad]
            errors += [relative_error(reorder(g), q.grad.numpy()) for g, q in zip(grads, theirs, strict=True)]
        return max(errors)
