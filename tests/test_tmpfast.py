"""The engine is the book: for every plain class and its fast twin equal outputs, gradients, states, steps and errors."""

import copy
import random
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ON_A_DEVICE
from hypothesis import example, given, settings
from hypothesis import strategies as st

import scratch as book
from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import float_type, precision, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.fast import TWINS, fast, parts
from scratch.fast.arrays import pieces
from scratch.fast.through_time import Recurrent as FastRecurrent
from scratch.fast.winograd import is_worth_it
from scratch.gradient_check import relative_error
from scratch.layer import Layer, Parameter, Sequential, evaluating
from scratch.recurrent import GRU, LSTM, Recurrent, SimpleRnn

PAST = "past a chunk"
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
P = 0.0 if ON_A_DEVICE else 0.4  # a GPU draws its own numbers
V = 7  # ids


class Config(NamedTuple):
    N: int = 7
    T: int | str = 2
    ids: bool = False
    masked: bool = False
    stateful: bool = False
    sequences: bool = True
    dtype: str = "float64"
    threads: int = 1


FLAG = st.booleans()
CONFIGS = st.builds(
    Config, st.sampled_from((1, 7, 8, 33)), st.sampled_from((1, 2, PAST)), FLAG, FLAG, FLAG, FLAG,
    st.sampled_from(tuple(TOLERANCE)), st.sampled_from((1, 2, 3)),
)


@pytest.fixture(autouse=True, scope="module")
def _no_warming_up():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_warm_up", lambda k: None)
        yield


# The pairs: for a Config a plain layer, and two batches of inputs and masks. ------------------------------------------

rng = np.random.default_rng(0)


def case(name, c):
    """The same for the same Config."""
    random.seed(1)
    rng.bit_generator.state = np.random.default_rng(2).bit_generator.state
    return LAYERS[name][1](c)


def floats(*shape):
    return to_device(rng.normal(size=shape))


def ids(*shape, lowest=0):
    return to_device(rng.integers(lowest, V, shape))


def ragged(c, T):
    """Rows of any length; the first has none."""
    lengths = rng.integers(0, T + 1, (c.N, 1))
    lengths[0] = 0
    return {"mask": to_device(np.arange(T) < lengths)} if c.masked else {}


