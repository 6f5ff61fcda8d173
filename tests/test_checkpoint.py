"""Checkpoints: training continues from one to the bit, and one that does not fit is refused."""

import json
import random

import numpy as np
import pytest

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.fast import fast
from scratch.layer import Sequential
from scratch.optimizers import Adam, Momentum
from scratch.recurrent import LSTM
from scratch.regular import Dropout
from scratch.tools.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from scratch.tools.files import read_arrays, read_metadata, write_arrays
from scratch.tools.weights import save_weights

SETTINGS = {"hidden": 4, "cuts": (1, 2)}
ENGINE = pytest.mark.parametrize("engine", [False, True], ids=["plain", "fast"])


def model(hidden_dim=4):
    return Sequential([LSTM(5, hidden_dim), Dropout(0.5), Linear(hidden_dim, 3)])


def train(layer, optimizer, num_steps):
    for _ in range(num_steps):
        x = to_device(np.array([[[random.random()] * 5] * 2] * 16))
        layer.backward(layer.forward(x))
        optimizer.step(layer)


def parts(engine, lr=0.01):
    layer, optimizer = model(), Adam(lr)
    return (fast(layer, 2), fast(optimizer)) if engine else (layer, optimizer)


def values(layer):
    return [to_host(p).copy() for p in layer.params()]


def same(first, second):
    return all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(first, second, strict=True))


@ENGINE
def test_training_continues_from_a_checkpoint_to_the_bit(engine, tmp_path, device):
    path = tmp_path / "checkpoint.npz"
    first, optimizer = parts(engine)
    train(first, optimizer, 3)
    save_checkpoint(path, first, optimizer, SETTINGS, {"epoch": 3})
    train(first, optimizer, 4)
    random.seed(99)
    second, other = parts(engine, 0.5)
    assert load_checkpoint(path, second, other, SETTINGS) == {"epoch": 3}
    train(second, other, 4)
    assert same(values(first), values(second))


def test_a_checkpoint_has_the_steps_of_each_parameter_by_name(tmp_path):
    path, layer, optimizer = tmp_path / "checkpoint.npz", model(), Adam()
    train(layer, optimizer, 2)
    layer.layers[2].b.fixed = True
    train(layer, optimizer, 1)
    save_checkpoint(path, layer, optimizer, {}, {})
    saved = read_metadata(path)
    steps = {name: 3 for name in layer.named_parameters()} | {"layers.2.b": 2}
    assert saved["format"] == FORMAT and saved["optimizer"]["steps"] == steps
    other = Adam()
    load_checkpoint(path, layer, other, {})
    assert other.steps == optimizer.steps


@pytest.mark.parametrize("number", [None, 1, FORMAT + 1])
def test_a_checkpoint_of_another_format_is_refused(number, tmp_path):
    path, (layer, optimizer) = tmp_path / "checkpoint.npz", parts(False)
    save_checkpoint(path, layer, optimizer, {}, {})
    arrays, metadata = read_arrays(path)
    del metadata["format"]
    write_arrays(path, arrays, metadata if number is None else metadata | {"format": number})
    with pytest.raises(ScratchError, match=r"checkpoint of an older version; omit --resume"):
        load_checkpoint(path, layer, optimizer, {})


