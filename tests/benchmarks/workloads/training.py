"""A training step, or a forward, of a network that takes batches, ours and PyTorch's: what several workloads time."""

from scratch.backend import to_device
from scratch.layer import evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.parallel import default_threads, in_threads


def our_step(model, optimizer, input, truth):
    """A function that makes one step of ours. `input` and `truth` are on the host."""
    parallel, loss = in_threads(model, default_threads(len(input))), SoftmaxCrossEntropy()
    input, truth = to_device(input), to_device(truth)

    def step():
        predicted = parallel.forward(input)
        loss.loss(predicted, truth)
        parallel.backward(loss.gradient(predicted, truth))
        optimizer.step(model)
        return 1

    return step


def pytorch_step(network, optimizer, input, truth):
    """A function that makes one step of PyTorch's. `truth` is in a row."""
    import torch

    loss = torch.nn.CrossEntropyLoss()

    def step():
        scores = network(input)
        error = loss(scores.reshape(-1, scores.shape[-1]), truth)
        error.item()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        return 1

    return step


def our_forward(model, input):
    """A function that makes one forward of ours. `input` is on the host."""
    parallel, input = in_threads(model, default_threads(len(input))), to_device(input)

    def forward():
        with evaluating(parallel):
            parallel.forward(input)
        return 1

    return forward


def pytorch_forward(network, input):
    """A function that makes one forward of PyTorch's."""
    import torch

    network.eval()

    def forward():
        with torch.inference_mode():
            network(input)
        return 1

    return forward
