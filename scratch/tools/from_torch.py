"""A model from a PyTorch module, with the same weights.

    model = from_torch(module)
    model.forward(x)                         # the numbers of module(torch.from_numpy(x)), up to rounding

The module may come from `to_torch`, or consist of plain modules of `torch.nn`. A plain convolution reads (N, channels,
H, W), but the layer made from it reads (N, H, W, channels), as everywhere here; so the input's axes have to be moved.
Flattened, the two orders differ: an image of C channels and P pixels becomes C blocks of P numbers there, and P blocks
of C numbers here. The weights of the Linear that follows are reordered to fit.

Values are copied. What has no exact counterpart here is rejected, naming the module and the setting.
docs/interchange.md lists what there is. Read next: `datasets.py`.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy

from scratch import activations, bidirectional, convolution, dense, over_time, pooling, recurrent, regular
from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.layer import Layer, Parameter, Sequential
from scratch.tools import to_torch as ours
from scratch.tools.to_torch import BLOCKS, in_order

nn: Any = ours.nn

# Settings of modules for which the layers here have no argument, and the only value that equals what the layers do.
_ONLY: dict[Any, dict[str, Any]] = {
    nn.Embedding: {"padding_idx": None, "max_norm": None, "scale_grad_by_freq": False},
    nn.Flatten: {"start_dim": 1, "end_dim": -1},
    nn.RNN: {"batch_first": True, "nonlinearity": "tanh"},
    nn.LSTM: {"batch_first": True, "proj_size": 0},
    nn.GRU: {"batch_first": True},
    nn.Conv1d: {"dilation": 1, "groups": 1, "padding_mode": "zeros"},
    nn.Conv2d: {"dilation": 1, "groups": 1, "padding_mode": "zeros", "stride": 1},
    nn.MaxPool1d: {"padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False},
    nn.MaxPool2d: {"padding": 0, "dilation": 1, "ceil_mode": False, "return_indices": False},
    nn.AvgPool2d: {"padding": 0, "ceil_mode": False, "divisor_override": None},
    nn.BatchNorm1d: {"affine": True, "track_running_stats": True},
    nn.BatchNorm2d: {"affine": True, "track_running_stats": True},
}


def from_torch(module: Any) -> Layer:
    """The layer that computes what `module` computes, in the current precision and the module's mode.

    An nn.RNN, nn.LSTM or nn.GRU of several layers becomes a Sequential; the layer returns what the module returns
    first, (N, T, features), without the last state.
    Raises: ScratchError for a module, or a setting of one, that has no exact counterpart here.
    """
    reader = _Reader()
    layer = reader.read(module)
    if reader.flattened:
        raise ScratchError("from_torch: no Linear follows the Flatten of channels first; their order would differ here")
    layer.train = module.training
    return layer


class _Reader:
    """Reads modules in the order in which they are applied, and knows which axis of their output has the features."""

    last = False  # it is the last axis, as after an Embedding (and may be, where neither is known)
    first = False  # it is axis 1, as after a plain convolution
    channels = 0  # the size of axis 1 then; 0 where it is unknown
    flattened = 0  # so many channels, which came first, have been flattened, and no Linear has followed

    def read(self, module: Any) -> Layer:
        if type(module) is nn.Sequential:
            if sum(len(list(inner.parameters())) for inner in module) != len(list(module.parameters())):
                _refuse(module, "two of its modules share parameters; the layers would have two copies")
            return Sequential([self.read(inner) for inner in module])
        if type(module) not in _LAYERS:
            known = ", ".join(dict.fromkeys(cls.__name__ for cls in _LAYERS))
            _refuse(module, f"no counterpart for this module here; there is one for Sequential, {known}")
        for kind, settings in _ONLY.items():
            for name, value in settings.items() if isinstance(module, kind) else ():
                if _single(found := getattr(module, name)) != value:
                    _refuse(module, f"{name}={found!r} has no counterpart here; expected {value!r}")
        self.follow(module)
        layer = _LAYERS[type(module)](module)
        if self.flattened and isinstance(layer, (dense.Linear, regular.BatchNorm)):
            for p in [layer.w] if isinstance(layer, dense.Linear) else layer.parameters():
                array = to_host(p.data)  # (..., channels * places), to become (..., places * channels)
                if array.shape[-1] % self.flattened:
                    _refuse(module, f"it cannot follow the Flatten of {self.flattened} channels")
                blocks = array.reshape(*array.shape[:-1], self.flattened, -1)
                p.data[...] = to_device(blocks.swapaxes(-2, -1).reshape(array.shape))
            self.flattened *= isinstance(layer, regular.BatchNorm)  # 0 after a Linear
        return layer

    def follow(self, module: Any) -> None:
        """Note where the features are after `module`. Raises: ScratchError when it expects them elsewhere."""
        kind = type(module)
        if self.last and kind in (*_CHANNELS_FIRST, nn.BatchNorm1d):
            _refuse(module, "it expects its channels in axis 1, after a module whose features are in the last axis")
        if self.first and kind not in (*_CHANNELS_FIRST, *_ANY_AXIS):
            _refuse(module, "it expects its features in the last axis, after a module whose channels are in axis 1")
        if kind in (nn.Softmax, nn.LogSoftmax) and module.dim != (wanted := 1 if self.first else -1):
            _refuse(module, f"expected dim={wanted}, the axis of the features")
        if kind is nn.Flatten and self.first and not self.channels:
            _refuse(module, "the number of channels that it flattens is unknown, without a convolution before it")
        if kind in _CHANNELS_FIRST:
            self.first, self.channels = True, getattr(module, "out_channels", self.channels)
        if kind is nn.Flatten:
            self.first, self.last, self.flattened = False, False, self.channels * self.first or self.flattened
        if kind is nn.Embedding or kind in _KINDS or issubclass(kind, ours.ChannelsLast):
            self.last = not getattr(module, "last_only", False)
        if kind in (ours.MaxOverTime, ours.MeanOverTime):
            self.last = False


def _refuse(module: Any, reason: str) -> NoReturn:
    shown = repr(module) if "\n" not in repr(module) else type(module).__name__
    raise ScratchError(f"from_torch: {shown}: {reason}")


def _single(value: Any) -> Any:
    """3 for (3, 3), since PyTorch stores either; else the value itself."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _size(module: Any) -> int:
    if not isinstance(size := _single(module.kernel_size), int):
        _refuse(module, f"kernel_size={size} has no counterpart here; expected a square")
    return size


