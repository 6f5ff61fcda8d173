import random
import subprocess
import sys

import numpy as np
import pytest

from scratch import backend
from scratch.backend import float_type, precision, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.functions import log_softmax, one_hot, sample_from, sigmoid, softmax
from scratch.gradient_check import gradient_errors
from scratch.initial import INITS, random_tensor
from scratch.layer import Layer


def test_crossings(device):
    there = to_device([[1, 2], [3, 4.5]])
    assert isinstance(there, xp.ndarray)
    assert there.dtype == np.float32
    assert type(to_host(there)) is np.ndarray
    assert to_device([1, 2]).dtype.kind == "i"
    with pytest.raises(ScratchError, match="numbers"):
        to_device(["a"])
    with pytest.raises(ScratchError, match="rows of equal length"):
        to_device([[1, 2], [3]])


def test_precision_is_put_back():
    with pytest.raises(KeyError), precision("float64"):
        assert float_type() == np.float64
        raise KeyError
    assert float_type() == np.float32
    with pytest.raises(ScratchError, match="float16"), precision("float16"):
        pass


def test_unknown_devices_are_explained():
    with pytest.raises(ScratchError, match="unknown device 'tpu'"):
        backend.use("tpu")
    with pytest.raises(ScratchError, match="unknown device 'abacus'"):
        backend.use("abacus")
    assert float(xp.tanh(to_device(0.0))) == 0.0  # what was chosen before still stands


def test_the_environment_chooses_the_device():
    code = "from scratch.backend import xp; xp.tanh"
    run = subprocess.run(
        [sys.executable, "-c", code], env={"SCRATCH_DEVICE": "abacus", "PATH": ""}, capture_output=True, text=True
    )
    assert "unknown device 'abacus'" in run.stderr


def test_functions_survive_large_numbers(device):
    z = to_device([[1000.0, 0.0, -1000.0]])
    assert np.allclose(to_host(softmax(z)), [[1, 0, 0]])
    assert np.allclose(to_host(log_softmax(z)), [[0, -1000, -2000]])
    assert np.allclose(to_host(sigmoid(z)), [[1, 0.5, 0]])
    assert to_host(softmax([1.0, 1.0])).tolist() == [0.5, 0.5]


def test_masked_softmax(device):
    z, mask = to_device([[1.0, 2.0, 99.0], [5.0, 6.0, 7.0]]), to_device([[True, True, False], [False] * 3])
    found = to_host(softmax(z, mask))
    assert np.allclose(found[0, :2], to_host(softmax(z[:1, :2])))
    assert not found[0, 2] and not found[1].any()


def test_one_hot(device):
    assert to_host(one_hot([[2], [0]], 3)).tolist() == [[[0, 0, 1]], [[1, 0, 0]]]
    assert to_host(one_hot([-1, 1], 3)).tolist() == [[0, 0, 0], [0, 1, 0]]
    for wrong in (3, -2):
        with pytest.raises(ScratchError, match="ids from -1 to 2"):
            one_hot([wrong], 3)


def test_sampling_follows_the_weights():
    counts = np.bincount([sample_from([1, 0, 3]) for _ in range(4000)], minlength=3) / 4000
    assert counts[1] == 0
    assert abs(counts[2] - 0.75) < 0.03
    assert {sample_from([0.2, 0.5, 0.3], temperature=0) for _ in range(20)} == {1}
    assert {sample_from([0.2, 0.5, 0.3], top_k=2) for _ in range(99)} == {1, 2}
    assert {sample_from([0.2, 0.5, 0.3], top_p=0.79) for _ in range(99)} == {1, 2}
    assert {sample_from([2, 5, 3], top_p=0.5) for _ in range(99)} == {1}  # half is enough
    assert {sample_from([0.2, 0.5, 0.3], top_p=1) for _ in range(99)} == {0, 1, 2}
    assert {sample_from([1, 1, 1, 1], top_p=0.5) for _ in range(99)} == {0, 1}  # of equal weights, the first
    assert {sample_from([6, 3, 1], top_k=2, top_p=0.65) for _ in range(99)} == {0}  # a share of what top_k leaves
    assert {sample_from([1e300, 1.7e308, 1.7e308], top_p=0.9) for _ in range(99)} == {1, 2}  # their sum overflows
    assert {sample_from([1e-300, 1.0], temperature=1e-3) for _ in range(20)} == {1}
    warm = np.bincount([sample_from([1, 9], temperature=2) for _ in range(4000)]) / 4000
    assert abs(warm[0] - 0.25) < 0.03  # 1 : sqrt(9)


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [float("nan"), 1], [float("inf"), 1], [[1, 2]]])
def test_what_cannot_be_sampled_from_is_refused(weights):
    with pytest.raises(ScratchError, match="expected a list of weights"):
        sample_from(weights)


@pytest.mark.parametrize("options", [{"top_p": 0}, {"top_p": 1.1}, {"top_p": float("nan")}, {"top_k": 0}])
def test_wrong_options_of_sampling_are_refused(options):
    with pytest.raises(ScratchError, match="top_"):
        sample_from([1, 2], **options)


@pytest.mark.parametrize(("init", "spread"), [("normal", 1), ("xavier", (2 / 500) ** 0.5), ("he", (2 / 300) ** 0.5)])
def test_spreads(init, spread):
    w = random_tensor(200, 300, init=init)
    assert abs(float(w.std()) / spread - 1) < 0.02
    assert abs(float(w.mean())) < 0.02 * max(spread, 0.1)


def test_orthogonal_keeps_lengths():
    for shape in ((5, 5), (7, 3), (3, 7)):
        w = to_host(random_tensor(*shape, init="orthogonal"))
        small = w @ w.T if shape[0] < shape[1] else w.T @ w
        assert np.allclose(small, np.eye(min(shape)), atol=1e-5)


def test_the_seed_of_random_is_the_seed_of_everything(device):
    for init in INITS:
        random.seed(7)
        first = to_host(random_tensor(3, 4, init=init))
        random.seed(7)
        assert np.array_equal(to_host(random_tensor(3, 4, init=init)), first)
        assert not np.array_equal(to_host(random_tensor(3, 4, init=init)), first)
    with pytest.raises(ScratchError, match="choose one of"):
        random_tensor(3, 4, init="magic")
    with pytest.raises(ScratchError, match="at least 1"):
        random_tensor(3, 0)


def test_a_wrong_backward_is_found():
    class Wrong(Layer):
        def forward(self, input):
            self.remember(input.shape, input)
            return input * input

        def backward(self, gradient):
            (input,) = self.recall(gradient)
            return gradient * input  # lacks the factor 2

    with precision("float64"):
        assert gradient_errors(Wrong(), to_device([[0.5, -1.5]]))["input 0"] > 0.1
    with pytest.raises(RuntimeError, match="float64"):
        gradient_errors(Wrong(), to_device([[0.5]]))
