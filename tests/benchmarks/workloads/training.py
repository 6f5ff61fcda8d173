"""The sides of a comparison, and what several workloads time: a training step or a prediction of a batch, or a text."""

from scratch.backend import to_device
from scratch.fast import fast
from scratch.layer import evaluating
from scratch.losses import SoftmaxCrossEntropy

OURS = ("ours", "plain")  # through the engine, and as the book has it
SIDES = (*OURS, "eager", "tuned")  # and PyTorch's


def of_side(side, *things, num_rows=1):
    """Our models, losses and optimizers as `side` uses them. A batch of fewer than 16 rows is not cut over threads."""
    if side == "plain":
        return things
    return tuple(fast(thing, None if num_rows >= 16 else 1) for thing in things)


def our_step(side, model, optimizer, input, truth, loss=None, num_rows=None):
    """A function that makes one training step of our side. `input` and `truth` are on the host."""
    loss, num_rows = loss or SoftmaxCrossEntropy(), num_rows or len(truth)
    model, loss, optimizer = of_side(side, model, loss, optimizer, num_rows=num_rows)
    inputs = [to_device(array) for array in (input if isinstance(input, list) else [input])]
    truth = to_device(truth)

    def step():
        predicted = model.forward(*inputs)
        loss.loss(predicted, truth)
        gradient = loss.gradient(predicted, truth)
        model.backward(gradient)
        optimizer.step(model)
        return 1

    return step


def pytorch_step(network, optimizer, input, truth):
    """A function that makes one training step of PyTorch's. `truth` has one axis."""
    import torch

    loss, (input, truth) = torch.nn.CrossEntropyLoss(), at_hand(network, input, truth)

    def step():
        scores = network(input)
        pytorch_update(optimizer, loss(scores.reshape(-1, scores.shape[-1]), truth))
        return 1

    return step


def at_hand(network, *tensors):
    """The tensors on the device of `network`."""
    if not hasattr(network, "parameters"):
        return tensors
    return [tensor.to(next(network.parameters()).device) for tensor in tensors]


def pytorch_update(optimizer, error):
    """One update by the loss of a batch. The loss is read as a number, as ours is."""
    error.item()
    optimizer.zero_grad()
    error.backward()
    optimizer.step()


def our_forward(side, model, *inputs):
    """A function that predicts once with our side. The inputs are on the host."""
    (model,), inputs = of_side(side, model, num_rows=len(inputs[0])), [to_device(input) for input in inputs]

    def forward():
        with evaluating(model):
            model.forward(*inputs)
        return 1

    return forward


def pytorch_forward(network, *inputs):
    """A function that predicts once with PyTorch's."""
    import torch

    network.eval()
    inputs = at_hand(network, *inputs)

    def forward():
        with torch.inference_mode():
            network(*inputs)
        return 1

    return forward


def our_text(side, model, generate, count):
    """A function by which our side generates a text. `generate` is the function of the program `sample`."""
    (model,) = of_side(side, model)

    def text():
        for _ in generate(model, [0], count):
            pass
        return count

    return text


def pytorch_text(side, read, forget, count):
    """A function by which PyTorch's side generates a text. `read` maps an id (1, 1) to scores, and keeps its state."""
    import torch

    if side == "tuned":
        torch.set_num_threads(1)

    def text():
        forget()
        id = torch.zeros(1, 1, dtype=torch.int64)
        with torch.inference_mode():
            for _ in range(count):
                id = torch.multinomial(read(id)[:, -1].softmax(dim=1), 1)
                id.item()  # ours are numbers, too
        return count

    return text
