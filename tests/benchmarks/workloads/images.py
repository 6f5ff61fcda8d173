"""The CIFAR-10 network of `--recipe document`: 3×3 convolutions of 64, 128, 256, 256, BatchNorm, SGD with momentum."""

import random

import numpy as np
from cifar10.network import WIDTHS, build
from workloads.training import OURS, SIDES, of_side, our_forward, our_step, pytorch_forward, pytorch_step

from scratch.backend import precision, to_device
from scratch.gradient_check import relative_error
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Momentum

SIDE, CLASSES, LR, MOMENTUM = 32, 10, 0.01, 0.9
NUM_CHECKED = 16  # images whose gradients are compared: two threads, which share the statistics of BatchNorm


class Workload:
    SIDES = SIDES

    def __init__(self, case, batch=None):
        draw, batch = np.random.default_rng(0), batch or int(case)
        self.images = draw.standard_normal((batch, SIDE, SIDE, 3)).astype(np.float32)
        self.labels = draw.integers(0, CLASSES, batch)

    def ours(self):
        random.seed(0)
        return build("document", WIDTHS["document"])

    def operations(self, forward=False):
        """The operations of a step's products: forward, and backward to the weights and to the input.

        The first convolution computes no gradient of its input.
        """
        before, side, total = 3, SIDE, 0
        for k, width in enumerate(WIDTHS["document"]):
            times = 1 if forward else 2 if k == 0 else 3
            total += times * 2 * 9 * before * width * side * side
            before, side = width, side // 2 if k < 2 else side
        return len(self.images) * total

    def steps(self, side):
        """A function that makes one training step."""
        if side in OURS:
            return our_step(side, self.ours(), Momentum(LR / (1 - MOMENTUM), MOMENTUM), self.images, self.labels)
        import torch

        network, input = self.network(channels_last=side == "tuned")
        optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM, fused=side == "tuned")
        return pytorch_step(network, optimizer, input, torch.from_numpy(self.labels))

    def forward(self, side):
        """A function that predicts once."""
        if side in OURS:
            return our_forward(side, self.ours(), self.images)
        return pytorch_forward(*self.network(channels_last=side == "tuned"))

    def network(self, channels_last=False, dropout=0.3):
        import torch
        from torch import nn

        layers, before = [], 3
        for k, width in enumerate(WIDTHS["document"]):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            if k < 2:
                layers.append(nn.MaxPool2d(2))
            before = width
        network = nn.Sequential(
            *layers, nn.AvgPool2d(4), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * before, CLASSES)
        )
        input = torch.from_numpy(self.images).permute(0, 3, 1, 2).contiguous()
        if channels_last:
            network, input = network.to(memory_format=torch.channels_last), input.to(memory_format=torch.channels_last)
        return network, input

    def gradient_error(self):
        """The largest relative difference between our gradients and PyTorch's, on 16 images.

        In float64: in float32, rounding may change which of two nearly equal numbers a pool takes for the larger.
        """
        import torch

        with precision("float64"):
            model, loss = self.ours(), SoftmaxCrossEntropy()
            model.layers[-2].p = 0.0
            model, loss = of_side("ours", model, loss, num_rows=NUM_CHECKED)
            network, input = self.network(dropout=0.0)
            network, input = network.double(), input[:NUM_CHECKED].double()
            ours = [p for p in model.parameters() if not p.fixed]
            theirs = list(network.parameters())

            def as_theirs(array):
                if array.ndim == 4:
                    return array.transpose(0, 3, 1, 2)
                if array.shape == (CLASSES, 4 * WIDTHS["document"][-1]):
                    # The last layer sees a flattened (place, feature) in ours, and (feature, place) in PyTorch.
                    return array.reshape(CLASSES, 4, -1).transpose(0, 2, 1).reshape(CLASSES, -1)
                return array

            with torch.no_grad():
                for p, q in zip(ours, theirs, strict=True):
                    q.copy_(torch.from_numpy(np.ascontiguousarray(as_theirs(p.data))))
            labels = self.labels[:NUM_CHECKED]
            predicted = model.forward(to_device(self.images[:NUM_CHECKED].astype(np.float64)))
            model.backward(loss.gradient(predicted, to_device(labels)))
            torch.nn.functional.cross_entropy(network(input), torch.from_numpy(labels)).backward()
            return max(
                relative_error(as_theirs(p.grad), q.grad.numpy()) for p, q in zip(ours, theirs, strict=True)
            )
