"""A model as a PyTorch module, with the same weights.

    module = to_torch(model)
    module(torch.from_numpy(x))              # the numbers of model.forward(x), up to rounding

Each layer becomes the module of `torch.nn` of its kind, and a Sequential an nn.Sequential with the same indices. A
module reads what the layer read: batch first, channels last. PyTorch's convolutions, pools and BatchNorm expect the
channels in axis 1, and its recurrent modules also return their state; so these become subclasses, defined below, that
move the axes and return one array. Values are copied: training the one does not change the other.

docs/interchange.md lists all pairs, and what is reordered. Read next: `from_torch.py`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from scratch import activations, bidirectional, convolution, dense, over_time, pooling, recurrent, regular
from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.layer import Layer, Parameter, Sequential
from scratch.tools.extras import extra

torch = extra("torch", "converting a model to or from PyTorch")
nn: Any = torch.nn


# Modules that PyTorch lacks, or whose input it lays out differently -----------------------------------------------


def _rows(input: Any, width: int, weight: Any) -> Any:
    """Ids as one-hot rows; -1 becomes a row of zeros. Floats are returned as they are."""
    if input.is_floating_point():
        return input
    return (input[..., None] == torch.arange(width, device=input.device)).to(weight.dtype)


class ChannelsLast(nn.Module):
    """Before a module of torch.nn among the bases: moves the channels from the last axis to axis 1, and back."""

    def forward(self, input: Any) -> Any:
        return super().forward(input.movedim(-1, 1)).movedim(1, -1)


class Conv1d(ChannelsLast, nn.Conv1d):
    """nn.Conv1d on (N, T, channels), or ids (N, T)."""

    def forward(self, input: Any) -> Any:
        return super().forward(_rows(input, self.in_channels, self.weight))


class Conv2d(ChannelsLast, nn.Conv2d):
    """nn.Conv2d on (N, H, W, channels)."""


class MaxPool1d(ChannelsLast, nn.MaxPool1d):
    """nn.MaxPool1d on (N, T, channels)."""


class MaxPool2d(ChannelsLast, nn.MaxPool2d):
    """nn.MaxPool2d on (N, H, W, channels)."""


class AvgPool2d(ChannelsLast, nn.AvgPool2d):
    """nn.AvgPool2d on (N, H, W, channels)."""


class BatchNorm(nn.BatchNorm1d):
    """nn.BatchNorm1d on the rows of an input (..., features)."""

    def forward(self, input: Any) -> Any:
        return super().forward(input.reshape(-1, self.num_features)).reshape(input.shape)


class _States(nn.Module):
    last_only = False  # whether only the last state is returned

    def forward(self, input: Any) -> Any:
        outputs, last = super().forward(_rows(input, self.input_size, self.weight_ih_l0))
        hidden = last[0] if isinstance(last, tuple) else last  # (1, N, H), or (2, N, H) for two directions
        return hidden.movedim(0, 1).flatten(1) if self.last_only else outputs


class RNN(_States, nn.RNN):
    """nn.RNN on (N, T, features) or ids (N, T), from a state of zeros; returns only its first output."""


class LSTM(_States, nn.LSTM):
    """nn.LSTM on (N, T, features) or ids (N, T), from states of zeros; returns only its first output."""


class GRU(_States, nn.GRU):
    """nn.GRU on (N, T, features) or ids (N, T), from a state of zeros; returns only its first output."""


class Gelu(nn.Module):
    """x * sigmoid(1.702 x); both forms of nn.GELU differ from it by up to 0.021."""

    def forward(self, input: Any) -> Any:
        return input * torch.sigmoid(1.702 * input)


class MaxOverTime(nn.Module):
    """The largest value over all steps: (N, T, channels) -> (N, channels)."""

    def forward(self, input: Any) -> Any:
        return input.max(dim=1).values


class MeanOverTime(nn.Module):
    """The mean over all steps: (N, T, channels) -> (N, channels)."""

    def forward(self, input: Any) -> Any:
        return input.mean(dim=1)


# The order of weights ---------------------------------------------------------------------------------------------

# Each gate has a block of rows. PyTorch's k-th block is ours of this number: first in w and b, then in u.
BLOCKS: dict[type, tuple[list[int], list[int]]] = {
    recurrent.SimpleRnn: ([0], [0]),
    recurrent.LSTM: ([0, 1, 3, 2], [0, 1, 3, 2]),  # i, f, g, o of our i, f, o, g
    recurrent.GRU: ([1, 2, 0], [0, 1, 2]),  # r, z, n of our n, r, z in w and b; in u ours are r, z, n too
}
_RECURRENT: dict[Any, Any] = {recurrent.SimpleRnn: RNN, recurrent.LSTM: LSTM, recurrent.GRU: GRU}


def in_order(array: numpy.ndarray, blocks: Sequence[int]) -> numpy.ndarray:
    """The given blocks of rows of `array`, one below the other."""
    rows = array.reshape(len(blocks), -1, *array.shape[1:])
    return rows[list(blocks)].reshape(array.shape)


def _new(cls: Any, weight: Parameter, *sizes: Any, **options: Any) -> Any:
    """A module whose weights are still to be filled, of the type of `weight`; no random numbers are drawn."""
    module = cls(*sizes, device="meta", dtype=getattr(torch, weight.data.dtype.name), **options)
    return module.to_empty(device="cpu")


def _filled(module: Any, **arrays: Any) -> Any:
    with torch.no_grad():
        for name, array in arrays.items():
            if array is not None:
                getattr(module, name).copy_(torch.tensor(array))
    return module


def _host(p: Parameter | None) -> Any:
    return None if p is None else to_host(p.data)


# From a layer to a module -----------------------------------------------------------------------------------------


def to_torch(model: Layer) -> Any:
    """The PyTorch module that computes what `model.forward` computes from sequences, images, rows or ids.

    Recurrent layers start each batch from a state of zeros; there are no masks. The module is in the mode (training or
    evaluating) and of the type (float32 or float64) of the model, and on the CPU.
    Raises: ScratchError for a layer without a counterpart, a stateful one, or Parameters that two layers share.
    """
    return _module(model).train(model.train)


def _module(layer: Layer) -> Any:
    kind = next((cls for cls in type(layer).__mro__ if cls in _TO), None)
    if kind is None and type(layer).__module__ == "scratch.fast.parts":
        return _module(dict(layer.children())["model"])  # the model whose batches are cut into parts
    # A subclass of one's own may compute something else; the engine's compute the same.
    if kind is None or not type(layer).__module__.startswith("scratch."):
        known = ", ".join(cls.__name__ for cls in _TO)
        raise ScratchError(f"to_torch: {layer}: no counterpart for this layer in PyTorch; there is one for {known}")
    inner = [1 if isinstance(child, Parameter) else len(child.parameters()) for _, child in layer.children()]
    if sum(inner) != len(layer.parameters()):
        raise ScratchError(f"to_torch: {layer}: two of its layers share Parameters; a module would have two copies")
    return _TO[kind](layer)


def _linear(layer: Any) -> Any:
    module = _new(nn.Linear, layer.w, layer.input_dim, layer.output_dim, bias=layer.b is not None)
    return _filled(module, weight=_host(layer.w), bias=_host(layer.b))


def _embedding(layer: Any) -> Any:
    return _filled(_new(nn.Embedding, layer.w, layer.num_embeddings, layer.embedding_dim), weight=_host(layer.w))


def _convolution(layer: Any) -> Any:
    size, stride, padding = layer.kernel_size, getattr(layer, "stride", 1), layer.padding
    if padding == "same" and stride > 1:  # PyTorch only pads both ends equally here
        if size % 2 == 0:
            raise ScratchError(f"to_torch: {layer}: PyTorch has no 'same' for a stride and an even kernel_size")
        padding = size // 2
    options = {"stride": stride, "padding": padding, "bias": layer.b is not None}
    cls = Conv1d if isinstance(layer, convolution.Conv1d) else Conv2d
    module = _new(cls, layer.w, layer.input_dim, layer.output_dim, size, **options)
    return _filled(module, weight=numpy.moveaxis(_host(layer.w), -1, 1), bias=_host(layer.b))


def _batch_norm(layer: Any) -> Any:
    momentum = round(1 - layer.momentum, 12)  # of the new value, not the old; without 0.09999999999999998
    module = _new(BatchNorm, layer.w, layer.num_features, eps=layer.epsilon, momentum=momentum)
    running = {"running_mean": _host(layer.running_mean), "running_var": _host(layer.running_variance)}
    return _filled(module, weight=_host(layer.w), bias=_host(layer.b), num_batches_tracked=0, **running)


def _recurrent(layer: Any, second: Any = None) -> Any:
    if layer.stateful:
        hint = "set `stateful` to False, and carry the state yourself"
        raise ScratchError(f"to_torch: {layer}: a module carries no state from one batch to the next; {hint}")
    kind = next(cls for cls in type(layer).__mro__ if cls in BLOCKS)
    sizes = layer.w, layer.input_dim, layer.hidden_dim
    module = _new(_RECURRENT[kind], *sizes, batch_first=True, bidirectional=second is not None)
    module.last_only = not layer.return_sequences
    of_w, of_u = BLOCKS[kind]
    for one, end in ((layer, "_l0"), (second, "_l0_reverse")):
        if one is not None:
            w, u, b = in_order(_host(one.w), of_w), in_order(_host(one.u), of_u), in_order(_host(one.b), of_w)
            both = {f"weight_ih{end}": w, f"weight_hh{end}": u, f"bias_ih{end}": b, f"bias_hh{end}": 0 * b}
            _filled(module, **both)
    return module


_GELU = {"exact": "none", "tanh": "tanh"}  # our forms, and what nn.GELU calls its approximation
_TO: dict[Any, Callable[[Any], Any]] = {
    Sequential: lambda model: nn.Sequential(*map(_module, model.layers)),
    dense.Linear: _linear,
    dense.Embedding: _embedding,
    dense.Flatten: lambda _: nn.Flatten(),
    recurrent.SimpleRnn: _recurrent,
    recurrent.LSTM: _recurrent,
    recurrent.GRU: _recurrent,
    bidirectional.Bidirectional: lambda layer: _recurrent(*layer.directions.values()),
    convolution.Conv1d: _convolution,
    convolution.Conv2d: _convolution,
    pooling.MaxPool2d: lambda layer: MaxPool2d(layer.size),
    pooling.MaxPool1d: lambda layer: MaxPool1d(layer.size),
    pooling.AveragePool2d: lambda layer: AvgPool2d(layer.size),
    over_time.MaxOverTime: lambda _: MaxOverTime(),
    over_time.MeanOverTime: lambda _: MeanOverTime(),
    regular.BatchNorm: _batch_norm,
    regular.Dropout: lambda layer: nn.Dropout(layer.p),
    activations.Relu: lambda _: nn.ReLU(),
    activations.Tanh: lambda _: nn.Tanh(),
    activations.Sigmoid: lambda _: nn.Sigmoid(),
    activations.Gelu: lambda layer: Gelu() if layer.form == "sigmoid" else nn.GELU(_GELU[layer.form]),
    activations.Softmax: lambda _: nn.Softmax(dim=-1),
    activations.LogSoftmax: lambda _: nn.LogSoftmax(dim=-1),
}
