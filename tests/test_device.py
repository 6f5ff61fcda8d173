"""Choosing a device: what is said where it cannot be had, and that what is learned on one can be used on another."""

import os
import random
import re
import signal
import sys
import types

import numpy as np
import pytest
from conftest import ON_A_DEVICE, STAND_IN
from programs import ROOT, run

from scratch import backend
from scratch.backend import precision, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.fast import fast
from scratch.fast.parts import InParts
from scratch.gradient_check import relative_error
from scratch.layer import Sequential
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam
from scratch.recurrent import LSTM
from scratch.regular import Dropout
from scratch.tools import program

CPU = {"SCRATCH_DEVICE": "cpu"}
CUDA = {"SCRATCH_DEVICE": "cuda"}
if not ON_A_DEVICE:
    CUDA["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "stand_in")])


class Runtime(types.SimpleNamespace):
    def __init__(self, driver=13000, wheel=13000, devices=1):
        super().__init__()
        self.driverGetVersion, self.runtimeGetVersion = lambda: driver, lambda: wheel
        self.getDeviceCount = devices if callable(devices) else lambda: devices


def no_device():
    raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


def no_compiler(*args, **kwargs):
    raise RuntimeError("CuPy failed to load libnvrtc.so.13")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runtime": Runtime(driver=0)}, "there is no NVIDIA driver here; use --device cpu"),
        ({"runtime": Runtime(driver=12040)}, r"CuPy is for CUDA 13\.0, the driver for 12\.4; uninstall CuPy, then"),
        ({"runtime": Runtime(devices=0)}, "no GPU is visible here"),
        ({"runtime": Runtime(devices=no_device)}, "no GPU can be used.*cudaErrorNoDevice"),
        ({"ones": no_compiler}, r"cannot compute.*libnvrtc\.so\.13.*pip install -e '\.\[cuda12\]'"),
    ],
    ids=["no driver", "another CUDA", "no GPU", "a hidden GPU", "no compiler"],
)
def test_what_is_missing_is_said(changes, said, monkeypatch):
    broken = types.ModuleType("cupy")
    broken.__dict__.update(vars(STAND_IN), **changes)
    broken.cuda = types.SimpleNamespace(runtime=changes.get("runtime", Runtime()))
    monkeypatch.setitem(sys.modules, "cupy", broken)
    before = xp.device
    with pytest.raises(ScratchError, match=said):
        backend.use("cuda")
    assert xp.device == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"needs CuPy.*pip install -e '\.\[cuda12\]' or '\.\[cuda13\]'"),
        ("raise ImportError('libcublas.so.12: cannot open')", r"cannot be imported \(libcublas\.so\.12"),
        ("raise RuntimeError('numpy is too old')", r"cannot be imported \(numpy is too old\)"),
    ],
    ids=["not installed", "a library is missing", "broken"],
)
def test_a_cupy_that_cannot_be_had_is_explained(text, said, tmp_path):
    if text is None:
        text = "raise ModuleNotFoundError(\"No module named 'cupy'\")"
    (tmp_path / "cupy.py").write_text(text)
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    code, _, err = run("company_names.py", "generate", "--device", "cuda", cwd=tmp_path, env=env)
    assert (code, err.count("\n")) == (2, 1)
    assert re.search(said, err), err


@pytest.mark.parametrize(
    ("size", "said"), [(48, "(Out of memory allocating 4,000 bytes); try --batch-size 24"), (1, "a smaller network")]
)
def test_memory_that_is_too_small_names_the_batch_to_try(size, said, capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def main():
        program.begin(types.SimpleNamespace(batch_size=size))
        raise MemoryError("Out of memory allocating 4,000 bytes")

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stop:
        program.run(main)
    signal.signal(signal.SIGINT, handler)
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_what_is_learned_on_a_device_is_used_on_a_cpu_and_the_other_way_round(tmp_path):
    for name, here, there in (("a", CUDA, CPU), ("b", CPU, CUDA)):
        code, _, err = run("company_names.py", "--smoke", "--epochs", "3", "--out", name, cwd=tmp_path, env=here)
        assert (code, err) == (0, "")
        names = [
            run("company_names.py", "generate", "--weights", f"{name}/weights.npz", "--seed", "1", "--temperature", "0",
                "--count", "2", cwd=tmp_path, env=env)
            for env in (here, there)
        ]
        assert names[0] == names[1]
        assert names[0][0] == 0
    weights = [np.load(tmp_path / name / "weights.npz") for name in ("a", "b")]
    for key in set(weights[0].files) - {"metadata"}:
        assert relative_error(weights[0][key], weights[1][key]) < 1e-3  # the same seed, and three epochs of rounding


@pytest.mark.gpu
def test_steps_of_learning_need_no_more_memory_than_the_first_ones():
    model = fast(Sequential([LSTM(7, 32), Dropout(0.5), Linear(32, 7)]))
    optimizer, loss = fast(Adam(0.01)), SoftmaxCrossEntropy()
    ids, used = to_device(np.random.default_rng(0).integers(0, 7, (16, 20))), []
    for _ in range(6):
        predicted = model.forward(ids)
        loss.loss(predicted, ids)
        model.backward(loss.gradient(predicted, ids))
        optimizer.step(model)
        used.append(xp.get_default_memory_pool().total_bytes())
    assert used[-1] == used[2]


@pytest.mark.gpu
def test_a_device_without_room_says_which_batch_to_try(tmp_path):
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    flags = "text.txt", "--hidden", "64", "--batch-size", "4", "--sequence", "400", "--out", "run"
    code, _, err = run("char_lm", "train", *flags, cwd=tmp_path, env={"CUPY_GPU_MEMORY_LIMIT": str(2**22)})
    assert (code, err.count("\n")) == (2, 1)
    assert "try --batch-size 2" in err


@pytest.mark.gpu
def test_the_product_is_that_of_float32():
    a, b = (np.random.default_rng(k).normal(size=(300, 300)).astype(np.float32) for k in range(2))
    found = to_host(to_device(a).dot(to_device(b)))
    assert relative_error(found, a.astype(np.float64) @ b) < 1e-5  # TF32, of ten bits, would be off by 1e-3


def test_what_a_device_draws_is_the_same_for_the_same_seed(device):
    dropout = fast(Dropout(0.5))
    with precision("float64"):
        random.seed(3)
        first, second = to_host(dropout.draw((50, 40))), to_host(dropout.draw((50, 40)))
        random.seed(3)
        assert np.array_equal(to_host(dropout.draw((50, 40))), first)
    assert not np.array_equal(first, second)
    assert first.dtype == np.float32
    assert 0 <= first.min() < 0.01 < 0.99 < first.max() < 1
    assert abs(first.mean() - 0.5) < 0.05


def test_a_gpu_is_not_for_several_threads(kernels):
    with pytest.raises(ScratchError, match="one thread on a GPU"):
        InParts(Linear(2, 2), 2)
    assert not isinstance(fast(Linear(2, 2)), InParts)
