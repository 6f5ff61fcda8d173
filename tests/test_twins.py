"""Every layer, loss and optimizer, plain and fast, against PyTorch's results on file, and PyTorch where installed."""

import numpy as np
import pytest
from cases import EACH_WAY
from make_twins import FILE, twins

from scratch import activations, losses, recurrent
from scratch.backend import precision, to_device, to_host
from scratch.bidirectional import Bidirectional
from scratch.convolution import Conv1d, Conv2d
from scratch.dense import Embedding, Linear
from scratch.gradient_check import relative_error
from scratch.layer import Layer, Parameter, evaluating
from scratch.optimizers import Adam, AdamW, GradientDescent, Momentum, RMSProp
from scratch.over_time import MaxOverTime
from scratch.pooling import AveragePool2d, MaxPool1d, MaxPool2d
from scratch.regular import BatchNorm, LayerNorm
from scratch.self_attention import SelfAttention
from scratch.transformer import Block

FIXTURES = dict(np.load(FILE))
TOLERANCE = 1e-12


def of(case):
    return {key.removeprefix(case + "/"): value for key, value in FIXTURES.items() if key.startswith(case + "/")}


@pytest.mark.needs("torch")
def test_the_fixtures_are_what_pytorch_says():
    fresh = twins()
    assert fresh.keys() == FIXTURES.keys()
    for name, value in fresh.items():
        assert relative_error(1.0 * value, 1.0 * FIXTURES[name]) < TOLERANCE, name


def compare(layer, twin, reorder=None):
    """Give `layer` the twin's weights, run both ways, and compare everything."""
    reorder = reorder or {}
    for name, p in layer.named_parameters().items():
        p.data[...] = to_device(reorder.get(name, lambda array: array)(twin[name]))
    options = {"mask": to_device(twin["mask"])} if "mask" in twin else {}
    output = layer.forward(to_device(twin["input"]), **options)
    assert relative_error(output, twin["output"]) < TOLERANCE
    input_grad = layer.backward(to_device(twin["gradient"]))
    if "input_grad" in twin:
        assert relative_error(input_grad, twin["input_grad"]) < TOLERANCE
    for name, p in layer.named_parameters().items():
        expected = reorder.get(name, lambda array: array)(twin[f"{name}_grad"])
        assert relative_error(p.grad, expected) < TOLERANCE, name


def gates(*order):
    """Rows of PyTorch's gates in our order."""
    return lambda array: np.concatenate([np.split(array, len(order))[k] for k in order])


@EACH_WAY
@pytest.mark.parametrize(
    ("name", "reorder"),
    [
        ("SimpleRnn", {}),
        ("LSTM", dict.fromkeys("wub", gates(0, 1, 3, 2))),  # i f g o -> i f o g
        ("GRU", {"w": gates(2, 0, 1), "b": gates(2, 0, 1)}),  # r z n -> n r z; u's order is PyTorch's
    ],
)
def test_recurrent(name, reorder, how, device):
    with precision("float64"):
        compare(how(getattr(recurrent, name)(5, 4)), of(name), reorder)


@EACH_WAY
def test_bidirectional(how, device):
    with precision("float64"):
        layer, order = how(Bidirectional(recurrent.LSTM(5, 4), recurrent.LSTM(5, 4))), gates(0, 1, 3, 2)
        compare(layer, of("Bidirectional"), dict.fromkeys(layer.named_parameters(), order))


@EACH_WAY
def test_dense_layers_and_activations(how, device):
    with precision("float64"):
        compare(how(Linear(5, 4)), of("Linear"))
        compare(how(Embedding(7, 4)), of("Embedding"))
        for name in ("Sigmoid", "Tanh", "Relu", "Gelu", "Softmax", "LogSoftmax"):
            compare(how(getattr(activations, name)()), of(name))


@EACH_WAY
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("Conv1d", lambda: Conv1d(5, 4, 3)),
        ("Conv1d, stride 2", lambda: Conv1d(5, 4, 3, stride=2)),
        ("Conv1d, same", lambda: Conv1d(5, 4, 3, padding="same")),
        ("Conv1d, same and even", lambda: Conv1d(5, 4, 4, padding="same")),
        ("MaxPool1d", lambda: MaxPool1d(3)),
        ("Conv2d", lambda: Conv2d(5, 4, 3)),
        ("Conv2d, same", lambda: Conv2d(5, 4, 3, padding="same")),
        ("Conv2d, same and even", lambda: Conv2d(5, 4, 2, padding="same")),
        ("MaxPool2d", lambda: MaxPool2d(2)),
        ("AveragePool2d", lambda: AveragePool2d(3)),
    ],
)
def test_convolution_and_pooling(name, make, how, device):
    with precision("float64"):
        compare(how(make()), of(name))


