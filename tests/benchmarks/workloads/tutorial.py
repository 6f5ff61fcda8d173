"""The network of the PyTorch tutorial on names: one name of seven letters a step, plain gradient descent."""

import random

from name_languages.letters import ALPHABET, as_batch
from name_languages.network import TutorialNetwork
from name_languages.train import learn_name
from workloads.training import OURS, SIDES, of_side, our_forward, pytorch_forward

from scratch.backend import to_device
from scratch.gradient_check import relative_error
from scratch.losses import NegativeLogLikelihood
from scratch.optimizers import GradientDescent

HIDDEN, LR = 128, 0.005
LANGUAGES = [f"language {k}" for k in range(18)]
# Of a step's products: u for each letter, and the scores; forward, and backward twice.
OPERATIONS = 3 * 2 * (7 * HIDDEN * HIDDEN + HIDDEN * len(LANGUAGES))
EXAMPLES = [(name, k) for k, name in enumerate(["Abandon", "Kovacek", "Schmidt", "Nakamur", "Ferrari", "O'Brien"])]


def ours(side="ours"):
    """Our model, loss and optimizer."""
    random.seed(0)
    model = TutorialNetwork(ALPHABET, LANGUAGES, HIDDEN)
    return of_side(side, model, NegativeLogLikelihood(), GradientDescent(LR))


def steps(side):
    """A function that trains on each name ten times, and returns the number of steps."""
    if side in OURS:
        model, loss, optimizer = ours(side)
        letters = {name: as_batch([name], ALPHABET)[0] for name, _ in EXAMPLES}
        learn = lambda example: learn_name(model, loss, optimizer, letters[example[0]], example[1])  # noqa: E731
    else:
        learn = in_pytorch(side)

    def sweep():
        for _ in range(10):
            for example in EXAMPLES:
                learn(example)
        return 10 * len(EXAMPLES)

    return sweep


class Workload:
    """Prediction only: `batch` names of seven letters."""

    SIDES = SIDES

    def __init__(self, _, batch):
        self.names = [EXAMPLES[k % len(EXAMPLES)][0] for k in range(batch)]

    def operations(self, forward):
        return OPERATIONS / 3 * len(self.names)

    def forward(self, side):
        """A function that predicts once."""
        if side in OURS:
            return our_forward(side, ours("plain")[0], as_batch(self.names, ALPHABET)[0])
        import torch

        if side == "tuned":
            torch.set_num_threads(1)
        network, letters = make_torch_network(), torch.cat([as_tensor(name) for name in self.names], dim=1)

        def read(letters):
            hidden = torch.zeros(len(self.names), HIDDEN)
            for letter in letters:
                output, hidden = network(letter, hidden)
            return output

        read.eval = network.eval
        return pytorch_forward(read, letters)


def make_torch_network():
    import torch

    class Network(torch.nn.Module):
        """As in the tutorial, which concatenates [letter; hidden] at every letter."""

        def __init__(self):
            super().__init__()
            self.i2h = torch.nn.Linear(len(ALPHABET) + HIDDEN, HIDDEN)
            self.i2o = torch.nn.Linear(len(ALPHABET) + HIDDEN, len(LANGUAGES))

        def forward(self, letter, hidden):
            combined = torch.cat((letter, hidden), 1)
            return torch.log_softmax(self.i2o(combined), dim=1), self.i2h(combined)

    return Network()


def as_tensor(name):
    """(T, 1, letters), as the tutorial makes it."""
    import torch

    tensor = torch.zeros(len(name), 1, len(ALPHABET))
    for t, letter in enumerate(name):
        tensor[t][0][ALPHABET.find(letter)] = 1
    return tensor


def in_pytorch(side):
    import torch

    if side == "tuned":
        torch.set_num_threads(1)
    network, loss = make_torch_network(), torch.nn.NLLLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, fused=side == "tuned")
    tensors = {name: (as_tensor(name), torch.tensor([language])) for name, language in EXAMPLES}

    def learn(example):
        letters, language = tensors[example[0]]
        hidden = torch.zeros(1, HIDDEN)
        for letter in letters:
            output, hidden = network(letter, hidden)
        error = loss(output, language)
        value = error.item()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        return value

    return learn


def gradient_error():
    """The largest relative difference between our gradients and PyTorch's on one name."""
    import torch

    model, loss, _ = ours()
    network, L = make_torch_network(), len(ALPHABET)
    with torch.no_grad():
        for theirs, mine in (
            (network.i2h.weight[:, :L], model.i2h.w), (network.i2h.weight[:, L:], model.i2h.u),
            (network.i2h.bias, model.i2h.b), (network.i2o.weight, model.i2o.w), (network.i2o.bias, model.i2o.b),
        ):
            theirs.copy_(torch.from_numpy(mine.data))
    name, language = EXAMPLES[1]
    letters, mask = as_batch([name], ALPHABET)
    model.backward(loss.gradient(model.forward(letters, mask=mask), to_device([language])))
    hidden = torch.zeros(1, HIDDEN)
    for letter in as_tensor(name):
        output, hidden = network(letter, hidden)
    torch.nn.functional.nll_loss(output, torch.tensor([language])).backward()
    i2h = network.i2h.weight.grad
    expected = [i2h[:, :L], i2h[:, L:], network.i2h.bias.grad, network.i2o.weight.grad, network.i2o.bias.grad]
    return max(relative_error(p.grad, g.numpy()) for p, g in zip(model.parameters(), expected, strict=True))
