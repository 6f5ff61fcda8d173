"""Every layer, in every way it can be called, plain and fast: the contract's tests run on these."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from bidaf.highway import Highway
from conftest import ON_A_DEVICE

from scratch.activations import Gelu, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import to_device, to_host, xp
from scratch.bidirectional import Bidirectional
from scratch.convolution import Conv1d, Conv2d
from scratch.dense import Embedding, Flatten, Linear
from scratch.fast import fast
from scratch.gradient_check import relative_error
from scratch.layer import Layer, Sequential
from scratch.over_time import MaxOverTime, MeanOverTime
from scratch.pooling import AveragePool2d, MaxPool1d, MaxPool2d
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.regular import BatchNorm, Dropout, LayerNorm
from scratch.self_attention import SelfAttention
from scratch.transformer import Block, FeedForward, Positions, Transformer

N, T, D, H = 2, 3, 5, 4  # odd and never equal, so that an exchanged axis shows


@dataclass
class Case:
    """A layer and an input. `before` is called ahead of every forward, so that equal forwards are equal."""

    name: str
    make: Callable[[], Layer]
    input: Callable[[int], Any]  # from the batch size; None where there is no batch
    before: Callable[[Layer], Any] = lambda layer: None
    mask: np.ndarray | None = None
    batch: bool = True

    def inputs(self, num_rows: int = N) -> Any:
        """The input on the device, the same at every call."""
        value = self.input(num_rows)
        return value if isinstance(value, int) else to_device(value)

    def forward(self, layer: Layer, input: Any) -> Any:
        self.before(layer)
        return layer.forward(input, **self.options())

    def options(self) -> dict[str, Any]:
        return {} if self.mask is None else {"mask": to_device(self.mask)}


def floats(*shape: int) -> np.ndarray:
    # Nowhere near 0, where Relu has its kink.
    values = np.random.default_rng(1).uniform(0.2, 1.5, shape)
    return values * np.random.default_rng(2).choice([-1, 1], shape)


def ids(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, D, shape)


def reset(layer: Layer) -> None:
    layer.reset_hidden_state()


def anew(layer: Layer) -> None:
    """The same chance, and no state."""
    random.seed(5)
    if hasattr(layer, "reset_hidden_state"):
        layer.reset_hidden_state()


def spread(model: Layer) -> Layer:
    """The weights of a transformer start so small that attention is nearly even; here they are larger."""
    for p in model.parameters():
        p.data *= 10
    return model


GAP = np.array([[True, False, True], [False, True, True]])
MASK = np.array([[True, True, True], [True, False, False]])
ONE_ROW = np.array([[False, True, False], [False, False, False]])

CASES = [
    Case("Linear on rows", lambda: Linear(D, H), lambda n: floats(n, D)),
    Case("Linear without a bias", lambda: Linear(D, H, bias=False), lambda n: floats(n, D)),
    Case("Linear on sequences", lambda: Linear(D, H), lambda n: floats(n, T, D)),
    Case("Linear on a vector", lambda: Linear(D, H), lambda n: floats(D), batch=False),
    Case("Embedding", lambda: Embedding(D, H), lambda n: ids(n, T)),
    Case("Embedding of one id", lambda: Embedding(D, H), lambda n: np.array(3), batch=False),
    Case("Embedding of many", lambda: Embedding(301, H), lambda n: 97 * ids(n, T) % 301),
    Case("Highway", lambda: Highway(D), lambda n: floats(n, T, D)),
    Case("Flatten", Flatten, lambda n: floats(n, T, D)),
    Case("Sigmoid", Sigmoid, lambda n: floats(n, D)),
    Case("Tanh", Tanh, lambda n: floats(n, D)),
    Case("Relu", Relu, lambda n: floats(n, D)),
    Case("Gelu", Gelu, lambda n: floats(n, D)),
    Case("Gelu, tanh", lambda: Gelu("tanh"), lambda n: floats(n, D)),
    Case("Gelu, exact", lambda: Gelu("exact"), lambda n: floats(n, D)),
    Case("Softmax", Softmax, lambda n: floats(n, D)),
    Case("LogSoftmax", LogSoftmax, lambda n: floats(n, D)),
    Case("Dropout", lambda: Dropout(0.4), lambda n: floats(n, D), before=lambda layer: random.seed(5)),
    Case("BatchNorm", lambda: BatchNorm(D), lambda n: floats(n, T, D), batch=False),
    Case("BatchNorm of rows", lambda: BatchNorm(D), lambda n: floats(T, D), batch=False),
    Case("Sequential", lambda: Sequential([Linear(D, H), Tanh(), Linear(H, T)]), lambda n: floats(n, D)),
]
LONG = 7  # steps
for options in (
    {"kernel_size": 1}, {"kernel_size": 2}, {"kernel_size": 3}, {"kernel_size": LONG}, {"kernel_size": 3, "stride": 2},
    {"kernel_size": 2, "stride": 3}, {"kernel_size": 3, "padding": "same"}, {"kernel_size": 4, "padding": "same"},
    {"kernel_size": 9, "stride": 2, "padding": "same"},
):
    name = "Conv1d, " + ", ".join(f"{key} {value}" for key, value in options.items())
    make = lambda o=options: Conv1d(D, H, **o)  # noqa: E731
    CASES += [
        Case(name, make, lambda n: floats(n, LONG, D)),
        Case(f"{name}, ids", make, lambda n: ids(n, LONG)),
        Case(f"{name}, ids with unknown ones", make, lambda n: ids(n, LONG) - 1),
    ]
CASES += [
    Case("MaxPool1d", lambda: MaxPool1d(3), lambda n: floats(n, LONG, D)),
    Case("MaxPool1d of one", lambda: MaxPool1d(1), lambda n: floats(n, T, D)),
    Case(
        "A network of convolutions",
        lambda: Sequential([Conv1d(D, H, 2), MaxPool1d(2), Relu(), Conv1d(H, D, 2), Flatten()]),
        lambda n: floats(n, LONG, D),
    ),
]
HIGH, WIDE = 7, 6  # pixels
for options in (
    {"kernel_size": 1}, {"kernel_size": 2}, {"kernel_size": 3}, {"kernel_size": 6, "bias": False},
    {"kernel_size": 2, "padding": "same"}, {"kernel_size": 3, "padding": "same"}, {"kernel_size": 9, "padding": "same"},
):
    name = "Conv2d, " + ", ".join(f"{key} {value}" for key, value in options.items())
    make = lambda o=options: Conv2d(D, H, **o)  # noqa: E731
    CASES.append(Case(name, make, lambda n: floats(n, HIGH, WIDE, D)))
CASES += [
    Case("MaxPool2d", lambda: MaxPool2d(3), lambda n: floats(n, HIGH, WIDE, D)),
    Case("MaxPool2d of one", lambda: MaxPool2d(1), lambda n: floats(n, HIGH, WIDE, D)),
    Case("AveragePool2d", lambda: AveragePool2d(3), lambda n: floats(n, HIGH, WIDE, D)),
    Case("BatchNorm of images", lambda: BatchNorm(D), lambda n: floats(n, HIGH, WIDE, D), batch=False),
    Case(
        "A network of convolutions of images",
        lambda: Sequential([Conv2d(D, H, 2), MaxPool2d(2), Gelu(), Conv2d(H, 3, 3, "same"), AveragePool2d(2)]),
        lambda n: floats(n, HIGH, WIDE, D),
    ),
]


class Split(Layer):
    """A layer of two texts as one of a single input: its first T steps are the context, the others the question."""

    def __init__(self, inner: Layer) -> None:
        self.inner = inner

    def forward(self, input: Any, mask: Any = None) -> Any:
        masks = (None, None) if mask is None else (mask[:, :T], mask[:, T:])
        output = self.inner.forward(input[:, :T], input[:, T:], *masks)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Any) -> Any:
        self.recall(gradient)
        return xp.concatenate(self.inner.backward(gradient), axis=1)


BOTH = np.array([[True, True, False, True, True], [True, True, True, True, False]])  # of context 3, question 2
CASES += [
    Case("Dot attention, masked", lambda: Split(DotAttention(D)), lambda n: floats(n, T + 2, D), mask=BOTH),
    Case("Attention", lambda: Split(BidirectionalAttention(D)), lambda n: floats(n, T + 2, D)),
    Case("Attention, masked", lambda: Split(BidirectionalAttention(D)), lambda n: floats(n, T + 2, D), mask=BOTH),
    Case(
        "Attention, an empty question", lambda: Split(BidirectionalAttention(D)), lambda n: floats(n, T + 2, D),
        mask=np.array([[True, True, False, False, False], [True, True, True, True, True]]),
    ),
]
for options in (
    {"num_heads": 2}, {"num_heads": 1, "bias": False}, {"num_heads": 6, "causal": False},
    {"num_heads": 2, "stateful": True}, {"num_heads": 3, "dropout": 0.3},
):
    name = "Self-attention, " + ", ".join(f"{key} {value}" for key, value in options.items())
    make = lambda o=options: SelfAttention(6, **o)  # noqa: E731
    CASES += [
        Case(f"{name}{suffix}", make, lambda n: floats(n, T, 6), before=anew, mask=mask)
        for suffix, mask in (("", None), (", masked", MASK), (", with a gap", GAP), (", a row of padding", ONE_ROW))
    ]
CASES += [
    Case("LayerNorm", lambda: LayerNorm(D), lambda n: floats(n, T, D)),
    Case("LayerNorm without a bias", lambda: LayerNorm(D, bias=False), lambda n: floats(n, D)),
    Case("LayerNorm of a vector", lambda: LayerNorm(D), lambda n: floats(D), batch=False),
    Case("FeedForward", lambda: FeedForward(D), lambda n: floats(n, T, D)),
    Case("FeedForward, exact", lambda: FeedForward(D, H, activation="exact"), lambda n: floats(n, D)),
    Case("Positions", lambda: Positions(H, D), lambda n: floats(n, T, D)),
    Case("Positions, stateful", lambda: Positions(H, D, stateful=True), lambda n: floats(n, T, D), before=anew),
    Case("Block", lambda: spread(Block(6, 2)), lambda n: floats(n, T, 6)),
    Case("Block, masked", lambda: spread(Block(6, 3, bias=False)), lambda n: floats(n, T, 6), mask=MASK),
    Case("Transformer", lambda: spread(Transformer(D, 6, 2, 2, H)), lambda n: ids(n, T)),
    Case(
        "Transformer, masked", lambda: spread(Transformer(D, 6, 1, 3, T, 0.2, False)), lambda n: ids(n, T),
        before=anew, mask=MASK,
    ),
]
for kind in (MaxOverTime, MeanOverTime):
    CASES += [
        Case(kind.__name__, kind, lambda n: floats(n, T, D)),
        Case(f"{kind.__name__}, masked", kind, lambda n: floats(n, T, D), mask=GAP),
        Case(f"{kind.__name__}, a row of padding", kind, lambda n: floats(n, T, D), mask=ONE_ROW),
    ]
for kind in (SimpleRnn, GRU, LSTM):
    CASES += [
        Case(f"{kind.__name__}, a step", lambda k=kind: k(D, H), lambda n: floats(D), before=reset, batch=False),
        Case(f"{kind.__name__}, a step of an id", lambda k=kind: k(D, H), lambda n: 3, before=reset, batch=False),
        Case(f"{kind.__name__}, sequences", lambda k=kind: k(D, H), lambda n: floats(n, T, D)),
        Case(f"{kind.__name__}, ids", lambda k=kind: k(D, H), lambda n: ids(n, T)),
        Case(f"{kind.__name__}, masked", lambda k=kind: k(D, H), lambda n: floats(n, T, D), mask=MASK),
        Case(
            f"{kind.__name__}, the last state", lambda k=kind: k(D, H, return_sequences=False),
            lambda n: floats(n, T, D),
        ),
        Case(
            f"{kind.__name__}, the last state, masked", lambda k=kind: k(D, H, return_sequences=False),
            lambda n: floats(n, T, D), mask=MASK,
        ),
        Case(f"{kind.__name__}, masked with a gap", lambda k=kind: k(D, H), lambda n: floats(n, T, D), mask=GAP),
        Case(
            f"{kind.__name__}, stateful", lambda k=kind: k(D, H, stateful=True), lambda n: floats(n, T, D),
            before=reset,
        ),
    ]
    both = lambda k=kind: Bidirectional(k(D, H), k(D, H))  # noqa: E731
    ends = lambda k=kind: Bidirectional(  # noqa: E731
        k(D, H, return_sequences=False), k(D, H, return_sequences=False)
    )
    CASES += [
        Case(f"Bidirectional {kind.__name__}", both, lambda n: floats(n, T, D)),
        Case(f"Bidirectional {kind.__name__}, ids", both, lambda n: ids(n, T)),
        Case(f"Bidirectional {kind.__name__}, masked", both, lambda n: floats(n, T, D), mask=MASK),
        Case(f"Bidirectional {kind.__name__}, both ends", ends, lambda n: floats(n, T, D), mask=MASK),
    ]


def plain(thing: Any) -> Any:
    return thing


def on_one_thread(thing: Any) -> Any:
    return fast(thing, threads=1)


EACH_WAY = pytest.mark.parametrize("how", [plain, on_one_thread], ids=["plain", "fast"])


def each_case(**only: bool) -> Any:
    """A parametrization of a test over the cases (with a batch axis, if batch=True)."""
    chosen = [case for case in CASES if all(getattr(case, key) == value for key, value in only.items())]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name)


def padding_changes_nothing(loss: Any, predicted: np.ndarray, actual: np.ndarray, mask: np.ndarray) -> None:
    """Check that a loss of (N, T, K), whose last step `mask` leaves out everywhere, does not depend on that step."""
    short = [to_device(a[:, :-1]) for a in (predicted, actual, mask)]
    long = [to_device(a) for a in (predicted, actual, mask)]
    assert loss.loss(*short) == pytest.approx(loss.loss(*long), rel=1e-5 if ON_A_DEVICE else None)  # in another order
    gradient = loss.gradient(*long)
    assert gradient.dtype == np.float32
    assert relative_error(gradient[:, :-1], loss.gradient(*short)) < 1e-6
    assert not to_host(gradient)[~mask].any()
    nothing = to_device(np.zeros(mask.shape, dtype=bool))
    assert loss.loss(long[0], long[1], nothing) == 0
    assert not to_host(loss.gradient(long[0], long[1], nothing)).any()
