"""Convolution and pooling of images, and batches made ahead."""

import threading

import numpy as np
import pytest
from cases import EACH_WAY
from conftest import ON_A_DEVICE, ON_THREADS
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch.activations import Gelu, Relu
from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.convolution import Conv2d
from scratch.fast import fast
from scratch.fast.ahead import ahead
from scratch.fast.arrays import pieces
from scratch.gradient_check import relative_error
from scratch.layer import Sequential
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import GradientDescent
from scratch.pooling import AveragePool2d, MaxPool2d
from scratch.regular import BatchNorm

rng = np.random.default_rng(4)


@EACH_WAY
@settings(max_examples=40)
@given(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.sampled_from(["valid", "same"]),
)
def test_a_convolution_is_a_sum_over_windows(how, N, H, W, K, padding):
    with precision("float64"):
        layer, x = how(Conv2d(3, 2, K, padding)), rng.normal(size=(N, H, W, 3))
        layer.b.data[...] = to_device([0.5, -1.5])
        before = (K - 1) // 2
        padded = np.zeros((N, H + K - 1, W + K - 1, 3))
        padded[:, before : before + H, before : before + W] = x
        images, w = padded if padding == "same" else x, to_host(layer.w.data)
        if min(images.shape[1:3]) < K:
            with pytest.raises(ScratchError, match=f"at least {K} by {K}"):
                layer.forward(to_device(x))
            return
        rows, columns = images.shape[1] - K + 1, images.shape[2] - K + 1
        expected = np.array([
            [[np.tensordot(w, images[n, i : i + K, j : j + K], 3) for j in range(columns)] for i in range(rows)]
            for n in range(N)
        ])
        assert relative_error(layer.forward(to_device(x)), expected + np.array([0.5, -1.5])) < 1e-12


@EACH_WAY
def test_large_images_are_done_in_pieces(how, device):
    """Large enough for several pieces, whose sum is that of the images one by one."""
    layer, x = how(Conv2d(3, 4, 3, "same")), rng.normal(size=(40, 20, 11, 3))
    gradient = rng.normal(size=(40, 20, 11, 4))
    output = to_host(layer.forward(to_device(x)))
    input_grad = to_host(layer.backward(to_device(gradient)))
    whole = [to_host(grad).copy() for grad in layer.grads()]
    layer.zero_grads()
    for n in range(len(x)):
        assert relative_error(layer.forward(to_device(x[n : n + 1])), output[n : n + 1]) < 1e-5
        assert relative_error(layer.backward(to_device(gradient[n : n + 1])), input_grad[n : n + 1]) < 1e-5
    for grad, expected in zip(layer.grads(), whole, strict=True):
        assert relative_error(grad, expected) < 1e-5


@EACH_WAY
def test_batch_norm_is_that_of_one_piece(how, device):
    x = rng.normal(3, 2, size=(50, 30, 20, 5))
    layer = how(BatchNorm(5))
    output = to_host(layer.forward(to_device(x)))
    assert abs(output.mean(axis=(0, 1, 2))).max() < 1e-4
    assert abs(output.std(axis=(0, 1, 2)) - 1).max() < 1e-4


