"""A training step, or a forward, of a network that takes batches, ours and PyTorch's: what several workloads time."""

from scratch.parallel import default_threads, in_threads, mine

from scratch.backend import to_device
from scratch.layer import evaluating
from scratch.losses import SoftmaxCrossEntropy


def our_step(model, optimizer, input, truth):
    """A function that makes one step of ours. `input` and `truth` are on the host."""
    parallel, loss = in_threads(model, default_threads(len(input))), SoftmaxCrossEntropy()
    input, truth = to_device(mine(input)), to_device(mine(truth))

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

    loss, (input, truth) = torch.nn.CrossEntropyLoss(), at_hand(network, input, truth)

    def step():
        scores = network(input)
        pytorch_update(optimizer, loss(scores.reshape(-1, scores.shape[-1]), truth))
        return 1

    return step


def at_hand(network, *tensors):
    """The tensors where `network` has its parameters."""
    if not hasattr(network, "parameters"):
        return tensors
    return [tensor.to(next(network.parameters()).device) for tensor in tensors]


def pytorch_update(optimizer, error):
    """Learn from the error of a batch, which is looked at, as ours is."""
    error.item()
    optimizer.zero_grad()
    error.backward()
    optimizer.step()


def our_forward(model, *inputs):
    """A function that makes one forward of ours. The inputs are on the host."""
    parallel, inputs = in_threads(model, default_threads(len(inputs[0]))), [to_device(input) for input in inputs]

    def forward():
        with evaluating(parallel):
            parallel.forward(*inputs)
        return 1

    return forward


def pytorch_forward(network, *inputs):
    """A function that makes one forward of PyTorch's."""
    import torch

    network.eval()
    inputs = at_hand(network, *inputs)

    def forward():
        with torch.inference_mode():
            network(*inputs)
        return 1

    return forward
