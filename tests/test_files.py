"""Weights, vocabularies and checkpoints on disk: what was saved comes back, and nothing else is believed."""

import errno
import io
import os
import pickle
import random
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.layer import Sequential
from scratch.optimizers import Adam
from scratch.recurrent import LSTM
from scratch.text import Vocabulary
from scratch.tools.checkpoint import load_checkpoint, save_checkpoint
from scratch.tools.files import read_arrays, read_json, read_metadata, replacing, write_arrays, write_text
from scratch.tools.weights import load_vocab, load_weights, save_vocab, save_weights, vocabulary_of

FORMS = pytest.mark.parametrize("name", ["w.npz", "w.json", "w"])


def model(hidden_dim=4):
    return Sequential([LSTM(5, hidden_dim), Linear(hidden_dim, 3)])


@FORMS
def test_weights_come_back_to_the_bit(name, tmp_path, device):
    first, second, x = model(), model(), to_device(np.random.default_rng(0).normal(size=(2, 3, 5)))
    save_weights(first, tmp_path / name)
    load_weights(second, tmp_path / name)
    assert np.array_equal(to_host(first.forward(x)), to_host(second.forward(x)))


def test_metadata_come_back(tmp_path):
    metadata = {"vocabulary": {"é": 0}, "loss": 0.5}
    save_weights(model(), tmp_path / "w.npz", metadata)
    assert load_weights(model(), tmp_path / "w.npz") == metadata == read_metadata(tmp_path / "w.npz")
    with pytest.raises(ScratchError, match="metadata"):
        save_weights(model(), tmp_path / "w.json", metadata)


@FORMS
def test_weights_of_another_size_or_model_change_nothing(name, tmp_path):
    for other, message in (
        (model(6), "layers.0.w has shape"), (Sequential([LSTM(5, 4)]), "holds|lacks"),
        (Sequential([*model().layers, Linear(3, 3)]), "holds"),
    ):
        save_weights(other, tmp_path / name)
        mine = model()
        before = [to_host(p).copy() for p in mine.params()]
        with pytest.raises(ScratchError, match=message) as caught:
            load_weights(mine, tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert all(np.array_equal(to_host(p), old) for p, old in zip(mine.params(), before, strict=True))


@FORMS
def test_damaged_weights_are_refused(name, tmp_path):
    path = tmp_path / name
    with pytest.raises(ScratchError, match="no such file"):
        load_weights(model(), path)
    save_weights(model(), path)
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ScratchError, match=str(path)):
            load_weights(model(), path)
    rng = random.Random(0)
    for _ in range(100):  # one byte changed: refused, or (in a part that means nothing) loaded as it was
        position = rng.randrange(len(whole))
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        mine = model()
        try:
            load_weights(mine, path)
        except ScratchError:
            continue
        assert all(np.isfinite(to_host(p)).all() for p in mine.params())


