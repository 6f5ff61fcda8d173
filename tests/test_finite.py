"""Finite in, finite out: functions, layers, losses, clipping and optimizer steps on any finite float32 numbers.

The same in float64, where none of these numbers overflows, is the truth. Where it fits into float32, the answer is
finite, comes without a warning, and is within 1e-5 of it. PyTorch's answers, on file, are a second witness.
"""

import random

import numpy as np
import pytest
from cases import EACH_WAY
from char_cnn.losses import FocalLoss
from conftest import ON_A_DEVICE
from hypothesis import given, settings
from hypothesis import strategies as st
from make_twins import EXTREMES, extremes

from scratch import functions
from scratch.activations import Gelu, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from scratch.backend import precision, to_device, to_host
from scratch.fast.optimizers import clip
from scratch.layer import Layer, Parameter, evaluating
from scratch.losses import MSE, SSE, NegativeLogLikelihood, SoftmaxCrossEntropy
from scratch.optimizers import Adam, AdamW, GradientDescent, Momentum, RMSProp, clip_by_norm
from scratch.over_time import MaxOverTime, MeanOverTime
from scratch.regular import BatchNorm, Dropout, LayerNorm

LARGEST, SMALLEST = float(np.float32(1e38)), float(np.finfo(np.float32).smallest_subnormal)
NUMBERS = st.one_of(
    st.floats(-LARGEST, LARGEST, width=32), st.floats(-90, 90, width=32), st.floats(-1, 1, width=32),
    st.sampled_from([0.0, -0.0, LARGEST, -LARGEST, SMALLEST, -SMALLEST, 1e20, -1e20, 1e-30, -60.0, 1e30, -1e30]),
)
ROWS = st.tuples(st.integers(2, 4), st.integers(2, 4)).flatmap(
    lambda shape: st.lists(NUMBERS, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda values: np.array(values, dtype=np.float32).reshape(shape)
    )
)

# The time is in the number of cases; the search is as long in each.
SEARCH = settings(max_examples=60)


def fits(truth):
    """Where a number of float64 is one of float32."""
    return np.abs(truth) <= float(np.finfo(np.float32).max)


def agree(found, truth, scale=0.0):
    """`scale`: the size of what was added up, of which a float32 keeps seven digits."""
    found, truth = np.asarray(to_host(found), dtype=np.float64), np.asarray(to_host(truth))
    there = fits(truth)
    assert np.isfinite(found[there]).all()
    tolerance = 1e-5 * np.maximum(np.maximum(np.abs(truth), scale), 1e-5)
    assert (np.abs(found - truth)[there] <= np.broadcast_to(tolerance, truth.shape)[there]).all()


def both(function, *arrays):
    """`function` in float32, and in float64 on the same numbers."""
    found = function(*(to_device(array) for array in arrays))
    with precision("float64"):
        return found, function(*(to_device(array.astype(np.float64)) for array in arrays))


LAYERS = [
    Sigmoid, Tanh, Relu, Gelu, lambda: Gelu("tanh"), lambda: Gelu("exact"), Softmax, LogSoftmax, lambda: BatchNorm(0),
    lambda: Dropout(0.25),
]