def recurrent(kind, c, both=False):
    H = 64 if c.T is PAST else 5
    T, options = c.T, {"return_sequences": c.sequences, "input_gradient": c.N != 8}
    if T is PAST:  # in each thread
        numbers = H * -(-c.N // c.threads) * (1 + both) * (TWINS[kind].first_u_block + TWINS[kind].num_gates)
        T = (1 << 16) // numbers + 2
    if both:
        layer = book.Bidirectional(kind(V, H, **options), kind(V, H, **options))
    else:
        layer = kind(V, H, stateful=c.stateful, **options)
    return layer, [((ids(c.N, T) if c.ids else floats(c.N, T, V),), ragged(c, T)) for _ in range(2)]


def steps(kind, c):
    inputs = [*map(int, ids(3)), ids(4)[0]] if c.ids else [*floats(4, V)]
    return kind(V, 5), [((x,), {}) for x in inputs]


def rows(c, D):
    """One vector, rows, or sequences of rows."""
    return floats(D) if c.stateful else floats(c.N, D) if c.T == 1 else floats(c.N, 3 if c.T == 2 else 40, D)


def conv1d(c):
    D, T = (64, 80) if c.T is PAST else (5, 2 + c.T)
    layer = book.Conv1d(V, D, 3, stride=1 + c.stateful, padding="valid" if c.sequences else "same",
                        input_gradient=not c.masked)
    return layer, [((ids(c.N, T, lowest=-1) if c.ids else floats(c.N, T, V),), {}) for _ in range(2)]


def conv2d(c):
    C, D, K, H, W = {1: (3, 5, 2, 3, 4), 2: (3, 5, 3, 12, 11), PAST: (48, 50, 3, 12, 11)}[c.T]
    layer = book.Conv2d(C, D, K, "valid" if c.sequences else "same", bias=c.ids, input_gradient=not c.stateful)
    return layer, [((floats(c.N, H, W, C),), {}) for _ in range(2)]


def pool(make, c, *shape):
    x = floats(c.N, *shape, 24 if c.T is PAST else 3)
    return make(), [((xp.rint(x) if c.ids else x,), {})]  # with ids: of many equal numbers


def over_time(c):
    T = 40 if c.T is PAST else c.T
    return book.MaxOverTime(), [((floats(c.N, T, 3),), ragged(c, T)) for _ in range(2)]


def normed(c):
    C, T = (64, 50) if c.T is PAST else (5, 2 + c.T)
    layer = book.BatchNorm(C)
    layer.w.fixed = c.masked
    return layer, [((floats(c.N, T, C) + 1 if c.N == 1 or c.ids else floats(c.N, C),), {}) for _ in range(2)]


def embedding(c):
    num, D = (V, 64) if c.stateful else (300, 5)
    shape = (c.N, 50) if c.T is PAST else (c.N,) if c.T == 1 else ()
    return book.Embedding(num, D), [((ids(*shape) * (num // V),), {}) for _ in range(2)]


class Scaled(Layer):
    """A reader's own."""

    def __init__(self, dim):
        self.w = Parameter(floats(dim))

    def forward(self, input):
        self.remember(input.shape, input)
        return input * self.w.data

    def backward(self, gradient):
        (input,) = self.recall(gradient)
        self.w.grad += (gradient * input).reshape(-1, len(self.w.data)).sum(axis=0)
        return gradient * self.w.data


class Leaky(Recurrent):
    """A reader's own: hidden[t] = hidden[t-1] / 2 + w x[t]. It has no use for u and b."""

    def read(self, x, mask, *states):
        (hidden,), outputs = states, []
        for t in range(x.shape[1]):
            real = mask[:, t, None]
            hidden = xp.where(real, hidden / 2 + x[:, t] @ self.w.data.T, hidden)
            outputs.append(xp.where(real, hidden, 0))
        return xp.stack(outputs, axis=1), [hidden], (x, mask)

    def read_back(self, output_grads, last_grad, *memory):
        (x, mask), grads = memory, []
        for t in reversed(range(x.shape[1])):
            real = mask[:, t, None]
            hidden_grad = xp.where(real, output_grads[:, t] + last_grad, 0)
            self.w.grad += hidden_grad.T @ x[:, t]
            last_grad = xp.where(real, hidden_grad / 2, last_grad)
            grads.append(hidden_grad @ self.w.data)
        return xp.stack(grads[::-1], axis=1)


def leaky(c):
    if c.stateful:
        layer = Leaky(V, 4, stateful=True, return_sequences=c.sequences)
    else:
        layer = book.Bidirectional(*(Leaky(V, 4, return_sequences=c.sequences) for _ in range(2)))
    return layer, [((ids(c.N, 3) if c.ids else floats(c.N, 3, V),), ragged(c, 3)) for _ in range(2)]


def attention(kind, c):
    T, J = 5, 3
    masks = (ragged(c, T).get("mask"), ragged(c, J).get("mask"))
    return kind(4), [((floats(c.N, T, 4), floats(c.N, J, 4), *masks), {}) for _ in range(2)]


def text(c):
    kind = random.choice([SimpleRnn, GRU, LSTM])
    layers = [
        book.Embedding(V, 6), Scaled(6), book.Dropout(P), book.Conv1d(6, 8, 3, padding="same"), book.Gelu(),
        book.BatchNorm(8), book.Bidirectional(kind(8, 5), kind(8, 5)), book.Linear(10, 6), book.Dropout(P / 2),
        kind(6, 4, stateful=c.stateful), Leaky(4, 4), book.Tanh(), book.MaxPool1d(2), book.MaxOverTime(),
    ]
    return Sequential(layers), [((ids(c.N, 4),), {}) for _ in range(2)]


def images(c):
    layers = [
        book.Conv2d(3, 48, 3, "same", bias=False, input_gradient=False), book.BatchNorm(48), book.Gelu(),
        book.MaxPool2d(2), book.Conv2d(48, 48, 3, "same"), book.Relu(), book.AveragePool2d(2), book.Flatten(),
        book.Dropout(P), book.Linear(48 * 4, 5), book.LogSoftmax(),
    ]
    return Sequential(layers), [((floats(c.N, 8, 9, 3),), {}) for _ in range(2)]


LAYERS = {  # name: the plain class whose twin it is about, a function of a Config, whether it has a largest number
    **{kind.__name__: (kind, lambda c, k=kind: recurrent(k, c), False) for kind in (SimpleRnn, GRU, LSTM)},
    **{f"{kind.__name__}, steps": (kind, lambda c, k=kind: steps(k, c), False) for kind in (SimpleRnn, GRU, LSTM)},
    **{
        f"Bidirectional {kind.__name__}": (book.Bidirectional, lambda c, k=kind: recurrent(k, c, both=True), False)
        for kind in (SimpleRnn, GRU, LSTM)
    },
    "Linear": (book.Linear, lambda c: (book.Linear(6, 5, bias=c.ids), [((rows(c, 6),), {})] * 2), False),
    "Embedding": (book.Embedding, embedding, False),
    "Gelu": (book.Gelu, lambda c: (book.Gelu(), [((rows(c, 64) * 9,), {})] * 2), False),
    "Conv1d": (book.Conv1d, conv1d, False),
    "Conv2d": (book.Conv2d, conv2d, False),
    "MaxPool1d": (book.MaxPool1d, lambda c: pool(lambda: book.MaxPool1d(2 + c.stateful), c, 13), True),
    "MaxPool2d": (book.MaxPool2d, lambda c: pool(lambda: book.MaxPool2d(2 + c.stateful), c, 13, 11), True),
    "AveragePool2d": (book.AveragePool2d, lambda c: pool(lambda: book.AveragePool2d(2), c, 13, 11), True),
    "MaxOverTime": (book.MaxOverTime, over_time, True),
    "Dropout": (book.Dropout, lambda c: (book.Dropout(P), [((rows(c, 5),), {})] * 2), False),
    "BatchNorm": (book.BatchNorm, normed, False),
    "a reader's own recurrent layer": (None, leaky, False),
    "DotAttention": (None, lambda c: attention(DotAttention, c), False),
    "BidirectionalAttention": (None, lambda c: attention(BidirectionalAttention, c), False),
    "a network of text": (None, text, True),
    "a network of images": (None, images, True),
}

WITH_PARAMETERS = ("SimpleRnn", "SimpleRnn, steps", "GRU", "GRU, steps", "LSTM", "LSTM, steps", "Bidirectional GRU",
                   "Linear", "Embedding", "Conv1d", "Conv2d", "BatchNorm")


def everything(layer, batches):
    """By name, all that a layer computes in two batches and afterwards, on the host."""
    found = {}
    draw = np.random.default_rng(3)
    for k, (inputs, masks) in enumerate(batches):
        random.seed(k)
        output = layer.forward(*inputs, **masks)
        found[f"output {k}"], found[f"next chance {k}"] = to_host(output).copy(), random.random()
        back = layer.backward(to_device(draw.normal(size=output.shape)))
        for i, grad in enumerate(back if isinstance(back, tuple) else (back,)):
            found[f"input gradient {k}, {i}"] = None if grad is None else to_host(grad).copy()
    for name, parameter in layer.named_parameters().items():
        found[name], found[f"gradient of {name}"] = to_host(parameter.data).copy(), to_host(parameter.grad).copy()
    copies = [layer.model, *layer.others] if isinstance(layer, parts.InParts) else [layer]
    for k, same in enumerate(zip(*(one.all_layers() for one in copies), strict=True)):
        if states := [xp.stack(list(one.state)) for one in same if getattr(one, "state", None) is not None]:
            found[f"state of {k}"] = to_host(xp.concatenate(states, axis=1))
    with evaluating(layer):
        found["evaluating"] = to_host(layer.forward(*batches[0][0], **batches[0][1])).copy()
    return found


def errors(expected, found):
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        if value is None or found[name] is None:
            assert value is found[name], name
        else:
            assert getattr(value, "dtype", None) == getattr(found[name], "dtype", None), name
    return {name: relative_error(found[name], value) for name, value in expected.items() if value is not None}


def differences(layer, batches, threads):
    plain = copy.deepcopy(layer)
    return errors(everything(plain, batches), everything(fast(layer, 1 if ON_A_DEVICE else threads), batches))


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=400)
@given(c=CONFIGS)
@example(c=Config(33, PAST, masked=True))
@example(c=Config(33, PAST, ids=True, stateful=True, sequences=False, threads=2))
@example(c=Config(33, PAST, ids=True, sequences=False, dtype="float32", threads=3))
def test_a_twin_is_the_plain_layer(name, c):
    with precision("float64" if LAYERS[name][2] else c.dtype):
        layer, batches = case(name, c)
        found = differences(layer, batches, c.threads)
        assert max(found.values()) < TOLERANCE[float_type().name], found
