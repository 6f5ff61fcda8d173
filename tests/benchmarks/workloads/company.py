"""The company names for both of their workloads: the data, and the network on each side."""

import random
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))
import company_names as program

from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Momentum
from scratch.text import Vocabulary

HIDDEN = 32
LR = 0.01
NAMES = [name.strip() for name in program.COMPANIES.split(",")]
VOCAB = Vocabulary(character for name in NAMES for character in name + program.START + program.STOP)
IDS = [VOCAB.encode(program.START + name + program.STOP) for name in NAMES]


def ours():
    random.seed(0)
    return program.build("rnn", VOCAB.size, HIDDEN), SoftmaxCrossEntropy(), Momentum(LR)


class Network(torch.nn.Module):
    """The same network in PyTorch, layer by layer."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.RNN(VOCAB.size, HIDDEN, batch_first=True)
        self.second = torch.nn.RNN(HIDDEN, HIDDEN, batch_first=True)
        self.linear = torch.nn.Linear(HIDDEN, VOCAB.size)


def set_weights(network, model):
    """Give the PyTorch network our weights, with its second biases zero."""
    with torch.no_grad():
        for theirs, mine in ((network.first, model.layers[0]), (network.second, model.layers[1])):
            theirs.weight_ih_l0.copy_(torch.from_numpy(mine.w.data))
            theirs.weight_hh_l0.copy_(torch.from_numpy(mine.u.data))
            theirs.bias_ih_l0.copy_(torch.from_numpy(mine.b.data))
            theirs.bias_hh_l0.zero_()
        network.linear.weight.copy_(torch.from_numpy(model.layers[2].w.data))
        network.linear.bias.copy_(torch.from_numpy(model.layers[2].b.data))


def gradients(network):
    """The PyTorch network's gradients in the order of our parameters."""
    both = [
        g for rnn in (network.first, network.second)
        for g in (rnn.weight_ih_l0.grad, rnn.weight_hh_l0.grad, rnn.bias_ih_l0.grad)
    ]
    return [*both, network.linear.weight.grad, network.linear.bias.grad]


def sgd(network, **options):
    # dampening makes PyTorch's momentum the same running average as ours
    return torch.optim.SGD(network.parameters(), lr=LR, momentum=0.9, dampening=0.9, **options)
