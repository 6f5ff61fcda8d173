"""Company names, one name a step, with full back-propagation through time."""

import numpy as np
from workloads.company import HIDDEN, IDS, VOCAB, ours, program
from workloads.training import OURS, SIDES, our_forward, pytorch_forward

from scratch.backend import to_device
from scratch.gradient_check import relative_error

LETTERS = sum(len(name) - 1 for name in IDS) / len(IDS)
# Of a step's products: u of the first layer, w and u of the second, the scores; forward, and backward twice.
OPERATIONS = 3 * 2 * LETTERS * (3 * HIDDEN * HIDDEN + HIDDEN * VOCAB.size)


def steps(side):
    """A function that trains on all names once, and returns the number of steps."""
    if side in OURS:
        model, loss, optimizer = ours(side)
        learn = lambda name: program.whole_name(model, loss, optimizer, name)  # noqa: E731
    else:
        learn = in_pytorch(side)

    def sweep():
        for name in IDS:
            learn(name)
        return len(IDS)

    return sweep


class Workload:
    """Prediction only: the first ten characters of `batch` names."""

    SIDES = SIDES

    def __init__(self, _, batch):
        self.letters = np.array([name[:10] for name in IDS if len(name) >= 10][:batch])

    def operations(self, forward):
        return OPERATIONS / 3 / LETTERS * self.letters.size

    def forward(self, side):
        """A function that predicts once."""
        if side in OURS:
            return our_forward(side, ours("plain")[0], self.letters)
        import torch
        from workloads.company_torch import ONE_HOT, Network

        if side == "tuned":
            torch.set_num_threads(1)
        return pytorch_forward(Network(), ONE_HOT[torch.from_numpy(self.letters)])


def in_pytorch(side):
    import torch
    from workloads.company_torch import ONE_HOT, Network, sgd

    if side == "tuned":
        torch.set_num_threads(1)
    network = Network()
    optimizer = sgd(network, fused=side == "tuned")
    loss = torch.nn.CrossEntropyLoss()

    def learn(name):
        letters = torch.tensor(name)
        hidden, _ = network.first(ONE_HOT[letters[:-1]][None])
        hidden, _ = network.second(hidden)
        error = loss(network.linear(hidden)[0], letters[1:])
        value = error.item()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        return value

    return learn


def gradient_error():
    """The largest relative difference between our gradients and PyTorch's on one name."""
    import torch
    from workloads.company_torch import ONE_HOT, Network, gradients, set_weights

    model, loss, _ = ours()
    network = Network()
    set_weights(network, model)
    letters, targets = to_device([IDS[0][:-1]]), to_device([IDS[0][1:]])
    model.backward(loss.gradient(model.forward(letters), targets))
    hidden, _ = network.second(network.first(ONE_HOT[torch.tensor(IDS[0][:-1])][None])[0])
    torch.nn.functional.cross_entropy(network.linear(hidden)[0], torch.tensor(IDS[0][1:])).backward()
    return max(relative_error(p.grad, g.numpy()) for p, g in zip(model.parameters(), gradients(network), strict=True))
