"""What a layer hands out is the caller's: no later pass changes it, and the layer keeps no memory of it."""

import random

import numpy as np
import pytest
from bidaf.highway import Highway
from cases import EACH_WAY

from scratch.activations import Gelu, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import to_device, to_host, xp
from scratch.bidirectional import Bidirectional
from scratch.convolution import Conv1d, Conv2d
from scratch.dense import Embedding, Flatten, Linear
from scratch.layer import Layer, Parameter, Sequential, evaluating
from scratch.losses import MSE, SSE, NegativeLogLikelihood, SoftmaxCrossEntropy
from scratch.over_time import MaxOverTime, MeanOverTime
from scratch.pooling import AveragePool2d, MaxPool1d, MaxPool2d
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.regular import BatchNorm, Dropout, LayerNorm
from scratch.self_attention import SelfAttention
from scratch.transformer import Block, FeedForward, Positions, Transformer

D, H = 3, 4
ROWS, STEPS = [1, 2, 33], [1, 2, 60]


def floats(*shape):
    return to_device(np.random.default_rng(random.getrandbits(32)).normal(size=shape))


def ids(*shape):
    return to_device(np.random.default_rng(random.getrandbits(32)).integers(0, D, shape))


def texts(n, t):
    return floats(n, t, D), floats(n, t, D)


ELEMENTWISE = [
    Sigmoid, Tanh, Relu, Gelu, Softmax, LogSoftmax, Flatten, lambda: Dropout(0.4), lambda: BatchNorm(D),
    lambda: LayerNorm(D), lambda: FeedForward(D), lambda: Gelu("tanh"), lambda: Gelu("exact"),
]
OVER_TIME = [MaxOverTime, MeanOverTime, lambda: MaxPool1d(1), lambda: Linear(D, H), lambda: Highway(D)]
OVER_TIME += [
    lambda: SelfAttention(D, 1), lambda: SelfAttention(D, 3, 0.2, causal=False), lambda: Block(D, 3),
    lambda: Positions(60, D),
]
IMAGES = [
    lambda: Conv2d(D, H, 1), lambda: Conv2d(D, H, 3, "same"), lambda: Conv2d(64, 64, 3, "same"), lambda: MaxPool2d(1),
    lambda: AveragePool2d(1), lambda: BatchNorm(D),
]


def recurrent(kind, **options):
    return [
        lambda: kind(D, H, **options), lambda: Bidirectional(kind(D, H, **options), kind(D, H, **options)),
        lambda: Sequential([kind(D, H), kind(H, H, **options)]),
    ]


# Pairs of a layer and what makes its inputs from N and T.
LAYERS = [(make, lambda n, t: (floats(n * t + 1, D),)) for make in ELEMENTWISE]
LAYERS += [(make, lambda n, t: (floats(n, t, D),)) for make in OVER_TIME]
LAYERS += [(make, lambda n, t, c=64 if k == 2 else D: (floats(n, min(t, 8), 2, c),)) for k, make in enumerate(IMAGES)]
for one_of in (SimpleRnn, GRU, LSTM):
    several = recurrent(one_of) + recurrent(one_of, return_sequences=False)
    LAYERS += [(make, lambda n, t: (floats(n, t, D),)) for make in several]
    LAYERS += [(make, lambda n, t: (ids(n, t),)) for make in several]
    LAYERS.append((lambda k=one_of: k(D, H, stateful=True), lambda n, t: (floats(n, t, D),)))
    LAYERS.append((lambda k=one_of: k(D, H), lambda n, t: (floats(D),)))
    LAYERS.append((lambda k=one_of: k(D, H), lambda n, t: (to_device(np.array(2)),)))
for padding in ("same", "valid"):
    convolution = lambda p=padding: Conv1d(D, H, 2 if p == "same" else 1, padding=p)  # noqa: E731
    LAYERS += [(convolution, lambda n, t: (floats(n, t, D),)), (convolution, lambda n, t: (ids(n, t),))]