@FORMS
def test_numbers_that_are_not_finite_are_not_written(name, tmp_path):
    path, bad = tmp_path / name, model()
    save_weights(bad, path)
    before = path.read_bytes()
    bad.layers[1].b.data[0] = float("nan")
    with pytest.raises(ScratchError, match="finite"):
        save_weights(bad, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("number", ["1e300", "NaN", "-Infinity"])
def test_numbers_that_are_not_finite_are_not_loaded(number, tmp_path):
    (tmp_path / "w.json").write_text(f"[[[{number}]], [0]]")
    np.savez(tmp_path / "w.npz", w=np.array([[float(number)]]), b=np.zeros(1))
    for path in (tmp_path / "w.json", tmp_path / "w.npz"):
        layer = Linear(1, 1)
        before = to_host(layer.w.data).copy()
        with pytest.raises(ScratchError, match="finite"):
            load_weights(layer, path)
        assert np.array_equal(to_host(layer.w.data), before)


def test_what_cannot_be_written_is_not(tmp_path):
    for metadata in ({"loss": float("nan")}, {"loss": object()}, {"text": "x" * 17_000_000}):
        with pytest.raises(ScratchError, match="metadata"):
            save_weights(model(), tmp_path / "w.npz", metadata)
    with pytest.raises(ScratchError, match="No such file"):
        save_weights(model(), tmp_path / "none" / "w.npz")
    assert os.listdir(tmp_path) == []


def test_a_packed_member_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "w.npz"
    save_weights(model(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("junk.npy", bytes(10**6), compress_type=zipfile.ZIP_DEFLATED)
    for read in (read_arrays, read_metadata, lambda path: load_weights(model(), path)):
        with pytest.raises(ScratchError, match="junk"):
            read(path)


def test_weights_of_a_wider_precision_come_back_whole(tmp_path):
    from scratch.backend import precision

    with precision("float64"):
        first, second = model(), model()
    save_weights(first, tmp_path / "w.npz")
    load_weights(second, tmp_path / "w.npz")
    assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(first.params(), second.params(), strict=True))


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "3", '["a"]', "[[[1]], 2]", "[" * 100_000, "[[1], [1, [2]]]", '[[["0.5"]], [0]]',
             "[[[true]], [0]]", f"[[[{10**400}]], [0]]", f"[[[{'9' * 5000}]], [0]]", "\udcff"],
    ids=range(12),
)
def test_json_that_is_no_weights_is_refused(text, tmp_path):
    path = tmp_path / "w.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ScratchError, match=r"w\.json"):
        load_weights(Linear(1, 1), path)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "w.npz"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    np.savez(path, **{"w": np.array([Bomb()], dtype=object), "b": np.zeros(1)})
    with pytest.raises(ScratchError, match=r"w\.npz"):
        load_weights(Linear(1, 1), path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ScratchError, match=r"w\.npz"):
        load_weights(Linear(1, 1), path)
    assert not (tmp_path / "exploded").exists()


def test_any_damage_to_any_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "w.npz"
    save_weights(model(), path, {"loss": 0.5})
    whole, rng = path.read_bytes(), random.Random(1)
    for _ in range(1500):
        position, length = rng.randrange(len(whole)), rng.choice([1, 1, 16])
        middle = rng.choice([b"{", b"(", b"\x00", b"\xff", b""])
        path.write_bytes(whole[:position] + middle + whole[position + length :])
        try:
            read_arrays(path)
        except ScratchError as error:
            assert "w.npz" in str(error)