def _host(tensor: Any) -> numpy.ndarray:
    return tensor.detach().cpu().double().numpy()  # NumPy has no bfloat16


def _with(layer: Any, **values: Any) -> Layer:
    """Copy tensors, or host arrays, into the Parameters of these names; None leaves one as it is."""
    for name, value in values.items():
        if value is not None:
            p: Parameter = getattr(layer, name)
            p.data[...] = to_device(value if isinstance(value, numpy.ndarray) else _host(value))
    return layer


def _linear(module: Any) -> Layer:
    layer = dense.Linear(module.in_features, module.out_features, bias=module.bias is not None)
    return _with(layer, w=module.weight, b=module.bias)


def _embedding(module: Any) -> Layer:
    return _with(dense.Embedding(module.num_embeddings, module.embedding_dim), w=module.weight)


def _convolution(module: Any) -> Layer:
    size, padding = _size(module), _single(module.padding)
    if padding in ("valid", 0):
        padding = "valid"
    elif padding == "same" or 2 * _number(padding) == size - 1:
        padding = "same"
    else:
        _refuse(module, f"padding={module.padding!r} has no counterpart here; expected 0, or half of kernel_size - 1")
    sizes = module.in_channels, module.out_channels, size
    if isinstance(module, nn.Conv1d):
        layer: Any = convolution.Conv1d(*sizes, stride=_single(module.stride), padding=padding)
    else:
        layer = convolution.Conv2d(*sizes, padding=padding, bias=module.bias is not None)
    return _with(layer, w=numpy.moveaxis(_host(module.weight), 1, -1), b=module.bias)


def _number(padding: Any) -> int:
    return padding if isinstance(padding, int) else -1  # unequal paddings are a tuple


def _pool(kind: Callable[[int], Layer]) -> Callable[[Any], Layer]:
    def pool(module: Any) -> Layer:
        if _single(module.stride) != (size := _size(module)):
            _refuse(module, f"stride={module.stride} has no counterpart here; expected the kernel_size")
        return kind(size)

    return pool


