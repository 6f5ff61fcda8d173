"""The network for company names in PyTorch, in a module of its own so that our sides do not import PyTorch."""

import torch
from workloads.company import HIDDEN, LR, VOCAB

ONE_HOT = torch.eye(VOCAB.size)


class Network(torch.nn.Module):
    """The same network in PyTorch, layer by layer."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.RNN(VOCAB.size, HIDDEN, batch_first=True)
        self.second = torch.nn.RNN(HIDDEN, HIDDEN, batch_first=True)
        self.linear = torch.nn.Linear(HIDDEN, VOCAB.size)

    def forward(self, one_hot):
        return self.linear(self.second(self.first(one_hot)[0])[0])


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
    # With dampening, PyTorch's momentum is a running average as ours is.
    return torch.optim.SGD(network.parameters(), lr=LR, momentum=0.9, dampening=0.9, **options)


def cells(network):
    """The recurrent layers as cells that take one step, with the same parameters."""
    made = []
    for rnn in (network.first, network.second):
        cell = torch.nn.RNNCell(rnn.input_size, HIDDEN)
        cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh = rnn.all_weights[0]
        made.append(cell)
    return made
