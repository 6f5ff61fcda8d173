"""Windows, convolution, pooling, BatchNorm: what the contract's tests do not say."""

import copy

import numpy as np
import pytest
from conftest import ON_THREADS
from hypothesis import given, settings
from hypothesis import strategies as st
from scratch.parallel import InThreads
from scratch.windows import side_by_side, window_matrices

from scratch.activations import Tanh
from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.convolution import Conv1d
from scratch.dense import Linear
from scratch.gradient_check import relative_error
from scratch.layer import Layer, Parameter, Sequential, evaluating
from scratch.optimizers import GradientDescent
from scratch.pooling import MaxOverTime, MaxPool1d
from scratch.regular import BatchNorm

rng = np.random.default_rng(2)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 3))
def test_the_matrices_hold_every_window_once_and_are_views(num_rows, size, width):
    rows = np.arange(num_rows * width).reshape(num_rows, width)
    found = {}
    for start, matrix in window_matrices(rows, size):
        assert np.shares_memory(matrix, rows)
        for j, window in enumerate(matrix):
            found[start + j * size] = window.reshape(size, width)
    assert sorted(found) == list(range(max(num_rows - size + 1, 0)))
    for t, window in found.items():
        assert np.array_equal(window, rows[t : t + size])


def test_windows_side_by_side_leave_out_what_fills_none():
    rows = np.arange(2 * 7 * 3).reshape(2, 7, 3)
    windows = side_by_side(rows, 3)
    assert windows.shape == (2, 2, 3, 3) and np.shares_memory(windows, rows)
    assert np.array_equal(windows[1, 1], rows[1, 3:6])


@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 3), st.sampled_from(["valid", "same"]),
    st.booleans(),
)
def test_a_convolution_is_a_sum_over_windows(N, T, K, stride, padding, from_ids):
    with precision("float64"):
        layer = Conv1d(3, 2, K, stride, padding)
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


def test_a_large_convolution_of_ids_is_that_of_one_hot_rows(device):
    """Large enough for the ways of adding up that small ones do not take."""
    layer, ids = Conv1d(5, 128, 3), rng.integers(-1, 5, (40, 70))
    rows = np.vstack([np.eye(5), np.zeros(5)])[ids]
    gradient, results = to_device(rng.normal(size=(40, 68, 128))), []
    for input in (ids, rows):
        layer.zero_grads()
        output = layer.forward(to_device(input))
        layer.backward(gradient)
        results.append([to_host(output), *(to_host(grad).copy() for grad in layer.grads())])
    for a, b in zip(*results, strict=True):
        assert relative_error(a, b) < 1e-5


def test_the_first_layer_may_leave_out_the_gradient_of_its_input():
    layer, x = Conv1d(3, 2, 2, input_gradient=False), to_device(rng.normal(size=(2, 4, 3)))
    assert layer.backward(layer.forward(x)) is None
    assert to_host(layer.w.grad).any()


def test_what_cannot_be_convolved_is_refused():
    layer = Conv1d(3, 2, 4)
    for wrong in (np.zeros((2, 5, 4)), np.zeros((5, 3)), np.zeros(3)):
        with pytest.raises(ScratchError, match=r"Conv1d\(input_dim=3, output_dim=2\): expected sequences"):
            layer.forward(to_device(wrong))
    with pytest.raises(ScratchError, match="at least 4 steps"):
        layer.forward(to_device(np.zeros((2, 3, 3))))
    for wrong in (-2, 3):
        with pytest.raises(ScratchError, match="ids from -1 to 2"):
            layer.forward(to_device(np.full((1, 5), wrong)))
    for wrong in ({"padding": "full"}, {"stride": 0}):
        with pytest.raises(ScratchError):
            Conv1d(3, 2, 4, **wrong)
    for layer in (MaxPool1d(3), MaxOverTime()):
        with pytest.raises(ScratchError, match="expected sequences"):
            layer.forward(to_device(np.zeros((2, 0, 5))))


