"""The pairs of plain layers and fast twins, and the inputs on which test_fast.py compares them."""

import random
from typing import NamedTuple

import numpy as np
from conftest import ON_A_DEVICE
from hypothesis import strategies as st

import scratch as book
from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import float_type, to_device, xp
from scratch.fast import TWINS
from scratch.layer import Layer, Parameter, Sequential
from scratch.recurrent import GRU, LSTM, Recurrent, SimpleRnn

PAST = "past a chunk"
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
P = 0.0 if ON_A_DEVICE else 0.4  # of Dropout: a GPU draws its own numbers
V = 7  # ids


class Config(NamedTuple):
    """What is drawn. Each case uses what it has a use for, and may call it something else."""

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


rng = np.random.default_rng(0)


def case(name, c):
    """A plain layer and some batches, each the inputs and the masks: the same for the same Config."""
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
    H = 128 if c.T is PAST else 5
    T, options = c.T, {"return_sequences": c.sequences, "input_gradient": c.N != 8}
    if T is PAST:  # in each thread
        numbers = H * max(c.N // c.threads, 1) * (1 + both) * (TWINS[kind].first_u_block + TWINS[kind].num_gates)
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
    C, D, T = (V if c.ids else 64, 70, 81) if c.T is PAST else (V, 5, 2 + c.T)
    K = 7 if c.T is PAST and c.threads == 2 else 3
    layer = book.Conv1d(C, D, K, stride=1 + c.stateful, padding="valid" if c.sequences else "same",
                        input_gradient=not c.masked)
    return layer, [((ids(c.N, T, lowest=-1) if c.ids else floats(c.N, T, C),), {}) for _ in range(2)]


def conv2d(c):
    C, D, K, H, W = {1: (3, 5, 2, 3, 4), 2: (3, 5, 3, 12, 11), PAST: (48, 50, 3, 12, 11)}[c.T]
    layer = book.Conv2d(C, D, K, "valid" if c.sequences else "same", bias=c.ids, input_gradient=not c.stateful)
    return layer, [((floats(c.N, H, W, C),), {}) for _ in range(2)]


def pool(make, c, *shape):
    x = rng.normal(size=(c.N, *shape, 24 if c.T is PAST else 3))
    return make(), [((to_device(np.rint(x) if c.ids else x),), {})]  # with ids: of many equal numbers


def over_time(c):
    T = 40 if c.T is PAST else c.T
    return book.MaxOverTime(), [((floats(c.N, T, 3),), ragged(c, T)) for _ in range(2)]


def normed(c):
    C, T = (64, 50) if c.T is PAST else (5, 2 + c.T)
    layer = book.BatchNorm(C)
    layer.w.fixed = c.masked
    return layer, [((floats(c.N, T, C) + 1 if c.N == 1 or c.ids else floats(c.N, C),), {}) for _ in range(2)]


def heads(c):
    T, (F, H) = {1: (1, (4, 2)), 2: (5, (6, 3)), PAST: (130, (8, 2))}[c.T]  # 130 queries are three pieces
    layer = book.SelfAttention(F, H, P * c.ids, causal=c.sequences, bias=not c.ids, stateful=c.stateful)
    large = c.N == 8 and float_type() == "float64"  # scores whose exponentials overflow
    layer.in_projection.w.data *= 2000 if large else 50
    return layer, [((floats(c.N, T, F),), ragged(c, T)) for _ in range(1 if c.stateful else 2)]


def transformer(c):
    T = 70 if c.T is PAST else c.T
    model = book.Transformer(V, 8, 2, 2, 2 * T, P * c.sequences, bias=c.ids, stateful=c.stateful)
    return model, [((ids(c.N, T),), ragged(c, T)) for _ in range(1 if c.stateful else 2)]


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
        book.Conv2d(3, 8, 3, "same", bias=False, input_gradient=False), book.BatchNorm(8), book.Gelu(),
        book.MaxPool2d(2), book.Conv2d(8, 6, 3, "same"), book.Relu(), book.AveragePool2d(2), book.Flatten(),
        book.Dropout(P), book.Linear(6 * 4, 5), book.LogSoftmax(),
    ]
    return Sequential(layers), [((floats(c.N, 8, 9, 3),), {}) for _ in range(2)]


# By name: the plain class whose twin it is about, a function of a Config, and whether a largest number is chosen. (In
# float32 two nearly equal ones may change places.)
LAYERS = {
    **{kind.__name__: (kind, lambda c, k=kind: recurrent(k, c), False) for kind in (SimpleRnn, GRU, LSTM)},
    **{f"{kind.__name__}, steps": (kind, lambda c, k=kind: steps(k, c), False) for kind in (SimpleRnn, GRU, LSTM)},
    **{
        f"Bidirectional {kind.__name__}": (book.Bidirectional, lambda c, k=kind: recurrent(k, c, both=True), False)
        for kind in (SimpleRnn, GRU, LSTM)
    },
    "Linear": (book.Linear, lambda c: (book.Linear(6, 5, bias=c.ids), [((rows(c, 6),), {})] * 2), False),
    "Embedding": (book.Embedding, embedding, False),
    "Gelu": (book.Gelu, lambda c: (book.Gelu(), [((rows(c, 64) * 9,), {})] * 2), False),
    **{
        f"Gelu, {form}": (book.Gelu, lambda c, f=form: (book.Gelu(f), [((rows(c, 64) * 9,), {})] * 2), False)
        for form in ("tanh", "exact")
    },
    "LogSoftmax": (book.LogSoftmax, lambda c: (book.LogSoftmax(), [((rows(c, 64) * 9,), {})] * 2), False),
    "Conv1d": (book.Conv1d, conv1d, False),
    "Conv2d": (book.Conv2d, conv2d, False),
    "MaxPool1d": (book.MaxPool1d, lambda c: pool(lambda: book.MaxPool1d(2 + c.stateful), c, 13), True),
    "MaxPool2d": (book.MaxPool2d, lambda c: pool(lambda: book.MaxPool2d(2 + c.stateful), c, 13, 11), True),
    "AveragePool2d": (book.AveragePool2d, lambda c: pool(lambda: book.AveragePool2d(2), c, 13, 11), True),
    "MaxOverTime": (book.MaxOverTime, over_time, True),
    "Dropout": (book.Dropout, lambda c: (book.Dropout(P), [((rows(c, 5),), {})] * 2), False),
    "BatchNorm": (book.BatchNorm, normed, False),
    "LayerNorm": (book.LayerNorm, lambda c: (book.LayerNorm(64, bias=c.ids), [((rows(c, 64) + 9,), {})] * 2), False),
    "SelfAttention": (book.SelfAttention, heads, False),
    "Block": (
        book.Block, lambda c: (book.Block(6, 2, P), [((floats(c.N, 5, 6),), ragged(c, 5)) for _ in range(2)]), False,
    ),
    "Positions": (book.Positions, lambda c: (book.Positions(9, 6), [((floats(c.N, 5, 6),), {})] * 2), False),
    "Transformer": (book.Transformer, transformer, False),
    "a reader's own recurrent layer": (None, leaky, False),
    "DotAttention": (None, lambda c: attention(DotAttention, c), False),
    "BidirectionalAttention": (None, lambda c: attention(BidirectionalAttention, c), False),
    "a network of text": (None, text, True),
    "a network of images": (None, images, True),
}
