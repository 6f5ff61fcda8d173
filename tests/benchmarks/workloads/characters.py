"""The book's listing: batch of one, one character a step, the gradient through that one step."""

from workloads import lists, training
from workloads.company import HIDDEN, IDS, LR, VOCAB, ours, program

from scratch.gradient_check import relative_error

SIDES = (*training.SIDES, "lists")
# Of a step's products: u of the first layer, w and u of the second, the scores; forward, and backward twice.
OPERATIONS = 3 * 2 * (3 * HIDDEN * HIDDEN + HIDDEN * VOCAB.size)
SHARE = {"ours": 100, "plain": 20, "eager": 20, "tuned": 20, "lists": 5}  # how many names make one timing


def steps(side):
    """A function that trains on the first names once, and returns the number of steps."""
    ids = IDS[: SHARE[side]]
    num_steps = sum(len(name) - 1 for name in ids)
    if side in training.OURS:
        model, loss, optimizer = ours(side)
        learn = lambda name: program.letter_by_letter(model, loss, optimizer, name)  # noqa: E731
    elif side == "lists":
        layers = [lists.Rnn(VOCAB.size, HIDDEN), lists.Rnn(HIDDEN, HIDDEN), lists.Linear(HIDDEN, VOCAB.size)]
        optimizer = lists.Momentum(LR)
        learn = lambda name: lists.learn(layers, optimizer, name, VOCAB.size)  # noqa: E731
    else:
        learn = in_pytorch(side)

    def sweep():
        for name in ids:
            learn(name)
        return num_steps

    return sweep


def in_pytorch(side):
    import torch
    from workloads.company_torch import ONE_HOT, Network, cells, sgd

    if side == "tuned":
        torch.set_num_threads(1)
    network = Network()
    first, second = cells(network)
    optimizer = sgd(network, fused=side == "tuned")
    loss = torch.nn.CrossEntropyLoss()

    def learn(name):
        total = 0.0
        letters = torch.tensor(name)
        a, b = torch.zeros(HIDDEN), torch.zeros(HIDDEN)
        for k in range(len(name) - 1):
            a = first(ONE_HOT[name[k]], a.detach())
            b = second(a, b.detach())
            error = loss(network.linear(b), letters[k + 1])
            total += error.item()
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        return total

    return learn


def gradient_error():
    """The largest relative difference between our gradients and PyTorch's after the first two characters."""
    import torch
    from workloads.company_torch import ONE_HOT, Network, cells, gradients, set_weights

    model, loss, _ = ours()
    network = Network()
    set_weights(network, model)
    first, second = cells(network)
    a, b = torch.zeros(HIDDEN), torch.zeros(HIDDEN)
    for letter, target in zip(IDS[0][:2], IDS[0][1:3], strict=True):
        predicted = model.forward(letter)
        model.zero_grads()
        model.backward(loss.gradient(predicted, target))
        a = first(ONE_HOT[letter], a.detach())
        b = second(a, b.detach())
        network.zero_grad()
        torch.nn.functional.cross_entropy(network.linear(b), torch.tensor(target)).backward()
    return max(relative_error(p.grad, g.numpy()) for p, g in zip(model.parameters(), gradients(network), strict=True))
