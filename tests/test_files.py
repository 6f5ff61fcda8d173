"""Files of arrays and texts: written completely or not at all, and checked before they are read."""

import errno
import io
import os
import random
import zipfile

import numpy as np
import pytest

from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.layer import Sequential
from scratch.recurrent import LSTM
from scratch.tools.files import read_arrays, read_json, read_metadata, replacing, write_arrays, write_text
from scratch.tools.weights import load_weights, save_weights


def model(hidden_dim=4):
    return Sequential([LSTM(5, hidden_dim), Linear(hidden_dim, 3)])


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


@pytest.mark.parametrize(("name", "array"), [
    ("a\x1b", np.zeros(3)), (300 * "a", np.zeros(3)), ("metadata", np.zeros(3)), ("a", np.array("text")),
    ("a", np.array([None])), ("a", np.zeros(3, np.complex64)), ("a", np.array([np.inf])),
])
def test_what_could_not_be_read_is_not_written(name, array, tmp_path):
    with pytest.raises(ScratchError, match=r"w\.npz: "):
        write_arrays(tmp_path / "w.npz", {name: array}, {})
    assert os.listdir(tmp_path) == []


def test_a_packed_member_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "w.npz"
    save_weights(model(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("junk.npy", bytes(10**6), compress_type=zipfile.ZIP_DEFLATED)
    for read in (read_arrays, read_metadata, lambda path: load_weights(model(), path)):
        with pytest.raises(ScratchError, match="junk"):
            read(path)


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


def test_whoever_reads_the_old_file_goes_on_reading_it(tmp_path):
    path = tmp_path / "text"
    write_text(path, "old")
    with open(path) as reader:
        write_text(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_a_file_that_is_too_large_for_its_kind(tmp_path):
    with open(tmp_path / "vocab.json", "wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ScratchError, match="larger than the"):
        read_json(tmp_path / "vocab.json")
