"""Company names, a whole name at a step, with full back-propagation through time."""

import numpy as np
from workloads.company import HIDDEN, IDS, VOCAB, ours, program
from workloads.training import our_forward, pytorch_forward

from scratch.backend import to_device
from scratch.gradient_check import relative_error

SIDES = ("ours", "eager", "tuned")
LETTERS = sum(len(name) - 1 for name in IDS) / len(IDS)
# Of a step: u, w and u, the scores; and back.
OPERATIONS = 3 * 2 * LETTERS * (3 * HIDDEN * HIDDEN + HIDDEN * VOCAB.size)


def steps(side):
    """A function that learns all names once, and returns in how many steps."""
    if side == "ours":
        model, loss, optimizer = ours()
        learn = lambda name: program.whole_name(model, loss, optimizer, name)  # noqa: E731
    else:
        learn = in_pytorch(side)

    def sweep():
        for name in IDS:
            learn(name)
        return len(IDS)

    return sweep


class Workload:
    """A forward of the first ten characters of so many names, without learning."""

    SIDES = SIDES

    def __init__(self, _, batch):
        self.letters = np.array([name[:10] for name in IDS if len(name) >= 10][:batch])

    def operations(self, forward):
        return OPERATIONS / 3 / LETTERS * self.letters.size

    def forward(self, side):
        """A function that goes forward once."""
        if side == "ours":
            return our_forward(ours()[0], self.letters)
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
    """The largest relative difference between the two sides' gradients of one name."""
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
