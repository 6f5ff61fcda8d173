"""Files in the safetensors format: the same arrays and metadata as in npz files, after the same checks."""

import json
import subprocess
import sys

import numpy as np
import pytest
from programs import ROOT, environment

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.layer import Sequential
from scratch.recurrent import LSTM
from scratch.tools.files import read_arrays, read_metadata, read_shapes, write_arrays
from scratch.tools.weights import load_model, load_weights, metadata_of, save_weights

safetensors = pytest.importorskip("safetensors", reason="needs safetensors: pip install -e '.[dev]'")
library = pytest.importorskip("safetensors.numpy")
pytestmark = pytest.mark.needs("safetensors")

TYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]
METADATA = {"program": "x", "vocabulary": {"é": 0, "\n": 1, "\U0001f600": 2}, "loss": 0.5, "none": None}


def model(hidden_dim=4):
    return Sequential([LSTM(5, hidden_dim), Linear(hidden_dim, 3)])


def some_arrays():
    rng = np.random.default_rng(0)
    arrays = {f"of type {kind}": rng.integers(0, 2, (3, 5)).astype(kind) for kind in TYPES}
    wide = rng.normal(size=(4, 6)).astype("f4")
    strange = {"one": np.array(3.5), "none": np.zeros((0, 3), "f4"), "turned": wide.T, "part": wide[::2, 1:]}
    return arrays | strange | {"reversed": wide[::-1], "big end first": wide.astype(">f4"), "ü/x.y": wide}


def same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype.newbyteorder("=") == second[name].dtype.newbyteorder("=")
        assert array.shape == second[name].shape and np.array_equal(array, second[name]), name


def of_header(path, header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_arrays_and_metadata_come_back(tmp_path):
    path = tmp_path / "w.safetensors"
    write_arrays(path, some_arrays(), METADATA)
    arrays, metadata = read_arrays(path)
    same(some_arrays(), arrays)
    assert metadata == METADATA == read_metadata(path)
    assert read_shapes(path) == {name: array.shape for name, array in some_arrays().items()}
    assert metadata_of(path, "x", loss=float) == METADATA
    arrays["part"][0, 0] = 7  # an array of one's own


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        write_arrays(tmp_path / name, some_arrays(), METADATA)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_library_reads_what_is_written_here(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(mine := model(), path, METADATA)
    found = library.load_file(path)
    same({name: to_host(p.data) for name, p in mine.named_parameters().items()}, found)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["metadata"]) == METADATA


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_what_the_library_writes_is_read_here(metadata, tmp_path):
    path = tmp_path / "w.safetensors"
    library.save_file({"w": np.ones((3, 2), "f2"), "b": np.zeros(3, "f8")}, path, metadata)
    layer = Linear(2, 3)
    assert load_weights(layer, path) == {}
    assert to_host(layer.w.data).dtype == np.float32 and np.array_equal(to_host(layer.w.data), np.ones((3, 2)))


def test_weights_come_back_to_the_bit(tmp_path, device):
    path, x = tmp_path / "w.safetensors", to_device(np.random.default_rng(0).normal(size=(2, 3, 5)))
    save_weights(first := model(), path)
    second = load_model(path, model)
    assert np.array_equal(to_host(first.forward(x)), to_host(second.forward(x)))
    with precision("float64"):
        first, second = model(), model()
    save_weights(first, path)
    load_weights(second, path)
    assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(first.params(), second.params(), strict=True))


def test_weights_of_another_size_or_model_change_nothing(tmp_path):
    path = tmp_path / "w.safetensors"
    for other, message in (
        (model(6), r"layers.0.\w has shape"), (Sequential([LSTM(5, 4)]), "lacks"),
        (Sequential([*model().layers, Linear(3, 3)]), "holds"),
    ):
        save_weights(other, path)
        mine = model()
        before = [to_host(p).copy() for p in mine.params()]
        with pytest.raises(ScratchError, match=message) as caught:
            load_weights(mine, path)
        assert str(path) in str(caught.value)
        assert all(np.array_equal(to_host(p), old) for p, old in zip(mine.params(), before, strict=True))
    save_weights(model(2), path)
    with pytest.raises(ScratchError, match="metadata does not fit its arrays"):
        load_model(path, model)


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(("header", "words"), [
    ({"w": ONE | {"dtype": "BF16", "shape": [4]}}, "w is of type BF16, which NumPy lacks; convert it to float32 first"),
    ({"w": ONE | {"dtype": "F8_E4M3", "shape": [8]}}, "w is of type F8_E4M3"),
    ({"w": ONE | {"dtype": "F128"}}, "damaged, or not a .safetensors file"),
    ({"w": ONE | {"shape": [3]}}, "damaged"), ({"w": ONE | {"shape": [2**40]}}, "damaged"),
    ({"w": ONE | {"shape": [-2]}}, "damaged"), ({"w": ONE | {"data_offsets": [0, 12]}}, "damaged"),
    ({"w": ONE | {"shape": [1] * 99 + [2]}}, "damaged"),
    ({"w": ONE, "v": {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [8, 8]}}, "damaged"),
    ({"w": ONE, "v": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [8, 8]}}, "damaged"),
    ({"w": ONE, "__metadata__": {"metadata": "[]"}}, "the metadata is not a JSON object"),
    ({"w": ONE, "__metadata__": {"metadata": "{"}}, "damaged"), ({"w": ONE, "__metadata__": 3}, "damaged"),
    ({"w": ONE, "__metadata__": {"metadata": "[" * 10**5}}, "nested more than"),
    ({"w\x1b": ONE}, "is not the name of an array"), ({300 * "w": ONE}, "is not the name of an array"),
    ({"w": ONE, "x": 0}, "damaged"), ([], "damaged"), (b"{", "damaged"), (b"\xff\xff", "damaged"), (b"", "damaged"),
    (b'{"w":' + b"[" * 10**5, "damaged"),
    ({"w": ONE} | {f"w{k}": ONE | {"shape": [0], "data_offsets": [8, 8]} for k in range(10**5)}, "more than 100000"),
], ids=range(23))
def test_a_header_that_does_not_fit_is_refused(header, words, tmp_path):
    path = of_header(tmp_path / "w.safetensors", header, b"\0\0\x80\x3f" * 2)
    with pytest.raises(ScratchError, match=r"w\.safetensors: ") as caught:
        read_arrays(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 60, 62, 2**31, 2**40, 2**63, 2**64 - 1])
