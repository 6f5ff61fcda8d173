"""Convolution, pooling, BatchNorm: what the contract's tests do not cover, plain and fast."""

import numpy as np
import pytest
from cases import EACH_WAY
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.convolution import Conv1d
from scratch.dense import Linear
from scratch.gradient_check import relative_error
from scratch.layer import Parameter, Sequential, evaluating
from scratch.optimizers import GradientDescent
from scratch.over_time import MaxOverTime
from scratch.pooling import MaxPool1d
from scratch.regular import BatchNorm

rng = np.random.default_rng(2)


@EACH_WAY
@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.sampled_from(["valid", "same"]),
    st.booleans(),
)
def test_a_convolution_is_a_sum_over_windows(how, N, T, K, stride, padding, from_ids):
    with precision("float64"):
        layer = how(Conv1d(3, 2, K, stride, padding))
        layer.b.data[...] = to_device([0.5, -1.5])
        ids = rng.integers(-1, 3, (N, T))
        x = np.vstack([np.eye(3), np.zeros(3)])[ids] if from_ids else rng.normal(size=(N, T, 3))
        before = (K - 1) // 2
        ends = np.zeros((N, T + K - 1, 3))
        ends[:, before : before + T] = x
        rows, w = ends if padding == "same" else x, to_host(layer.w.data)
        if rows.shape[1] < K:
            with pytest.raises(ScratchError, match=f"at least {K} steps"):
                layer.forward(to_device(x))
            return
        b, starts = [0.5, -1.5], range(0, rows.shape[1] - K + 1, stride)
        expected = np.array([
            [[b[o] + np.sum(rows[n, t : t + K] * w[o]) for o in range(2)] for t in starts] for n in range(N)
        ])
        assert relative_error(layer.forward(to_device(ids if from_ids else x)), expected) < 1e-12


@EACH_WAY
def test_a_large_convolution_of_ids_is_that_of_one_hot_rows(how, device):
    """Large enough for the code paths that small ones do not take."""
    layer, ids = how(Conv1d(5, 128, 3)), rng.integers(-1, 5, (40, 70))
    rows = np.vstack([np.eye(5), np.zeros(5)])[ids]
    gradient, results = to_device(rng.normal(size=(40, 68, 128))), []
    for input in (ids, rows):
        layer.zero_grads()
        output = layer.forward(to_device(input))
        layer.backward(gradient)
        results.append([to_host(output), *(to_host(grad).copy() for grad in layer.grads())])
    for a, b in zip(*results, strict=True):
        assert relative_error(a, b) < 1e-5


@EACH_WAY
def test_the_first_layer_may_leave_out_the_gradient_of_its_input(how):
    layer, x = how(Conv1d(3, 2, 2, input_gradient=False)), to_device(rng.normal(size=(2, 4, 3)))
    assert layer.backward(layer.forward(x)) is None
    assert to_host(layer.w.grad).any()


@EACH_WAY
def test_what_cannot_be_convolved_is_refused(how):
    layer = how(Conv1d(3, 2, 4))
    for wrong in (np.zeros((2, 5, 4)), np.zeros((5, 3)), np.zeros(3)):
        with pytest.raises(ScratchError, match=r"Conv1d\(input_dim=3, output_dim=2, kernel_size=4\): expected seq"):
            layer.forward(to_device(wrong))
    with pytest.raises(ScratchError, match="at least 4 steps"):
        layer.forward(to_device(np.zeros((2, 3, 3))))
    for wrong in (-2, 3):
        with pytest.raises(ScratchError, match="ids from -1 to 2"):
            layer.forward(to_device(np.full((1, 5), wrong)))
    for wrong in ({"padding": "full"}, {"stride": 0}):
        with pytest.raises(ScratchError):
            Conv1d(3, 2, 4, **wrong)
    for layer in (how(MaxPool1d(3)), how(MaxOverTime())):
        with pytest.raises(ScratchError, match="expected sequences"):
            layer.forward(to_device(np.zeros((2, 0, 5))))


@EACH_WAY
def test_ids_of_any_integer_type(how):
    layer, ids = how(Conv1d(127, 2, 2)), rng.integers(0, 127, (2, 4))
    output = layer.forward(to_device(ids))
    layer.backward(output)
    expected, w_grad = to_host(output), to_host(layer.w.grad).copy()
    for dtype in ("int8", "uint8", "uint64"):
        layer.zero_grads()
        assert np.array_equal(to_host(layer.forward(to_device(ids.astype(dtype)))), expected)
        layer.backward(output)
        assert np.array_equal(to_host(layer.w.grad), w_grad)
    assert layer.forward(to_device(ids[:0])).shape == (0, 3, 2)


@EACH_WAY
def test_of_equal_numbers_the_first_gets_the_gradient(how):
    x = to_device(np.ones((1, 6, 1)))
    for pool, expected in ((MaxPool1d(3), [1, 0, 0, 1, 0, 0]), (MaxOverTime(), [1, 0, 0, 0, 0, 0])):
        layer = how(pool)
        output = layer.forward(x)
        assert to_host(layer.backward(output)).ravel().tolist() == expected


@EACH_WAY
def test_padding_does_not_change_the_largest(how, device):
    x, mask = rng.normal(size=(2, 5, 3)), np.arange(5) < np.array([[5], [2]])
    layer = how(MaxOverTime())
    expected = to_host(layer.forward(to_device(x), mask=to_device(mask)))
    more = np.concatenate([np.where(mask[..., None], x, 99), np.full((2, 3, 3), 99)], axis=1)
    longer = np.pad(mask, ((0, 0), (0, 3)))
    assert np.array_equal(to_host(layer.forward(to_device(more), mask=to_device(longer))), expected)
    assert not to_host(layer.backward(to_device(np.ones((2, 3)))))[~longer].any()


@EACH_WAY
def test_batch_norm_of_a_trained_network_looks_at_each_row_by_itself(how, device):
    model, x = how(Sequential([Linear(4, 3), BatchNorm(3)])), to_device(rng.normal(5, 3, size=(50, 4)))
    for _ in range(60):
        model.forward(x)
    trained = to_host(model.forward(x))
    with evaluating(model):
        whole, one = to_host(model.forward(x)), to_host(model.forward(x[:1]))
    assert relative_error(one, whole[:1]) < 1e-5
    assert relative_error(whole, trained) < 0.03  # n and n - 1 apart, the running figures are the batch's
    with pytest.raises(ScratchError, match="more than one row"):
        model.forward(x[:1])


@EACH_WAY
def test_weight_decay_draws_weights_and_leaves_biases_and_running_figures(how):
    model, norm = Sequential([Linear(4, 3)]), BatchNorm(3)
    model.layers.append(norm)
    model.layers[0].b.data[...] = 1
    before = [to_host(p.data).copy() for p in model.parameters()]
    how(GradientDescent(0.5, weight_decay=0.1)).step(model)
    for p, value in zip(model.parameters(), before, strict=True):
        assert isinstance(p, Parameter)
        assert relative_error(p.data, value * (0.95 if value.ndim > 1 else 1)) < 1e-6