@EACH_WAY
@pytest.mark.parametrize("make", LAYERS, ids=lambda make: type(make()).__name__)
@given(rows=ROWS, seed=st.integers(0, 99))
@SEARCH
def test_layers(make, how, rows, seed):
    def run(input):
        random.seed(seed)
        layer = how(BatchNorm(rows.shape[1]) if isinstance(make(), BatchNorm) else make())
        output = layer.forward(input)
        gradient = layer.backward(to_device(np.linspace(-1, 1, rows.size).reshape(rows.shape)))
        return [output, gradient, *layer.grads(), *layer.params()]

    found, truth = both(run, rows)
    if isinstance(make(), BatchNorm):
        # Rows that differ by less than float32 tells apart at their size are, to it, equal.
        spread = np.ptp(rows.astype(np.float64), axis=0)
        told_apart = (spread == 0) | (spread > 1e-2 * np.abs(rows.astype(np.float64)).max(axis=0)) & (spread > 1e-1)
        found, truth = ([to_host(array)[..., told_apart] for array in arrays] for arrays in (found, truth))
        for a, b in zip(found, truth, strict=True):
            assert np.isfinite(a).all()
            there = np.abs(b) < 1e37  # the largest running variance
            assert np.allclose(a[there], b[there], rtol=1e-3, atol=1e-3)
        return
    for a, b in zip(found[:2], truth[:2], strict=True):
        agree(a, b, scale=1.0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sigmoid", "masked"])
@given(rows=ROWS)
@SEARCH
def test_functions(name, rows):
    mask = to_device(np.arange(rows.size).reshape(rows.shape) % 3 > 0)
    masked = lambda z: functions.softmax(z, mask=mask)  # noqa: E731
    agree(*both(masked if name == "masked" else getattr(functions, name), rows), scale=1.0)


LOSSES = [
    SSE(), MSE(), NegativeLogLikelihood(), SoftmaxCrossEntropy(), SoftmaxCrossEntropy(label_smoothing=0.1),
    SoftmaxCrossEntropy(class_weights=[0.5, 1, 2, 4]), FocalLoss(), FocalLoss(gamma=0.5),
]


@EACH_WAY
@pytest.mark.parametrize("loss", LOSSES, ids=str)
@given(rows=ROWS, last=st.booleans())
@SEARCH
def test_losses(loss, how, rows, last):
    if isinstance(loss, SoftmaxCrossEntropy) and loss.class_weights:
        rows = np.resize(rows, (len(rows), 4))
    if isinstance(loss, SSE):
        rows = np.clip(rows, -1e19, 1e19)  # whose squares PyTorch's answer could still hold
        actual = np.zeros_like(rows)
    else:
        actual = np.full(len(rows), rows.shape[1] - 1 if last else 0)
    if type(loss) is NegativeLogLikelihood:
        rows = -np.abs(rows)

    def run(predicted):
        truth = to_device(actual.astype(predicted.dtype) if isinstance(loss, SSE) else actual)
        return how(loss).loss(predicted, truth), how(loss).gradient(predicted, truth)

    (value, gradient), (true_value, true_gradient) = both(run, rows)
    assert np.isfinite(value)
    agree(value, true_value, scale=1.0)
    if not isinstance(loss, FocalLoss):  # its slope is steep where p is nearly 1
        agree(gradient, true_gradient, scale=1.0)
    assert np.isfinite(to_host(gradient)).all()


@given(rows=ROWS, max_norm=st.floats(1e-3, 1e6))
@SEARCH
def test_clipping(rows, max_norm):
    norm = float(np.sqrt((rows.astype(np.float64) ** 2).sum()))
    expected = rows.astype(np.float64) * min(1, max_norm / max(norm, 1e-300))
    for function in (clip_by_norm, lambda grads, most: clip(grads[0], most)):
        grads = [to_device(rows.copy().ravel())]
        function(grads, max_norm)
        agree(grads[0], expected.ravel())


def test_a_gradient_too_large_to_square_is_clipped_not_lost():
    for function in (clip_by_norm, lambda grads, most: clip(grads[0], most)):
        for values, norm in (([3e20, 4e20], 5), ([1e19] * 8, 5), ([3e-25, 4e-25], 5e-26)):
            grads = [to_device(values)]
            function(grads, norm)
            assert np.linalg.norm(to_host(grads[0]).astype(np.float64)) == pytest.approx(norm, rel=1e-5)


class One(Layer):
    """A layer that is a single Parameter."""

    def __init__(self, values):
        self.w = Parameter(to_device(values))


@EACH_WAY
@pytest.mark.parametrize("kind", [GradientDescent, Momentum, RMSProp, Adam, AdamW])
@given(rows=ROWS, clip_norm=st.sampled_from([None, 1.0]))
@SEARCH
def test_steps(kind, how, rows, clip_norm):
    if clip_norm is None:  # beyond, RMSProp and Adam stop the run
        rows = np.clip(rows, -1e19, 1e19)

    def run(grad):
        layer, optimizer = how(One(np.ones(rows.shape))), how(kind(lr=0.01, clip_norm=clip_norm))
        for _ in range(3):
            layer.w.grad[...] = grad
            optimizer.step(layer)
        return layer.w.data

    agree(*both(run, rows), scale=1.0)


@EACH_WAY
def test_a_constant_feature_is_normalised_to_zero(how):
    row = np.array([1234.567, 0.1, -7.1e6], dtype=np.float32)
    for num_rows in (2, 200, 4096, 60_000):
        layer = how(BatchNorm(3, momentum=0.0))
        output = layer.forward(to_device(np.tile(row, (num_rows, 1))))
        assert not to_host(output).any()
        assert np.array_equal(to_host(layer.running_mean.data), row)
        assert not to_host(layer.running_variance.data).any()


@EACH_WAY
@given(rows=ROWS)
@SEARCH
def test_rows_are_normalised(how, rows):
    def run(input):
        layer = how(LayerNorm(rows.shape[1]))
        output = layer.forward(input)
        gradient = layer.backward(to_device(np.linspace(-1, 1, rows.size).reshape(rows.shape)))
        return output, gradient, *layer.grads()

    (output, gradient, *grads), (true_output, true_gradient, *true_grads) = both(run, rows)
    agree(output, true_output, scale=1.0)
    agree(gradient, true_gradient, scale=np.sqrt(1e5))  # 1 / sqrt(eps) is the largest factor of a gradient
    for found, truth in zip(grads, true_grads, strict=True):
        agree(found, truth, scale=1.0)


@EACH_WAY
@pytest.mark.parametrize("mean", [1e3, 1e5, 1e7])
def test_a_feature_with_a_large_mean_is_normalised(mean, how):
    rows = (mean + np.random.default_rng(0).normal(size=(3000, 1))).astype(np.float32)
    exact = rows.astype(np.float64)
    expected = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)
    layer = how(BatchNorm(1, momentum=0.0))
    assert np.abs(to_host(layer.forward(to_device(rows))) - expected).max() < 1e-5
    with evaluating(layer):  # the running mean is a float32
        rounded = (exact - np.float32(exact.mean())) / np.sqrt(exact.var() * 3000 / 2999 + 1e-5)
        assert np.abs(to_host(layer.forward(to_device(rows))) - rounded).max() < 1e-5