def test_a_header_that_claims_too_much_is_not_believed(tmp_path):
    path, header = tmp_path / "w.npz", io.BytesIO()
    claim = {"descr": "<f4", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", header.getvalue())
    with pytest.raises(ScratchError, match="claims"):
        read_arrays(path)


def test_what_a_file_holds_is_checked_before_it_is_read(tmp_path):
    write_arrays(tmp_path / "w.npz", {"huge": np.zeros((3, 9))}, {})

    def refuse(shapes):
        assert shapes == {"huge": (3, 9)}
        raise ScratchError("not wanted")

    with pytest.raises(ScratchError, match="not wanted"):
        read_arrays(tmp_path / "w.npz", refuse)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.npz"
    save_weights(model(), path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ScratchError, match=r"w\.npz: cannot be written \(No space"):
        save_weights(model(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.npz"]


def test_a_write_that_is_interrupted_leaves_the_old_file(tmp_path):
    path = tmp_path / "text"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["text"]


def test_a_file_that_is_too_large_for_its_kind(tmp_path):
    with open(tmp_path / "vocab.json", "wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ScratchError, match="too many"):
        read_json(tmp_path / "vocab.json")


@given(st.lists(st.text(min_size=1, max_size=3)))
def test_a_vocabulary_numbers_words_by_first_sight(words):
    vocab = Vocabulary(words)
    assert list(vocab.w2i) == list(dict.fromkeys(words))
    assert [vocab.get_word(i) for i in vocab.encode(words)] == words
    for word in words:
        row = vocab.one_hot_encode(word)
        assert sum(row) == 1 and row[vocab.get_id(word)] == 1 and len(row) == vocab.size


def test_unknown_words():
    vocab = Vocabulary("ab")
    assert vocab.get_id("c") is None and vocab.get_word(9) is None
    assert vocab.one_hot_encode("b") == [0, 1]
    with pytest.raises(AssertionError, match="unknown word c"):
        vocab.one_hot_encode("c")
    with pytest.raises(ScratchError, match="unknown word 'c'"):
        vocab.encode("abc")


def test_vocabularies_come_back(tmp_path):
    vocab = Vocabulary(["b", "ü", "\n", '"'])
    save_vocab(vocab, tmp_path / "vocab.json")
    assert load_vocab(tmp_path / "vocab.json").w2i == vocab.w2i


@pytest.mark.parametrize(
    "text", ['["a"]', '{"a": 1}', '{"a": 0, "b": 0}', '{"a": "0"}', '{"a": 0.0}', '{"a"', '{"a": true}']
)
def test_what_is_no_vocabulary_is_refused(text, tmp_path):
    (tmp_path / "vocab.json").write_text(text)
    with pytest.raises(ScratchError, match=r"vocab\.json"):
        load_vocab(tmp_path / "vocab.json")
    assert vocabulary_of({"b": 1, "a": 0}, "here").w2i == {"a": 0, "b": 1}


def train(layer, optimizer, num_steps):
    for _ in range(num_steps):
        x = to_device(np.array([[[random.random()] * 5] * 2]))
        layer.backward(layer.forward(x))
        optimizer.step(layer)


def test_a_run_goes_on_to_the_bit(tmp_path, device):
    path, settings = tmp_path / "checkpoint.npz", {"hidden": 4}
    first, optimizer = model(), Adam(0.01)
    train(first, optimizer, 3)
    save_checkpoint(path, first, optimizer, settings, {"epoch": 3})
    train(first, optimizer, 4)
    random.seed(99)
    second, other = model(), Adam(0.5)
    assert load_checkpoint(path, second, other, settings) == {"epoch": 3}
    train(second, other, 4)
    for a, b in zip(first.params(), second.params(), strict=True):
        assert np.array_equal(to_host(a), to_host(b))


def test_checkpoints_that_do_not_fit_change_nothing(tmp_path):
    path = tmp_path / "checkpoint.npz"
    first, optimizer = model(), Adam()
    train(first, optimizer, 1)
    save_checkpoint(path, first, optimizer, {"hidden": 4, "lr": 0.1}, {"epoch": 1})
    other = model()
    state = random.getstate()
    with pytest.raises(ScratchError, match=r"made with lr = 0\.1, not 0\.2"):
        load_checkpoint(path, other, Adam(), {"hidden": 4, "lr": 0.2})
    save_weights(first, path)
    with pytest.raises(ScratchError, match=r"checkpoint\.npz"):
        load_checkpoint(path, first, optimizer, {})
    arrays = {f"model/{p.name}": to_host(p.data) for p in first.parameters()}
    good = [3, list(random.getstate()[1]), None]
    its = {"kind": "Adam", "lr": 1, "num_steps": 0}
    for chance, its_state in (
        ([3, [1, 2], None], its), ([3, "x", None], its), (7, its), ([3, [-1] * 625, None], its),
        ([3, [2**70] * 625, None], its), ([*good[:2], "x"], its), (good, its | {"kind": "Momentum"}),
        (good, its | {"num_steps": 1}), (good, {}), (good, 3),
    ):
        metadata = {"settings": {}, "progress": {}, "optimizer": its_state, "random": chance}
        write_arrays(path, arrays, metadata)
        with pytest.raises(ScratchError, match=r"saved state|not a checkpoint"):
            load_checkpoint(path, other, Adam(), {})
    assert random.getstate() == state
    save_checkpoint(path, first, optimizer, {}, {})
    with pytest.raises(ScratchError, match="another size"):
        load_checkpoint(path, model(6), Adam(), {})


def test_whoever_reads_the_old_file_goes_on_reading_it(tmp_path):
    path = tmp_path / "text"
    write_text(path, "old")
    with open(path) as reader:
        write_text(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"