@EACH_WAY
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("Gelu, tanh", lambda: activations.Gelu("tanh")),
        ("Gelu, exact", lambda: activations.Gelu("exact")),
        ("LayerNorm", lambda: LayerNorm(5)),
        ("SelfAttention", lambda: SelfAttention(6, 3)),
        ("SelfAttention, masked", lambda: SelfAttention(6, 3)),
        ("SelfAttention, both ways", lambda: SelfAttention(6, 3, causal=False)),
        ("SelfAttention, in one function", lambda: SelfAttention(6, 3)),
        ("Block", lambda: Block(6, 3)),
    ],
)
def test_transformer(name, make, how, device):
    with precision("float64"):
        compare(how(make()), of(name))


@EACH_WAY
def test_max_over_time(how, device):
    with precision("float64"):
        twin = of("MaxOverTime")
        compare(how(MaxOverTime()), twin | {"output": twin["output"][:, 0], "gradient": twin["gradient"][:, 0]})


@EACH_WAY
def test_batch_norm_of_images(how, device):
    with precision("float64"):
        layer, twin = how(BatchNorm(5)), of("BatchNorm of images")
        assert relative_error(layer.forward(to_device(twin["input"])), twin["output"]) < TOLERANCE
        assert relative_error(layer.backward(to_device(twin["gradient"])), twin["input_grad"]) < TOLERANCE


@EACH_WAY
def test_batch_norm(how, device):
    with precision("float64"):
        layer, twin = how(BatchNorm(5)), of("BatchNorm")
        layer.w.data[...], layer.b.data[...] = to_device(twin["w"]), to_device(twin["b"])
        assert relative_error(layer.forward(to_device(twin["input"])), twin["output"]) < TOLERANCE
        assert relative_error(layer.backward(to_device(twin["gradient"])), twin["input_grad"]) < TOLERANCE
        for name in ("w", "b"):
            assert relative_error(getattr(layer, name).grad, twin[f"{name}_grad"]) < TOLERANCE
        for name in ("running_mean", "running_variance"):
            assert relative_error(getattr(layer, name).data, twin[name]) < TOLERANCE
        with evaluating(layer):
            assert relative_error(layer.forward(to_device(twin["input"])), twin["evaluated"]) < TOLERANCE


@EACH_WAY
@pytest.mark.parametrize(
    "name",
    [
        "SoftmaxCrossEntropy", "SoftmaxCrossEntropy, weighted", "SoftmaxCrossEntropy, smoothed",
        "NegativeLogLikelihood", "MSE", "SSE",
    ],
)
def test_losses(name, how, device):
    with precision("float64"):
        twin, kind = of(name), getattr(losses, name.split(",")[0])
        loss = kind(twin["weights"].tolist()) if "weights" in twin else kind()
        if "smoothed" in name:
            loss = kind(label_smoothing=0.2)
        loss = how(loss)
        predicted, actual = to_device(twin["predicted"]), to_device(twin["actual"])
        assert loss.loss(predicted, actual) == pytest.approx(float(twin["loss"]), rel=TOLERANCE)
        assert relative_error(loss.gradient(predicted, actual), twin["gradient"]) < TOLERANCE


@EACH_WAY
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("GradientDescent", lambda: GradientDescent(0.1)),
        ("GradientDescent, clipped", lambda: GradientDescent(0.1, clip_norm=0.7)),
        ("RMSProp", lambda: RMSProp(0.01)),
        ("Adam", lambda: Adam(0.01)),
        ("AdamW", lambda: AdamW(0.01, weight_decay=0.1)),
        ("Momentum, Nesterov's", lambda: Momentum(0.5, 0.8, nesterov=True)),
    ],
)
def test_optimizers(name, make, how, device):
    with precision("float64"):
        twin, optimizer, layer = of(name), how(make()), Layer()
        layer.p = Parameter(to_device(twin["start"]).copy())  # an optimizer changes it in place
        for gradient in twin["gradients"]:
            layer.p.grad[...] = to_device(gradient)
            optimizer.step(layer)
        # PyTorch's clipping adds 1e-6 to the norm; ours does not
        assert relative_error(layer.p.data, twin["end"]) < (1e-6 if "clipped" in name else TOLERANCE)


@EACH_WAY
def test_momentum_is_the_books(how):
    layer = Layer()
    layer.p = Parameter(to_device([1.0]))
    optimizer, p, u = how(Momentum(0.5, momentum=0.8)), 1.0, 0.0
    for g in (1.0, -2.0, 3.0):
        layer.p.grad[...] = g
        optimizer.step(layer)
        u = 0.8 * u + 0.2 * g
        p -= 0.5 * u
        assert float(to_host(layer.p.data)[0]) == pytest.approx(p, rel=1e-6)
