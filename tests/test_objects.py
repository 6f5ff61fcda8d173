"""What a reader sees in a Python session: reprs that can be typed in again, and help that explains every argument."""

import inspect
import pydoc

import numpy as np
import pytest

import scratch
from scratch import LSTM, Bidirectional, Embedding, Linear, fast
from scratch.averages import Averager
from scratch.backend import precision
from scratch.layer import Layer
from scratch.losses import Loss
from scratch.optimizers import Optimizer

PUBLIC = {name: getattr(scratch, name) for name in scratch.__all__ if inspect.isclass(getattr(scratch, name))}
OBJECTS = [
    "Linear(3, 4)", "Linear(3, 4, bias=False)", "Embedding(5, 2)", "LSTM(3, 4, stateful=True)",
    "GRU(3, 4, return_sequences=False)", "SimpleRnn(3, 4, input_gradient=False)", "Bidirectional(GRU(2, 3), GRU(2, 3))",
    "Conv1d(3, 4, 5, stride=2, padding='same')", "Conv2d(3, 4, 5, bias=False)", "MaxPool1d(3)", "MaxPool2d(2)",
    "AveragePool2d(2)", "MaxOverTime()", "MeanOverTime()", "Dropout(0.25)", "BatchNorm(4, momentum=0.5)", "Flatten()",
    "Sigmoid()", "Tanh()", "Relu()", "Gelu()", "Softmax()", "LogSoftmax()", "DotAttention(3)",
    "BidirectionalAttention(3)", "Gelu('tanh')", "LayerNorm(4, bias=False)",
    "SelfAttention(6, 3, causal=False)", "SelfAttention(6, 2, 0.1, stateful=True)",
    "FeedForward(3, activation='exact')", "Block(4, 2, dropout=0.1)", "Positions(5, 3, stateful=True)",
    "Transformer(7, 4, 2, 2, 5, bias=False)",
    "Sequential([Linear(2, 3), Tanh(), Sequential([Linear(3, 1)])])",
    "SSE()", "MSE()", "NegativeLogLikelihood()", "NegativeLogLikelihood([1, 2.5])",
    "SoftmaxCrossEntropy(label_smoothing=0.1)", "SoftmaxCrossEntropy(class_weights=[1, 2])",
    "GradientDescent(lr=0.5)", "GradientDescent(0.5, clip_norm=2.0)", "Momentum(0.1, momentum=0.8, nesterov=True)",
    "RMSProp(0.1, decay=0.5)", "Adam(learning_rate=0.002, beta1=0.8)", "AdamW(0.1, weight_decay=0.2)",
    "Lookahead(Adam(0.1), every=3)", "MovingAverage(Momentum(0.1), decay=0.9)",
]
KINDS = [kind for kind in PUBLIC.values() if issubclass(kind, (Layer, Loss, Optimizer))]


def settings(thing):
    """All plain values in an object, by path."""
    found = {}
    for name, value in vars(thing).items():
        for key, item in enumerate(value) if isinstance(value, (list, tuple)) else [("", value)]:
            if isinstance(item, (Layer, Optimizer)):
                found |= {f"{name}{key}.{path}": inner for path, inner in settings(item).items()}
            elif not hasattr(item, "data") or not hasattr(item, "grad"):
                found[f"{name}{key}"] = item
    return found


@pytest.mark.parametrize("text", OBJECTS)
def test_a_repr_can_be_typed_in_again(text):
    thing = eval(text, vars(scratch).copy())
    for shown in (repr(thing), repr(fast.fast(thing, threads=1))):
        again = eval(shown, vars(scratch).copy())
        assert type(again) is type(thing) and repr(again) == repr(thing)
        assert str(settings(again)) == str(settings(thing))
        if isinstance(thing, Layer):
            shapes = {name: p.data.shape for name, p in thing.named_parameters().items()}
            assert {name: p.data.shape for name, p in again.named_parameters().items()} == shapes


def test_every_kind_has_an_object_here():
    shown = " ".join(OBJECTS)
    for kind in KINDS:
        assert f"{kind.__name__}(" in shown or kind in (Layer, Loss, Optimizer)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in (Layer, Loss, Optimizer)], ids=str)
def test_help_explains_shapes_and_every_argument(kind):
    text = pydoc.render_doc(kind, renderer=pydoc.plaintext)
    document = inspect.getdoc(kind)
    assert document and document.split("\n")[0] in text
    parameters = inspect.signature(kind).parameters
    for name, parameter in parameters.items():
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD, f"{name} is hidden"
        assert name in document.replace("learning_rate, or lr", "learning_rate lr"), f"{name} is not explained"
    if issubclass(kind, Layer) and kind is not scratch.Sequential:
        assert "Shapes:" in document
    if "mask" in inspect.signature(kind.forward if issubclass(kind, Layer) else len).parameters:
        assert "mask" in document


def test_the_defaults_of_a_repr_are_left_out():
    assert repr(LSTM(3, 4)) == "LSTM(input_dim=3, hidden_dim=4)"
    with precision("float64"):
        assert repr(Linear(np.int64(3), 4)).startswith("Linear(input_dim=")
    assert repr(Embedding(3, 4)) == "Embedding(num_embeddings=3, embedding_dim=4)"
    assert "LSTM(input_dim=2, hidden_dim=3), LSTM(" in repr(Bidirectional(LSTM(2, 3), LSTM(2, 3)))
    assert issubclass(scratch.Lookahead, Averager)
