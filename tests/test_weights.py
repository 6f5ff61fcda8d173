"""Weights and vocabularies on disk: they load as they were saved, and a file that does not fit is refused."""

import os
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.layer import Sequential
from scratch.recurrent import LSTM
from scratch.text import Vocabulary
from scratch.tools.files import read_metadata
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
    deep = []
    for _ in range(40):
        deep = [deep]
    for metadata in ({"loss": float("nan")}, {"loss": object()}, {"text": "x" * 17_000_000}, {"deep": deep}):
        with pytest.raises(ScratchError, match="metadata"):
            save_weights(model(), tmp_path / "w.npz", metadata)
    with pytest.raises(ScratchError, match="No such file"):
        save_weights(model(), tmp_path / "none" / "w.npz")
    assert os.listdir(tmp_path) == []


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
