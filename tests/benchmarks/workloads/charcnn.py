"""Zhang's small network on texts of characters, batches of 128, stochastic gradient descent with momentum."""

import random

import numpy as np
from char_cnn.network import SIZES, build
from workloads.training import OURS, SIDES, of_side, our_forward, our_step, pytorch_forward, pytorch_step

from scratch.backend import precision, to_device
from scratch.gradient_check import relative_error
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Momentum

BATCH, CHARACTERS, CLASSES, LR, MOMENTUM = 128, 69, 4, 0.01, 0.9


class Workload:
    SIDES = SIDES

    def __init__(self, case, batch=BATCH):
        self.length = int(case)
        draw = np.random.default_rng(0)
        self.ids = draw.integers(-1, CHARACTERS, (batch, self.length)).astype(np.int8)
        self.labels = draw.integers(0, CLASSES, batch)
        self.config = SIZES["small"]

    def ours(self, dropout=0.5):
        random.seed(0)
        return build(self.config | {"dropout": dropout}, CHARACTERS, self.length, CLASSES)

    def steps(self, side):
        """A function that makes one training step."""
        if side in OURS:
            return our_step(side, self.ours(), Momentum(LR / (1 - MOMENTUM), MOMENTUM), self.ids, self.labels)
        return self.in_pytorch(side)

    def forward(self, side):
        """A function that predicts once."""
        if side in OURS:
            return our_forward(side, self.ours(), self.ids)
        network, input, _ = self.network(0.5, channels_last=side == "tuned")
        return pytorch_forward(network, input)

    def operations(self, forward=False):
        """The operations of a step's products: forward, and backward to the weights and to the input.

        The first layer needs none: it looks its weights up by id.
        """
        length, width, total = self.length, 0, 0
        for features, kernel, pool in self.config["conv"]:
            length = length - kernel + 1
            total += 2 * length * kernel * width * features
            length, width = length // max(pool, 1), features
        width *= length
        for units in (*self.config["fc"], CLASSES):
            total, width = total + 2 * width * units, units
        return len(self.ids) * total * (1 if forward else 3)

    def network(self, dropout, channels_last=False):
        """The same network in PyTorch; with `channels_last`, as 2-D convolutions of images one pixel high."""
        import torch
        from torch import nn

        layers, width, length = [], CHARACTERS, self.length
        for features, kernel, pool in self.config["conv"]:
            if channels_last:
                layers += [nn.Conv2d(width, features, (1, kernel)), nn.ReLU()]
            else:
                layers += [nn.Conv1d(width, features, kernel), nn.ReLU()]
            length = length - kernel + 1
            if pool > 0:
                layers.append(nn.MaxPool2d((1, pool)) if channels_last else nn.MaxPool1d(pool))
                length //= pool
            width = features
        layers.append(nn.Flatten())
        width *= length
        for units in self.config["fc"]:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        network = nn.Sequential(*layers, nn.Linear(width, CLASSES))
        rows = np.vstack([np.eye(CHARACTERS), np.zeros(CHARACTERS)]).astype(np.float32)[self.ids]
        input = torch.from_numpy(rows).transpose(1, 2).contiguous()
        if channels_last:
            network = network.to(memory_format=torch.channels_last)
            input = input[:, :, None].to(memory_format=torch.channels_last)
        return network, input, torch.from_numpy(self.labels)

    def in_pytorch(self, side):
        import torch

        network, input, labels = self.network(0.5, channels_last=side == "tuned")
        optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM, fused=side == "tuned")
        return pytorch_step(network, optimizer, input, labels)

    def gradient_error(self):
        """The largest relative difference between our gradients and PyTorch's.

        In float64: in float32, rounding may change which of two nearly equal numbers a pool takes for the larger.
        """
        import torch

        with precision("float64"):
            model, loss = of_side("ours", self.ours(dropout=0.0), SoftmaxCrossEntropy(), num_rows=len(self.ids))
            network, input, labels = self.network(0.0)
            network, input = network.double(), input.double()
            theirs = list(network.parameters())
            # The first Linear sees a flattened (place, feature) in ours, and (feature, place) in PyTorch.
            first = next(k for k, q in enumerate(theirs) if q.ndim == 2)

            def as_theirs(k, array):
                if array.ndim == 3:
                    return array.transpose(0, 2, 1)
                if k == first:
                    return array.reshape(len(array), -1, 256).transpose(0, 2, 1).reshape(array.shape)
                return array

            with torch.no_grad():
                for k, (p, q) in enumerate(zip(model.parameters(), theirs, strict=True)):
                    q.copy_(torch.from_numpy(np.ascontiguousarray(as_theirs(k, p.data))))
            predicted = model.forward(to_device(self.ids))
            model.backward(loss.gradient(predicted, to_device(self.labels)))
            torch.nn.functional.cross_entropy(network(input), labels).backward()
            return max(
                relative_error(as_theirs(k, p.grad), q.grad.numpy())
                for k, (p, q) in enumerate(zip(model.parameters(), theirs, strict=True))
            )