LAYERS += [(lambda: Embedding(D, H), lambda n, t: (ids(n, t),)), (lambda: Embedding(D, H), lambda n, t: (ids(1)[0],))]
LAYERS += [(lambda: Transformer(D, H, 1, 2, 60, 0.1), lambda n, t: (ids(n, t),))]
LAYERS += [(lambda: DotAttention(D), texts), (lambda: BidirectionalAttention(D), texts)]
NAMES = [f"{k}-{str(make())[:60]}" for k, (make, _) in enumerate(LAYERS)]


def arrays_in(thing, seen=None):
    """Every array that can be reached from a layer, but its Parameters' values: those may be the caller's too."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, xp.ndarray):
        yield thing
    elif isinstance(thing, dict):
        for item in thing.values():
            yield from arrays_in(item, seen)
    elif isinstance(thing, (list, tuple)):
        for item in thing:
            yield from arrays_in(item, seen)
    elif isinstance(thing, (Layer, Parameter)) or type(thing).__module__.startswith("scratch"):
        yield from arrays_in(vars(thing), seen)


def passes(layer, inputs):
    """The arrays that one forward and backward hand out."""
    output = layer.forward(*inputs)
    gradients = layer.backward(floats(*output.shape))
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return [array for array in (output, *gradients) if array is not None]



@EACH_WAY
@pytest.mark.parametrize("place", range(len(LAYERS)), ids=NAMES)
def test_outputs_and_gradients_stay_as_they_were(place, how):
    make, make_inputs = LAYERS[place]
    for num_rows in ROWS:
        layer = how(make())
        for num_steps in STEPS:
            if hasattr(layer, "reset_hidden_state"):
                layer.reset_hidden_state()
            inputs = make_inputs(num_rows, num_steps)
            handed_out = passes(layer, inputs)
            with evaluating(layer):
                handed_out.append(layer.forward(*inputs))
            output = layer.forward(*inputs)
            handed_out.append(output)
            kept = list(arrays_in(layer))
            before = [to_host(array).copy() for array in handed_out]
            if xp.device == "cpu":
                for array in handed_out:
                    own = [other for other in kept if not any(other is given for given in inputs)]
                    assert not any(np.shares_memory(array, other) for other in own) or any(
                        np.shares_memory(array, given) for given in inputs  # a layer that passes its input on
                    )
            for again in (inputs, make_inputs(num_rows, num_steps)):
                passes(layer, again)
            for array, value in zip(handed_out, before, strict=True):
                assert np.array_equal(to_host(array), value)


@EACH_WAY
@pytest.mark.parametrize("place", range(len(LAYERS)), ids=NAMES)
def test_a_caller_may_change_what_it_was_given(place, how):
    make, make_inputs = LAYERS[place]
    found = []
    for change in (False, True):
        random.seed(3)
        layer = how(make())
        inputs = make_inputs(2, 2)
        output = layer.forward(*inputs)
        gradient = floats(*output.shape)
        if change and not any(xp.device == "cpu" and np.shares_memory(output, given) for given in inputs):
            output.fill(9)
        gradients = layer.backward(gradient)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        found.append([to_host(a).copy() for a in (*gradients, *layer.grads()) if a is not None])
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a, b)


@EACH_WAY
@pytest.mark.parametrize("loss", [SSE(), MSE(), NegativeLogLikelihood(), SoftmaxCrossEntropy()], ids=str)
def test_the_gradient_of_a_loss_is_the_callers(loss, how):
    loss, predicted, actual = how(loss), floats(2, 5), floats(2, 5)
    gradient = loss.gradient(predicted, actual)
    before = to_host(gradient).copy()
    loss.loss(predicted, actual + 1)
    loss.gradient(predicted, actual + 1)
    assert np.array_equal(to_host(gradient), before)
    if xp.device == "cpu":
        assert not np.shares_memory(gradient, predicted) and not np.shares_memory(gradient, actual)