def test_checkpoints_that_do_not_fit_change_nothing(tmp_path):
    path = tmp_path / "checkpoint.npz"
    first, optimizer = model(), Adam()
    train(first, optimizer, 1)
    save_checkpoint(path, first, optimizer, {"hidden": 4, "lr": 0.1}, {"epoch": 1})
    other, smaller, its_optimizer = model(), model(3), Adam(0.5)
    state, before = random.getstate(), values(other)
    with pytest.raises(ScratchError, match=r"made with lr = 0\.1, not 0\.2"):
        load_checkpoint(path, other, its_optimizer, {"hidden": 4, "lr": 0.2})
    save_weights(first, path)
    with pytest.raises(ScratchError, match=r"checkpoint\.npz"):
        load_checkpoint(path, other, its_optimizer, {})

    save_checkpoint(path, first, optimizer, {}, {})
    arrays, metadata = read_arrays(path)
    version, numbers, gauss = metadata["random"]
    saved = metadata["optimizer"]
    for change in (
        {"random": [version, [1, 2], gauss]}, {"random": [version, "x", gauss]}, {"random": 7},
        {"random": [version, [-1] * 625, gauss]}, {"random": [version, [2**70] * 625, gauss]},
        {"random": [version, numbers, "x"]}, {"optimizer": saved | {"kind": "Momentum"}}, {"optimizer": {}},
        {"optimizer": 3}, {"optimizer": saved | {"steps": {}}}, {"optimizer": saved | {"steps": 1}},
        {"optimizer": saved | {"steps": saved["steps"] | {"layers.9.w": 1}}},
        {"optimizer": saved | {"steps": saved["steps"] | {"layers.2.b": "x"}}}, *(
            {"optimizer": saved | {"arguments": saved["arguments"] | {"lr": lr}}} for lr in (None, "x", -1, [1], True)
        ),
    ):
        write_arrays(path, arrays, metadata | change)
        with pytest.raises(ScratchError, match=r"saved state|checkpoint\.npz: "):
            load_checkpoint(path, other, its_optimizer, {})
    write_arrays(path, {name: value for name, value in arrays.items() if name != "optimizer/m/layers.2.b"}, metadata)
    with pytest.raises(ScratchError, match="saved state is from another model"):
        load_checkpoint(path, other, its_optimizer, {})
    write_arrays(path, arrays, metadata)
    with pytest.raises(ScratchError, match="another size"):
        load_checkpoint(path, smaller, its_optimizer, {})
    with pytest.raises(ScratchError, match="saved state is from Adam"):
        load_checkpoint(path, other, Momentum(0.1), {})
    assert random.getstate() == state and same(values(other), before)
    assert its_optimizer.lr == 0.5 and not its_optimizer.steps and not its_optimizer.state
    assert load_checkpoint(path, other, its_optimizer, {}) == {} and its_optimizer.steps


@pytest.mark.parametrize("change", [
    {"lr": "x"}, {"lr": -1}, {"lr": float("nan")}, {"progress": [7]},
    {"lr": float("inf")}, {"lr": True}, {"optimizer": {"steps": {"layers.2.b": -1}}},
    {"optimizer": {"steps": {"layers.2.b": 0}}}, {"optimizer": {"steps": {"layers.2.b": 1.5}}},
    {"random": [3, [], None]},
    {"arrays": {"model/layers.2.b": np.full(3, 1e300)}}, {"arrays": {"model/layers.2.b": np.full(3, np.nan)}},
    {"arrays": {"optimizer/m/layers.2.b": np.zeros(3, int)}}, {"arrays": {"optimizer/m/layers.2.b": np.zeros(4)}},
    {"arrays": {"optimizer/m/layers.9.b": np.zeros(3)}}, {"arrays": {"other": np.zeros(3)}},
], ids=str)
def test_a_refused_checkpoint_changes_nothing(change, tmp_path):
    path = tmp_path / "checkpoint.npz"
    layer, optimizer = model(), Adam(0.25)
    train(layer, optimizer, 2)
    save_checkpoint(path, layer, optimizer, SETTINGS, {"epoch": 3})
    train(layer, optimizer, 1)
    arrays, metadata = read_arrays(path)
    arrays |= change.get("arrays", {})
    metadata["optimizer"]["arguments"]["lr"] = change.get("lr", 0.25)
    for name in metadata.keys() & change.keys():
        merged = isinstance(change[name], dict)
        metadata[name] = {**metadata[name], **change[name]} if merged else change[name]
    np.savez(path, **arrays, metadata=np.frombuffer(json.dumps(metadata).encode(), np.uint8))  # with NaN, if need be
    chance, before, steps = random.getstate(), values(layer), dict(optimizer.steps)
    moments = [array.copy() for arrays in optimizer.state.values() for array in arrays]
    with pytest.raises(ScratchError, match=r"checkpoint\.npz: "):
        load_checkpoint(path, layer, optimizer, SETTINGS, {"epoch": int})
    assert random.getstate() == chance and same(values(layer), before)
    assert optimizer.lr == 0.25 and optimizer.steps == steps
    assert same([array for arrays in optimizer.state.values() for array in arrays], moments)
