"""Small transformers that read characters: a training step, or the generation of letters with a key-value cache.

They have no biases, as in nanoGPT's setting for CPUs, which is `gpt-small`.
PyTorch's `eager` side computes attention as explicit products and a masked softmax; its `tuned` side calls
`scaled_dot_product_attention`, and a fused AdamW.
"""

import random

import numpy as np
from gpt.sample import generate
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

from scratch.backend import precision, to_device
from scratch.gradient_check import relative_error
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import AdamW
from scratch.transformer import Transformer

LR, DECAY, BETA2, VOCAB = 1e-3, 0.1, 0.99, 65
CASES = {  # layers, heads, features, context, batch
    "small": (4, 4, 128, 64, 12),
    "64": (4, 6, 192, 128, 64),
    "letters": (4, 4, 128, 64, 1),
}


class Workload:
    SIDES = SIDES

    def __init__(self, case, batch=None):
        self.letters = case == "letters"  # to be generated
        self.layers, self.heads, self.features, self.context, usual = CASES[case]
        draw = np.random.default_rng(0)
        shape = batch or usual, self.context
        self.ids, self.following = draw.integers(0, VOCAB, shape), draw.integers(0, VOCAB, shape)

    def ours(self, stateful=False):
        random.seed(0)
        return Transformer(
            VOCAB, self.features, self.layers, self.heads, self.context, bias=False, stateful=stateful,
        )

    def steps(self, side):
        """A function that makes one training step, or that generates a text as long as the context."""
        if side in OURS and self.letters:
            write = lambda model, seed, count: generate(model, seed, count, self.context)  # noqa: E731
            return our_text(side, self.ours(stateful=True), write, self.context)
        if side in OURS:
            optimizer = AdamW(LR, weight_decay=DECAY, beta2=BETA2)
            # All positions of a text are computed at once, so each is a row.
            return our_step(side, self.ours(), optimizer, self.ids, self.following, num_rows=self.ids.size)
        network, following = self.network(side), self.following.reshape(-1)
        if self.letters:
            return pytorch_text(side, network.eval(), network.forget, self.context)
        import torch

        groups = [{"params": [p for p in network.parameters() if (p.ndim > 1) == many], "weight_decay": decay}
                  for many, decay in ((True, DECAY), (False, 0.0))]
        optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, BETA2), fused=side == "tuned")
        return pytorch_step(network, optimizer, torch.from_numpy(self.ids), torch.from_numpy(following))

    def forward(self, side):
        """A function that predicts once."""
        if side in OURS:
            return our_forward(side, self.ours(), self.ids)
        return pytorch_forward(self.network(side), self.pytorch_ids(side))

    def pytorch_ids(self, side):
        import torch

        if side == "tuned" and len(self.ids) == 1:
            torch.set_num_threads(1)
        return torch.from_numpy(self.ids)

    def operations(self, forward=False):
        """The operations of a step's products: forward, and backward to the weights and to the input.

        Scores of later positions, which a causal attention has no need of, are not counted.
        """
        (N, T), F = self.ids.shape, self.features
        if self.letters:
            N, T, forward = 1, 1, True
        layer = 2 * T * 12 * F * F + 2 * 2 * (T * (T + 1) // 2) * F
        return N * (self.layers * layer + 2 * T * F * VOCAB) * (1 if forward else 3)

    def network(self, side):
        from workloads.gpt_torch import Network

        return Network(VOCAB, self.features, self.layers, self.heads, self.context, side == "tuned", self.letters)

    def gradient_error(self):
        """The largest relative difference between our gradients and PyTorch's, in float64; and between the letters."""
        import torch

        with precision("float64"):
            model, loss = of_side("ours", self.ours(), SoftmaxCrossEntropy(), num_rows=self.ids.size)
            errors = []
            for side in ("eager", "tuned"):
                network = self.network(side).double()
                theirs = network.in_our_order()
                with torch.no_grad():
                    for p, q in zip(model.parameters(), theirs, strict=True):
                        q.copy_(torch.from_numpy(p.data))
                scores = model.forward(to_device(self.ids))
                model.zero_grads()
                model.backward(loss.gradient(scores, to_device(self.following)))
                said = network(torch.from_numpy(self.ids)).reshape(-1, VOCAB)
                torch.nn.functional.cross_entropy(said, torch.from_numpy(self.following.reshape(-1))).backward()
                errors += [relative_error(p.grad, q.grad.numpy())
                           for p, q in zip(model.parameters(), theirs, strict=True)]
                if self.letters:
                    network.forget()
                    one_by_one = [network(torch.from_numpy(self.ids[:, t : t + 1])) for t in range(self.context)]
                    errors.append(relative_error(torch.cat(one_by_one, dim=1).detach().numpy(), scores))
            return max(errors)