def test_ids_of_any_integer_type():
    layer, ids = Conv1d(127, 2, 2), rng.integers(0, 127, (2, 4))
    output = layer.forward(to_device(ids))
    layer.backward(output)
    expected, w_grad = to_host(output), to_host(layer.w.grad).copy()
    for dtype in ("int8", "uint8", "uint64"):
        layer.zero_grads()
        assert np.array_equal(to_host(layer.forward(to_device(ids.astype(dtype)))), expected)
        layer.backward(output)
        assert np.array_equal(to_host(layer.w.grad), w_grad)
    assert layer.forward(to_device(ids[:0])).shape == (0, 3, 2)


def test_of_equal_numbers_the_first_gets_the_gradient():
    x = to_device(np.ones((1, 6, 1)))
    for layer, expected in ((MaxPool1d(3), [1, 0, 0, 1, 0, 0]), (MaxOverTime(), [1, 0, 0, 0, 0, 0])):
        output = layer.forward(x)
        assert to_host(layer.backward(output)).ravel().tolist() == expected


def test_padding_does_not_change_the_largest(device):
    x, mask = rng.normal(size=(2, 5, 3)), np.arange(5) < np.array([[5], [2]])
    layer = MaxOverTime()
    expected = to_host(layer.forward(to_device(x), mask=to_device(mask)))
    more = np.concatenate([np.where(mask[..., None], x, 99), np.full((2, 3, 3), 99)], axis=1)
    longer = np.pad(mask, ((0, 0), (0, 3)))
    assert np.array_equal(to_host(layer.forward(to_device(more), mask=to_device(longer))), expected)
    assert not to_host(layer.backward(to_device(np.ones((2, 3)))))[~longer].any()


def test_batch_norm_of_a_trained_network_looks_at_each_row_by_itself(device):
    model, x = Sequential([Linear(4, 3), BatchNorm(3)]), to_device(rng.normal(5, 3, size=(50, 4)))
    for _ in range(60):
        model.forward(x)
    trained = to_host(model.forward(x))
    with evaluating(model):
        whole, one = to_host(model.forward(x)), to_host(model.forward(x[:1]))
    assert relative_error(one, whole[:1]) < 1e-5
    assert relative_error(whole, trained) < 0.03  # n and n - 1 apart, the running figures are the batch's
    with pytest.raises(ScratchError, match="more than one row"):
        model.forward(x[:1])


@ON_THREADS
@pytest.mark.parametrize("num_threads", [2, 3])
def test_batch_norm_looks_at_the_whole_batch_of_all_threads(num_threads):
    with precision("float64"):
        model = Sequential([Linear(4, 3), BatchNorm(3), Tanh(), Linear(3, 2), BatchNorm(2)])
        alone, x = copy.deepcopy(model), rng.normal(size=(7, 5, 4))
        cut, gradient = InThreads(model, num_threads), rng.normal(size=(7, 5, 2))
        for _ in range(2):
            assert relative_error(cut.forward(x), alone.forward(x)) < 1e-12
            assert relative_error(cut.backward(gradient), alone.backward(gradient)) < 1e-9
        for p, q in zip(model.parameters(), alone.parameters(), strict=True):
            assert relative_error(p.grad, q.grad) < 1e-9, p.name
            assert relative_error(p.data, q.data) < 1e-12, p.name  # the running figures, too
        with evaluating(cut, alone):
            assert relative_error(cut.forward(x), alone.forward(x)) < 1e-12


@ON_THREADS
def test_an_error_in_one_part_ends_the_others_wait():
    class Refuses(Layer):
        def forward(self, input):
            if input[0, 0] > 1:
                raise ScratchError("too large")
            return input

    model = InThreads(Sequential([Refuses(), BatchNorm(3)]), 2)
    for x in (np.array([[0.0] * 3, [2.0] * 3]), np.array([[2.0] * 3, [0.0] * 3])):
        with pytest.raises(ScratchError, match="too large"):
            model.forward(to_device(x))


def test_weight_decay_draws_weights_and_leaves_biases_and_running_figures():
    model, norm = Sequential([Linear(4, 3)]), BatchNorm(3)
    model.layers.append(norm)
    model.layers[0].b.data[...] = 1
    before = [to_host(p.data).copy() for p in model.parameters()]
    GradientDescent(0.5, weight_decay=0.1).step(model)
    for p, value in zip(model.parameters(), before, strict=True):
        assert isinstance(p, Parameter)
        assert relative_error(p.data, value * (0.95 if value.ndim > 1 else 1)) < 1e-6
