"""A 3x3 convolution in tiles is the convolution: outputs and gradients, at every size and padding."""

import numpy as np
import pytest
from conftest import ON_A_DEVICE

from scratch.backend import precision, to_device, to_host
from scratch.convolution import Conv2d
from scratch.fast import fast, winograd
from scratch.fast.convolution import slide
from scratch.gradient_check import gradient_errors, relative_error

rng = np.random.default_rng(3)


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr("scratch.fast.convolution.is_worth_it", lambda size, *others: True)
    monkeypatch.setattr(winograd, "_TILES", 1)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 6), (5, 4), (3, 7), (9, 9)])
@pytest.mark.parametrize("before", [0, 1, 2])
def test_tiles_give_what_windows_give(height, width, before, device):
    with precision("float64"):
        weights, C, D = to_device(rng.normal(size=(3, 3, 2, 3))), 2, 3
        images = to_device(rng.normal(size=(2, height + 2 - 2 * before, width + 2 - 2 * before, C)))
        if 0 in images.shape:
            pytest.skip("nothing is left of the image")
        found, expected = (np.empty((2, height, width, D)) for _ in range(2))
        found, expected = to_device(found), to_device(expected)
        slide(images, weights, before, expected)
        winograd.slide_in_tiles(images, weights, before, found)
        assert relative_error(to_host(found), to_host(expected)) < 1e-12


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 6), (7, 5)])
def test_gradients(padding, height, width, always, device):
    with precision("float64"):
        layer = fast(Conv2d(2, 3, 3, padding=padding), 1)
        images = to_device(rng.normal(size=(3, height, width, 2)))
        errors = gradient_errors(layer, images)
        assert set(errors) == {"w", "b", "input 0"} and all(error < 1e-7 for error in errors.values())


def test_many_pieces_are_the_whole(always, monkeypatch):
    layer, images = fast(Conv2d(4, 5, 3, padding="same"), 1), rng.normal(size=(7, 6, 6, 4)).astype(np.float32)
    gradient = rng.normal(size=(7, 6, 6, 5)).astype(np.float32)
    results = []
    for tiles in (1, 1000):
        monkeypatch.setattr(winograd, "_TILES", tiles)
        layer.zero_grads()
        output = to_host(layer.forward(to_device(images)))
        results.append([output, to_host(layer.backward(to_device(gradient))), to_host(layer.w.grad).copy()])
    for a, b in zip(*results, strict=True):
        assert relative_error(a, b) < 1e-5


def test_in_float32_it_is_as_exact_as_windows_are():
    images = rng.normal(size=(4, 8, 8, 64)).astype(np.float32)
    weights = (rng.normal(size=(3, 3, 64, 64)) / 24).astype(np.float32)
    found = []
    for way, name in ((slide, "float64"), (slide, "float32"), (winograd.slide_in_tiles, "float32")):
        with precision(name):
            output = to_device(np.empty((4, 8, 8, 64)))
            way(to_device(images.astype(name)), to_device(weights.astype(name)), 1, output)
            found.append(to_host(output))
    exact, plain, tiles = found
    assert np.abs(tiles - exact).max() < 4 * np.abs(plain - exact).max() < 1e-4


@pytest.mark.skipif(ON_A_DEVICE, reason="it is not on a GPU")
def test_it_is_used_where_it_is_worth_it(monkeypatch):
    used = []

    def in_tiles(images, weights, before, output):
        used.append(images.shape)
        output[...] = 0

    monkeypatch.setattr("scratch.fast.convolution.slide_in_tiles", in_tiles)
    for N, C, size, side in ((16, 64, 3, 8), (1, 64, 3, 8), (16, 3, 3, 8), (16, 64, 5, 8), (1, 64, 3, 100)):
        fast(Conv2d(C, 64, size, padding="same"), 1).forward(to_device(np.zeros((N, side, side, C))))
    assert used == [(16, 8, 8, 64)]
