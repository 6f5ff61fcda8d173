"""Functions that become one operation of a GPU."""

import numpy as np
import pytest
from conftest import STAND_IN

from scratch.activations import Gelu
from scratch.backend import precision, to_device, to_host, xp
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.fast.fusion import fused
from scratch.functions import sigmoid
from scratch.gradient_check import relative_error
from scratch.layer import evaluating
from scratch.recurrent import GRU, LSTM, SimpleRnn

rng = np.random.default_rng(3)


def everything(blocks, others, mask):
    """All that a function can be made of; it exchanges blocks, and leaves one as it is."""
    a, b, _ = blocks
    first = a.copy()
    a[...] = xp.where(mask, sigmoid(a) * others[0] - 1, others.sum(axis=0))
    b -= 2 / (1 + xp.exp(-b))
    b += xp.log(xp.sqrt(others[1])) + xp.tanh(first)
    others[0] = 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_operation_does_what_the_lines_do(kernels, dtype):
    with precision(dtype):
        values = rng.normal(size=(3, 5, 4)), rng.uniform(1, 2, size=(5, 2, 4)), rng.random((5, 1)) < 0.5
        arrays = []
        for _ in range(2):
            blocks, others, mask = map(to_device, values)
            arrays.append((blocks, xp.moveaxis(others, -2, 0), mask))
        everything(*arrays[0])
        function = fused(everything, *arrays[1])
        function(*arrays[1])
        for expected, found in zip(arrays[0][:2], arrays[1][:2], strict=True):
            assert relative_error(found, expected) < (1e-6 if dtype == "float32" else 1e-14)
        assert "a0_2" not in function.text  # what is not looked at is not read


def test_several_steps_at_once(kernels):
    array = to_device(rng.normal(size=(7, 2, 3, 4)))
    expected = to_host(array).copy()
    expected[:, 1] *= expected[:, 0]

    def product(blocks):
        first, second = blocks.swapaxes(0, 1)
        second *= first

    fused(product, array, axis=1)(array)
    assert relative_error(array, expected) < 1e-6


def test_arrays_of_another_form_are_refused(kernels):
    array = to_device(rng.normal(size=(2, 6, 4)))
    for wrong in (array[:, ::2], array.swapaxes(1, 2), array[:, :, :2]):
        with pytest.raises(ScratchError, match="unsupported memory layout"):
            fused(lambda a, b: None, array, wrong)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.__imul__(x != 0), lambda x: x.fill(1) if x.any() else None, lambda x: xp.maximum(x, 0, out=x),
        lambda x: x.fill(float("inf")), lambda x, other: x.__iadd__(other),
    ],
    ids=["compared", "asked", "the larger", "infinite", "of another kind"],
)
def test_what_no_kernel_can_be_is_refused(function, kernels):
    array = to_device(rng.normal(size=(2, 3, 4)))
    others = [to_device(np.ones((2, 3, 4), dtype=int))] * (function.__code__.co_argcount - 1)
    with pytest.raises(ScratchError, match="fused"):
        fused(function, array, *others)
    assert xp.device == "cuda"


def test_nothing_to_do(kernels):
    array = to_device(np.zeros((2, 0, 4)))
    fused(lambda blocks: blocks.__imul__(2), array)(array)
    array = to_device(np.ones((2, 3, 4)))
    assert fused(lambda blocks: blocks * 2, array).kernel is None  # nobody would see it


def test_on_a_cpu_it_is_the_function():
    if xp.device == "cpu":
        assert fused(everything) is everything


def launches(layer, T, masked):
    layer = fast(layer)
    x, gradient = to_device(rng.normal(size=(2, T, 3))), None
    mask = {"mask": to_device(np.arange(T) < np.array([[T], [T - 1]]))} if masked else {}
    for _ in range(2):  # the second time there is nothing to be traced
        before = STAND_IN.launches[0]
        output = layer.forward(x, **mask)
        gradient = to_device(np.ones(output.shape)) if gradient is None else gradient
        layer.backward(gradient)
    return STAND_IN.launches[0] - before


def test_one_operation_is_one(stand_in):
    array = to_device(rng.normal(size=(2, 3, 4)))
    function, before = fused(lambda blocks: xp.tanh(blocks * 2, out=blocks), array), STAND_IN.launches[0]
    function(array)
    assert STAND_IN.launches[0] == before + 1


@pytest.mark.parametrize("form", ["sigmoid", "tanh"])
def test_gelu_is_one_operation_there_and_one_back(form, stand_in):
    plain = Gelu(form)
    layer, x = fast(plain), to_device(rng.normal(size=(2, 3, 4)))
    for scale in (1, 9, 1e18):
        scaled = x * scale
        for _ in range(2):
            before = STAND_IN.launches[0]
            output = layer.forward(scaled)
            gradient = layer.backward(x)
        assert STAND_IN.launches[0] == before + 4  # two make room, for the output and the slope
        assert relative_error(output, plain.forward(scaled)) < 1e-6
        assert relative_error(gradient, plain.backward(x)) < 1e-6
    with evaluating(layer):
        assert relative_error(layer.forward(scaled.swapaxes(0, 1)), output.swapaxes(0, 1)) < 1e-6


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
def test_a_step_through_time_is_four_operations_there_and_back(kind, masked, stand_in):
    for layer in (kind(3, 4), Bidirectional(kind(3, 4), kind(3, 4)), kind(3, 4, return_sequences=False)):
        assert launches(layer, 25, masked) - launches(layer, 15, masked) == 40