@pytest.mark.skipif(ON_A_DEVICE, reason="on a GPU a piece is everything")
@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 40))
def test_pieces_are_all_rows_in_order(num_rows, width, numbers):
    rows = np.arange(num_rows * width).reshape(num_rows, width)
    found = [rows[piece] for piece in pieces(rows, numbers)]
    assert np.array_equal(np.concatenate([rows[:0], *found]), rows)
    assert all(0 < len(piece) <= max(numbers // width, 1) for piece in found)


@EACH_WAY
def test_anything_but_images_is_refused(how):
    for layer in (Conv2d(3, 2, 3), MaxPool2d(3), AveragePool2d(3)):
        for wrong in (np.zeros((5, 5, 3)), np.zeros((1, 2, 5, 3))):
            with pytest.raises(ScratchError, match="expected images"):
                how(layer).forward(to_device(wrong))
    with pytest.raises(ScratchError, match=r"input_dim=3"):
        how(Conv2d(3, 2, 3)).forward(to_device(np.zeros((1, 5, 5, 1))))
    for make in (lambda: Conv2d(3, 2, 0), lambda: Conv2d(3, 2, 3, padding="full"), lambda: MaxPool2d(0)):
        with pytest.raises(ScratchError):
            make()


@EACH_WAY
def test_no_image_at_all(how, device):
    model = how(Sequential([Conv2d(3, 2, 3), MaxPool2d(2), Gelu()]))
    output = model.forward(to_device(np.zeros((0, 6, 6, 3))))
    assert output.shape == (0, 2, 2, 2) and model.backward(output).shape == (0, 6, 6, 3)


@EACH_WAY
def test_of_equal_pixels_the_first_gets_the_gradient(how):
    pool, x = how(MaxPool2d(2)), to_device(np.ones((1, 2, 4, 1)))
    assert to_host(pool.backward(pool.forward(x)))[0, :, :, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


@EACH_WAY
def test_pools_leave_out_what_fills_no_square(how):
    for pool in (how(MaxPool2d(2)), how(AveragePool2d(2))):
        output = pool.forward(to_device(np.ones((1, 5, 3, 2))))
        assert output.shape == (1, 2, 1, 2)
        assert not to_host(pool.backward(output))[:, 4:].any()


@EACH_WAY
def test_fixed_weights_keep_their_values_and_the_input_gets_its_gradient(how):
    layer, x = how(Conv2d(3, 2, 2)), to_device(rng.normal(size=(1, 3, 3, 3)))
    layer.w.fixed = True
    before, bias = to_host(layer.w.data).copy(), to_host(layer.b.data).copy()
    input_grad = layer.backward(layer.forward(x))
    assert to_host(layer.b.grad).any() and to_host(input_grad).any()
    GradientDescent(0.1).step(layer)
    assert np.array_equal(to_host(layer.w.data), before) and not np.array_equal(to_host(layer.b.data), bias)
    assert not to_host(layer.w.grad).any()
    layer.input_gradient = False
    assert layer.backward(layer.forward(x)) is None


def test_the_engine_computes_no_gradient_of_fixed_weights():
    layer, x = fast(Conv2d(3, 2, 2), threads=1), to_device(rng.normal(size=(1, 3, 3, 3)))
    layer.w.fixed = True
    layer.backward(layer.forward(x))
    assert not to_host(layer.w.grad).any() and to_host(layer.b.grad).any()


@ON_THREADS
@pytest.mark.parametrize("num_threads", [2, 3])
def test_threads_do_not_change_a_step(num_threads):
    with precision("float64"):
        first = [Conv2d(3, 4, 3, "same", bias=False), BatchNorm(4), Relu()]
        model = Sequential([*first, Conv2d(4, 2, 2), AveragePool2d(3)])
        cut, x, gradient = fast(model, num_threads), rng.normal(size=(7, 4, 4, 3)), rng.normal(size=(7, 1, 1, 2))
        output, input_grad = model.forward(x), model.backward(gradient)
        expected = [grad.copy() for grad in model.grads()]
        model.zero_grads()
        assert relative_error(cut.forward(x), output) < 1e-12
        assert relative_error(cut.backward(gradient), input_grad) < 1e-9
        for grad, other in zip(model.grads(), expected, strict=True):
            assert relative_error(grad, other) < 1e-9


@EACH_WAY
def test_label_smoothing_is_a_softer_truth(how, device):
    scores, ids = to_device(rng.normal(size=(4, 5))), to_device(np.array([0, 4, 2, 2]))
    smooth, soft = how(SoftmaxCrossEntropy(label_smoothing=0.5)), 0.5 * np.eye(5)[[0, 4, 2, 2]] + 0.1
    assert smooth.loss(scores, ids) == pytest.approx(how(SoftmaxCrossEntropy()).loss(scores, to_device(soft)), rel=1e-6)
    assert smooth.loss(scores, to_device(soft)) == pytest.approx(smooth.loss(scores, ids), rel=1e-6)
    assert smooth.loss(scores[0], 0) == pytest.approx(smooth.loss(scores[:1], ids[:1]), rel=1e-6)
    for wrong in ({"label_smoothing": 1.0}, {"label_smoothing": 0.1, "class_weights": [1.0, 2.0]}):
        with pytest.raises(ScratchError, match="label_smoothing"):
            SoftmaxCrossEntropy(**wrong)


# Batches made ahead ---------------------------------------------------------------------------------------------


def test_ahead_yields_the_same_items_in_order():
    assert list(ahead(range(5))) == [0, 1, 2, 3, 4] and list(ahead([])) == []


def test_the_next_is_made_while_the_last_is_used():
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2

    found = ahead(items())
    assert next(found) == 1
    assert made.wait(10)  # before the second item is asked for
    assert list(found) == [2]


def test_an_error_of_the_maker_is_the_callers():
    def items():
        yield 1
        raise ScratchError("no more")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ScratchError, match="no more"):
        next(found)
