"""A convolution of a sequence in tiles is the convolution: outputs and gradients, at every length and padding."""

import numpy as np
import pytest
from conftest import ON_A_DEVICE

from scratch.backend import precision, to_device, to_host
from scratch.convolution import Conv1d
from scratch.fast import fast, winograd1d
from scratch.gradient_check import gradient_errors, relative_error

pytestmark = pytest.mark.skipif(ON_A_DEVICE, reason="it is not used on a GPU")
rng = np.random.default_rng(3)


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(winograd1d, "is_worth_it", lambda size, *others: True)
    monkeypatch.setattr(winograd1d, "_TILES", 1)


def results(layer, input, gradient):
    layer.zero_grads()
    output = to_host(layer.forward(to_device(input)))
    return [output, to_host(layer.backward(to_device(gradient))), to_host(layer.w.grad).copy(), to_host(layer.b.grad)]


@pytest.mark.parametrize("taps", [3, 4])
def test_interpolation_gives_the_product_of_two_polynomials(taps):
    A, G, B = winograd1d.matrices(taps)
    a, g = rng.normal(size=4), rng.normal(size=taps)
    assert np.allclose(B.T @ ((G @ g) * (A @ a)), np.convolve(a, g), rtol=0, atol=1e-14)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size", range(1, 13))
def test_tiles_give_what_the_plain_layer_gives(size, padding, always):
    with precision("float64"):
        plain = Conv1d(3, 5, size, padding=padding)
        layer = fast(plain, 1)
        for N, T in ((1, size), (3, size + 1), (2, size + 6), (3, 32), (3, 1 if padding == "same" else 33)):
            input = rng.normal(size=(N, T, 3))
            gradient = rng.normal(size=(N, T if padding == "same" else T - size + 1, 5))
            for a, b in zip(results(plain, input, gradient), results(layer, input, gradient), strict=True):
                assert relative_error(b, a) < 1e-12


@pytest.mark.parametrize("size", [3, 7])
def test_gradients(size, always):
    with precision("float64"):
        errors = gradient_errors(fast(Conv1d(2, 3, size), 1), to_device(rng.normal(size=(3, 10, 2))))
        assert set(errors) == {"w", "b", "input 0"} and all(error < 1e-7 for error in errors.values())


@pytest.mark.parametrize("size", [3, 7])
def test_many_pieces_are_the_whole(size, always, monkeypatch):
    layer, input = fast(Conv1d(4, 5, size), 1), rng.normal(size=(7, 14, 4)).astype(np.float32)
    gradient = rng.normal(size=(7, 15 - size, 5)).astype(np.float32)
    pieces = results(layer, input, gradient)
    monkeypatch.setattr(winograd1d, "_TILES", 1000)
    for a, b in zip(pieces, results(layer, input, gradient), strict=True):
        assert relative_error(a, b) < 1e-5


@pytest.mark.parametrize("size", [3, 7])
def test_float32_keeps_the_promised_digits(size):
    plain = Conv1d(256, 256, size)
    input = rng.normal(size=(16, 48, 256)).astype(np.float32)
    gradient = rng.normal(size=(16, 49 - size, 256)).astype(np.float32)
    for a, b in zip(results(plain, input, gradient), results(fast(plain, 1), input, gradient), strict=True):
        assert relative_error(b, a) < 7e-6  # up to 4e-6 was measured


def test_one_sequence_knows_nothing_of_another(always, monkeypatch):
    monkeypatch.setattr(winograd1d, "_TILES", 1000)
    layer = fast(Conv1d(4, 5, 7), 1)
    input = rng.normal(size=(3, 13, 4)).astype(np.float32)
    alone = [to_host(layer.forward(to_device(input[k : k + 1]))) for k in range(3)]
    input[1] = np.nan
    found = to_host(layer.forward(to_device(input)))
    assert relative_error(found[::2], np.concatenate(alone)[::2]) < 1e-5


def test_it_is_used_where_it_is_worth_it():
    for size in range(1, 12):
        assert winograd1d.is_worth_it(size, 64, (16, 40, 64)) == (size in (3, 4, 7, 8, 11))
    for input_dim, shape in ((63, (16, 40, 64)), (64, (16, 40, 63)), (64, (1, 40, 64)), (64, (1, 4097, 64))):
        assert not winograd1d.is_worth_it(3, input_dim, shape)
    used, layer = [], fast(Conv1d(64, 64, 3), 1)
    layer._in_tiles = lambda padded: used.append(padded.shape)
    layer.forward(to_device(np.zeros((16, 42, 64), dtype=np.float32)))
    assert used == [(16, 42, 64)]