@EACH_WAY
def test_a_score_of_minus_infinity_is_an_impossible_class(how):
    scores, one = to_device([[0.0, 1.0, -np.inf], [0.0, -1e30, 2.0]]), to_device([0.0, 1.0, -np.inf])
    log_p = to_host(how(LogSoftmax()).forward(scores))
    assert log_p[0, 2] == -np.inf and np.isfinite(np.delete(log_p.ravel(), 2)).all()
    for predicted, impossible in ((scores[:1], to_device([2])), (one, 2)):
        assert how(SoftmaxCrossEntropy()).loss(predicted, impossible) == np.inf
        assert how(SoftmaxCrossEntropy()).loss(predicted, 0 * impossible) == pytest.approx(np.log(1 + np.e))
        gradient = to_host(how(SoftmaxCrossEntropy()).gradient(predicted, 0 * impossible))
        assert np.isfinite(gradient).all() and gradient.ravel()[2] == 0
    far = to_device([3e38, -3e38])  # their difference is no float32
    assert how(SoftmaxCrossEntropy()).loss(far, 1) == pytest.approx(float(np.finfo(np.float32).max))


@EACH_WAY
def test_rows_too_large_to_square_are_normalised(how):
    layer = how(BatchNorm(1))
    output = to_host(layer.forward(to_device(np.array([[1e20], [-1e20]]))))
    assert output.ravel().tolist() == pytest.approx([1, -1])
    assert np.isfinite(to_host(layer.running_variance.data)).all()


def test_sampling():
    for weights, temperature in (([1.0, 2.0], 1e-310), (np.float32([3e38, 1e38]), 1e-3), ([1e308, 1e308, 1e307], 0.5)):
        assert functions.sample_from(weights, temperature=temperature) in (0, 1)
    assert functions.sample_from([1.0, 2.0], temperature=1e-310) == 1


@EACH_WAY
def test_the_mean_over_time_of_a_long_sequence(how):
    ones = to_device(np.full((1, 1_000_000, 1), 0.1))
    for kind in (MaxOverTime, MeanOverTime):
        assert float(how(kind()).forward(ones)[0, 0]) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.skipif(ON_A_DEVICE, reason="once is enough")
@EACH_WAY
def test_what_pytorch_says_of_extremes(how):
    """PyTorch's own results for the same numbers, where they are finite."""
    twins = dict(np.load(EXTREMES))
    rows = twins.pop("rows")
    layers = {"Sigmoid": Sigmoid(), "Tanh": Tanh(), "Relu": Relu(), "Softmax": Softmax(), "LogSoftmax": LogSoftmax()}
    for name, layer in layers.items():
        layer = how(layer)
        found = {"output": layer.forward(rows.copy()), "input_grad": layer.backward(np.ones_like(rows))}
        for kind, array in found.items():
            truth = twins.pop(f"{name}/{kind}")
            there = np.isfinite(truth)
            assert np.allclose(array[there], truth[there], rtol=1e-5, atol=1e-5), (name, kind)
    for name, loss in {"cross_entropy": SoftmaxCrossEntropy(), "mse": MSE()}.items():
        truth = twins.pop(f"{name}/actual")
        value, gradient = how(loss).loss(rows, truth), how(loss).gradient(rows, truth)
        expected = float(twins.pop(f"{name}/loss"))
        assert value == pytest.approx(expected, rel=1e-5) if np.isfinite(expected) else np.isfinite(value)
        there = np.isfinite(expected := twins.pop(f"{name}/gradient"))
        assert np.allclose(gradient[there], expected[there], rtol=1e-5, atol=1e-5)
    for name, kind in {"sgd": GradientDescent, "adam": Adam, "rmsprop": RMSProp}.items():
        expected, layer = twins.pop(f"{name}/w"), how(One(np.ones(rows.shape)))
        optimizer, grad = how(kind(lr=0.01)), twins.pop(f"{name}/grad")
        for _ in range(2):
            layer.w.grad[...] = grad
            optimizer.step(layer)
        assert np.allclose(layer.w.data, expected, rtol=1e-5, atol=1e-5), name
    assert not twins


@pytest.mark.needs("torch")
def test_the_file_is_what_pytorch_says():
    kept = dict(np.load(EXTREMES))
    for name, value in extremes().items():
        assert np.allclose(value, kept.pop(name), rtol=1e-5, atol=1e-6, equal_nan=True), name
    assert not kept