def test_a_length_that_does_not_fit_is_refused(length, tmp_path):
    path = of_header(tmp_path / "w.safetensors", {"w": ONE}, b"\0\0\x80\x3f" * 2)
    content = path.read_bytes()
    assert int.from_bytes(content[:8], "little") == 61
    path.write_bytes(length.to_bytes(8, "little") + content[8:])
    for read in (read_arrays, read_metadata, read_shapes):
        with pytest.raises(ScratchError, match=r"w\.safetensors: damaged"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"\x08", b"PK\x03\x04", 8 * b"\0", b"\x80\x04."])
def test_what_is_no_such_file_is_refused(content, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ScratchError, match=r"w\.safetensors: damaged"):
        read_arrays(tmp_path / "w.safetensors")
    with pytest.raises(ScratchError, match=r"none\.safetensors: no such file"):
        read_arrays(tmp_path / "none.safetensors")


def test_numbers_that_are_not_finite_are_neither_written_nor_read(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(ScratchError, match=r"w\.safetensors: w contains values that are not finite"):
        write_arrays(path, {"w": np.array([np.nan])}, {})
    library.save_file({"w": np.array([np.inf])}, path)
    with pytest.raises(ScratchError, match=r"w\.safetensors: w contains values that are not finite"):
        read_arrays(path)


@pytest.mark.parametrize("name", ["__metadata__", "metadata", "a\x1b", 300 * "a"])
def test_what_could_not_be_read_is_not_written(name, tmp_path):
    with pytest.raises(ScratchError, match="cannot be the name of an array"):
        write_arrays(tmp_path / "w.safetensors", {name: np.zeros(3)}, {})
    assert not list(tmp_path.iterdir())


def test_a_header_that_could_not_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("scratch.tools.tensors._MAX_HEADER", 10_000)
    with pytest.raises(ScratchError, match=r"w\.safetensors: the names and metadata need a header of more than 10000"):
        write_arrays(tmp_path / "w.safetensors", {"w": np.zeros(3)}, {"text": 10_000 * "a"})
    assert not list(tmp_path.iterdir())


def test_without_the_library_a_line_says_what_to_install(tmp_path, monkeypatch):
    save_weights(model(), tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for use, word in ((save_weights, "writing"), (load_weights, "reading")):
        with pytest.raises(ScratchError, match=rf"{word} .*w\.safetensors needs safetensors; run pip install -e '\."):
            use(model(), tmp_path / "w.safetensors")


# The command ----------------------------------------------------------------------------------------------------


def convert(*paths, cwd):
    command = [sys.executable, "-m", "scratch.tools.convert", *paths]
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_command_converts_without_loss_and_replaces_what_was_there(tmp_path):
    arrays = {name: array for name, array in some_arrays().items() if array.dtype.isnative}
    write_arrays(tmp_path / "a.npz", arrays, METADATA)
    (tmp_path / "b.safetensors").write_text("old")
    assert convert("a.npz", "b.safetensors", cwd=tmp_path) == (0, "Wrote b.safetensors\n", "")
    assert convert("b.safetensors", "c.npz", cwd=tmp_path) == (0, "Wrote c.npz\n", "")
    for name in ("b.safetensors", "c.npz"):
        found, metadata = read_arrays(tmp_path / name)
        same(arrays, found)
        assert metadata == METADATA


def test_a_program_reads_converted_weights(tmp_path):
    assert convert(ROOT / "weights" / "companies_32.npz", "w.safetensors", cwd=tmp_path)[0] == 0
    command = [sys.executable, ROOT / "examples" / "company_names.py", "generate", "--temperature", "0", "--weights"]
    outputs = [
        subprocess.run([*command, path], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
        for path in ("w.safetensors", ROOT / "weights" / "companies_32.npz")
    ]
    assert outputs[0].stdout == outputs[1].stdout and outputs[0].stdout


@pytest.mark.parametrize(("paths", "words"), [
    (("a.npz", "a.npz"), "in use for something else"), (("a.npz", "b.json"), "b.json: expected a name that ends in"),
    (("a.txt", "b.npz"), "a.txt: expected a name"), (("none.npz", "b.npz"), "none.npz: no such file"),
    (("a.npz", "."), "expected a name"), (("a.npz",), "see --help"),
])
def test_the_command_says_what_is_wrong(paths, words, tmp_path):
    write_arrays(tmp_path / "a.npz", {"w": np.zeros(3)}, {})
    code, _, error = convert(*paths, cwd=tmp_path)
    assert code == 2 and words in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