def _batch_norm(module: Any) -> Layer:
    if module.momentum is None:
        _refuse(module, "momentum=None, a mean over all batches, has no counterpart here; expected a number")
    layer = regular.BatchNorm(module.num_features, 1 - module.momentum, module.eps)  # of the old value, not the new
    running = {"running_mean": module.running_mean, "running_variance": module.running_var}
    return _with(layer, w=module.weight, b=module.bias, **running)


def _recurrent(module: Any) -> Layer:
    layers: list[Layer] = []
    ends = ("", "_reverse") if module.bidirectional else ("",)
    for k in range(module.num_layers):
        if k and module.dropout:
            layers.append(regular.Dropout(module.dropout))
        width = len(ends) * module.hidden_size if k else module.input_size
        last_only = k == module.num_layers - 1 and getattr(module, "last_only", False)
        directions = [_direction(module, width, f"_l{k}{end}", last_only) for end in ends]
        layers.append(bidirectional.Bidirectional(*directions) if module.bidirectional else directions[0])
    return layers[0] if len(layers) == 1 else Sequential(layers)


def _direction(module: Any, width: int, end: str, last_only: bool) -> Any:
    """One layer of one direction; its four arrays have names that end in `end`."""
    kind, named = _KINDS[type(module)], dict(module.named_parameters())
    layer = kind(width, module.hidden_size, return_sequences=not last_only)
    of_w, of_u = (numpy.argsort(blocks).tolist() for blocks in BLOCKS[kind])  # PyTorch's block for each of ours
    w, u = (_host(named[f"weight_{of}{end}"]) for of in ("ih", "hh"))
    first, second = (_host(named[f"bias_{of}{end}"]) if module.bias else 0 * w[:, 0] for of in ("ih", "hh"))
    if kind is recurrent.GRU and second[2 * module.hidden_size :].any():
        _refuse(module, f"the last third of bias_hh{end} is not zero, but the GRU here has no bias inside r * (...)")
    return _with(layer, w=in_order(w, of_w), u=in_order(u, of_u), b=in_order(first + second, of_w))


_KINDS: dict[Any, Any] = {
    nn.RNN: recurrent.SimpleRnn, ours.RNN: recurrent.SimpleRnn,
    nn.LSTM: recurrent.LSTM, ours.LSTM: recurrent.LSTM,
    nn.GRU: recurrent.GRU, ours.GRU: recurrent.GRU,
}
_CHANNELS_FIRST = (nn.Conv1d, nn.Conv2d, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d)
_ANY_AXIS = (
    nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, ours.Gelu, nn.Softmax, nn.LogSoftmax, nn.Dropout, nn.Flatten, nn.BatchNorm1d,
)
_LAYERS: dict[Any, Callable[[Any], Layer]] = {
    nn.Linear: _linear, nn.Embedding: _embedding, nn.Flatten: lambda _: dense.Flatten(),
    **dict.fromkeys(_KINDS, _recurrent),
    **dict.fromkeys((nn.Conv1d, ours.Conv1d, nn.Conv2d, ours.Conv2d), _convolution),
    **dict.fromkeys((nn.MaxPool1d, ours.MaxPool1d), _pool(pooling.MaxPool1d)),
    **dict.fromkeys((nn.MaxPool2d, ours.MaxPool2d), _pool(pooling.MaxPool2d)),
    **dict.fromkeys((nn.AvgPool2d, ours.AvgPool2d), _pool(pooling.AveragePool2d)),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, ours.BatchNorm), _batch_norm),
    ours.MaxOverTime: lambda _: over_time.MaxOverTime(), ours.MeanOverTime: lambda _: over_time.MeanOverTime(),
    nn.Dropout: lambda module: regular.Dropout(module.p), nn.ReLU: lambda _: activations.Relu(),
    nn.Tanh: lambda _: activations.Tanh(), nn.Sigmoid: lambda _: activations.Sigmoid(),
    nn.GELU: lambda module: activations.Gelu("tanh" if module.approximate == "tanh" else "exact"),
    ours.Gelu: lambda _: activations.Gelu(), nn.Softmax: lambda _: activations.Softmax(),
    nn.LogSoftmax: lambda _: activations.LogSoftmax(),
}
