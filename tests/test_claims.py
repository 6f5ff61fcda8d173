"""Files that claim more than they hold, through the real programs: refused in a line, quickly, in little memory."""

import gzip
import json
import zipfile

import numpy as np
import programs
import pytest
from bidaf import prepare
from bidaf.examples import smoke_data
from cifar10_files import batch_files, some_images, write
from mutations import DEEP
from programs import ROOT

from scratch.checks import ScratchError
from scratch.tools.datasets import read_glove
from scratch.tools.files import read_arrays, write_arrays

resource = pytest.importorskip("resource")  # only Unix has it
MEMORY, SECONDS = 600 * 2**20, 5  # of a whole program, with Python and its libraries; computing time
WEIGHTS = ROOT / "weights"


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def refused(name, *arguments, cwd):
    environment = {"OPENBLAS_NUM_THREADS": "1", "SCRATCH_DEVICE": "cpu"}
    return programs.refused(name, *arguments, cwd=cwd, preexec_fn=limit, env=environment)


def changed(name, folder, change, arrays=None, ending=".npz"):
    """A copy of committed weights whose metadata, or arrays, are others."""
    known, metadata = read_arrays(WEIGHTS / name)
    write_arrays(folder / f"w{ending}", known if arrays is None else arrays(known), metadata | change)
    return folder / f"w{ending}"


def numbered(count):
    return {f"w{k}": k for k in range(count)}


def characters(count):
    return {chr(0x10000 + k): k for k in range(count)}


def only_states(count):
    """The matrices of the recurrent states alone, and a bias of the last layer for `count` characters."""
    def arrays(known):
        return {name: array for name, array in known.items() if name.endswith(".u")} | {"b": np.zeros(count, "f4")}

    return arrays


def without_matrices(arrays):
    """Of each array one row, but of a vector all of it: the sizes can no longer be read from the matrices."""
    return {name: array if array.ndim == 1 else array[:1] for name, array in arrays.items()}


SAMPLE = ("char_lm", "sample", "--seed-text", "a", "--count", 3, "--weights")
PREDICT = ("movie_reviews", "predict", "good", "--weights")
CLAIMS = {
    "layers": (*SAMPLE, "shakespeare_lstm.npz", {"layers": 2**28}, None),
    "more layers": (*SAMPLE, "shakespeare_lstm.npz", {"layers": 10**30}, None),
    "layers of one unit": (*SAMPLE, "shakespeare_lstm.npz", {"layers": 10**6, "hidden": 1}, None),
    "hidden": (
        *SAMPLE, "shakespeare_lstm.npz", {"hidden": 40_000}, lambda arrays: {"layers.0.b": np.zeros(40_000, "f4")}
    ),
    "characters": (*SAMPLE, "shakespeare_lstm.npz", {"vocabulary": characters(300_000)}, only_states(300_000)),
    "embedded characters": (
        "alice", "generate", "--weights", "alice_lstm.npz", {"vocabulary": characters(50_000), "input": "embedding"},
        only_states(50_000),
    ),
    "hidden of names": (
        "name_languages", "predict", "Ng", "--weights", "name_languages.npz", {"hidden": 40_000},
        lambda arrays: {"b": np.zeros(40_000, "f4")},
    ),
    "words": (
        *PREDICT, "reviews_glove_phrase.npz", {"vocabulary": numbered(300_000)},
        lambda arrays: without_matrices(arrays) | {"embedding.b": np.zeros(300_000, "f4")},
    ),
    "embedding": (
        *PREDICT, "reviews_lstm_phrase.npz", {"dim": 50_000, "hidden": 50_000}, without_matrices
    ),
    "widths": ("cifar10", "show", "--count", 1, "--weights", "cifar10.npz", {"widths": [64, 50_000, 50_000]}, None),
    "members": ("name_languages", "predict", "Ng", "--weights", "name_languages.npz", {"members": 10**6}, None),
    "text": ("char_cnn", "predict", "--text", "a", "--model", "ag_news.npz", {"max_length": 10**6, "config": {
        "conv": [[32, 1, -1], [256, 5, 2]], "fc": [256], "dropout": 0.5, "batch_norm": True}}, None),
    "features": ("bidaf", "ask", "--weights", "bidaf_fast.npz", {"features": 10**6, "hidden": 10**6}, None),
    "names": (
        "company_names.py", "generate", "--weights", "companies_32.npz", {"hidden": 10**6},
        lambda arrays: {"layers.2.w": np.zeros((52, 1), "f4")},
    ),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_sizes_are_compared_with_the_arrays_before_a_network_is_built(case, tmp_path):
    *command, name, change, arrays = CLAIMS[case]
    assert "w.npz: " in refused(*command, changed(name, tmp_path, change, arrays), cwd=tmp_path)


@pytest.mark.needs("safetensors")
@pytest.mark.parametrize("case", ["layers", "hidden", "widths"])
def test_so_they_are_in_the_other_format(case, tmp_path):
    *command, name, change, arrays = CLAIMS[case]
    path = changed(name, tmp_path, change, arrays, ".safetensors")
    assert "w.safetensors: " in refused(*command, path, cwd=tmp_path)


def test_labels_are_not_unpacked_beyond_what_they_can_be(tmp_path):
    (tmp_path / "sheets").mkdir()
    np.savez_compressed(tmp_path / "labels.npz", order=np.zeros(2**24), train=np.zeros(9), test=np.zeros(9))
    error = refused("cifar10", "show", "--data", tmp_path, cwd=tmp_path)
    assert "labels.npz: damaged" in error and "unpacks to more than" in error


def test_a_pickle_of_images_does_not_grow(tmp_path):
    files = batch_files(some_images(), "py")
    # A list that holds another one twice, which holds another one twice, ...
    files["data_batch_1"] = b"\x80\x02}(U\x04dataU\x01aU\x06labels]" + 60 * b"q\x01h\x01\x86" + b"u."
    write(tmp_path / "c", files)
    assert "data_batch_1" in refused("cifar10", "show", "--data", "c", cwd=tmp_path)


def test_a_line_of_vectors_has_a_limit(tmp_path):
    (tmp_path / "g.txt.gz").write_bytes(gzip.compress(b"0 " * 2**19) * 500)  # a line of 500 MB
    (tmp_path / "s").mkdir()
    questions = [{"id": "1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}]
    squad = {"data": [{"title": "x", "paragraphs": [{"context": "Ann sings.", "qas": questions}]}]}
    for name in ("train-v1.1.json", "dev-v1.1.json"):
        (tmp_path / "s" / name).write_text(json.dumps(squad))
    flags = ["prepare", "--whole", "--data", "s", "--glove", "g.txt.gz", "--out", "p"]
    assert "a line has more than" in refused("bidaf", *flags, cwd=tmp_path)


def test_a_word_that_occurs_often_is_read_once(tmp_path):
    (tmp_path / "g.txt").write_text("the 0.5 1\n" * 300_000 + "of 2 3\n" + "bad 1\n")
    words, vectors = read_glove(tmp_path / "g.txt", {"the", "of"})  # and no line after the last wanted word
    assert words == ["the", "of"] and vectors.tolist() == [[0.5, 1], [2, 3]]
    with pytest.raises(ScratchError, match="line 300002"):
        read_glove(tmp_path / "g.txt")


@pytest.mark.parametrize(
    "text", ["[" * DEEP + "]" * DEEP, '{"tiny":' * DEEP + "0" + "}" * DEEP, '{"tiny": ' + "[" * DEEP],
    ids=["lists", "objects", "open"],
)
def test_json_is_not_followed_without_end(text, tmp_path):
    (tmp_path / "c.json").write_text(text)
    (tmp_path / "t.csv").write_text("SentimentText,Sentiment\na,0\nb,1\n" * 9)
    flags = ["train", "--data", "t.csv", "--config_path", "c.json", "--size", "tiny"]
    assert "c.json: damaged, or not JSON" in refused("char_cnn", *flags, cwd=tmp_path)
    data, words = smoke_data(), prepare.lexicon_of(*smoke_data(), glove=None, word_length=1)
    prepare.write_prepared(tmp_path / "p.npz", data, words, whole=False)
    arrays, metadata = read_arrays(tmp_path / "p.npz")
    write_arrays(tmp_path / "p.npz", arrays | {"learn": np.frombuffer(text.encode(), np.uint8)}, metadata)
    assert "p.npz: learn is damaged" in refused("bidaf", "train", "--prepared", "p.npz", cwd=tmp_path)


@pytest.mark.parametrize(("change", "words"), [
    ({"progress": 7}, "progress: expected an object, got 7"), ({"progress": [1]}, "progress: expected an object"),
    ({"progress": {"epoch": 1, "rows": 3, "seconds": 0, "state": {}}}, "progress: rows: expected a list, got 3"),
    ({"progress": {"epoch": "1", "rows": [], "seconds": 0, "state": {}}}, "progress: epoch: expected a whole number"),
    ({"progress": {"epoch": 9, "rows": [], "seconds": 0, "state": {}}}, "one row of figures for each of 9 epochs"),
    ({"progress": {"epoch": 1, "rows": [{"epoch": 1}], "seconds": 0, "state": {}}}, "rows[0]: loss: expected a finite"),
    ({"progress": {"epoch": 0, "rows": [], "seconds": None, "state": {}}}, "seconds: expected"),
    ({"random": 3}, "random: expected a list of 3"), ({"optimizer": []}, "optimizer: expected an object"),
    ({"settings": []}, "not a checkpoint"), ({"format": "x"}, "older version"),
])
def test_a_checkpoint_of_other_types_is_refused(change, words, tmp_path):
    flags = ["--smoke", "--epochs", 1, "--out", "run"]
    assert programs.run("company_names.py", *flags, cwd=tmp_path)[0] == 0
    arrays, metadata = read_arrays(tmp_path / "run" / "checkpoint.npz")
    write_arrays(tmp_path / "run" / "checkpoint.npz", arrays, metadata | change)
    assert words in refused("company_names.py", *flags, "--resume", cwd=tmp_path)


@pytest.mark.parametrize("name", ["\x1b]0;evil\x07", "w\u202e", 300 * "n"])
def test_names_of_arrays_are_plain_text(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr(f"{name}.npy", b"")
    error = refused(*SAMPLE, "w.npz", cwd=tmp_path)
    assert "is not the name of an array" in error and "\x1b" not in error and "\u202e" not in error


def test_an_array_that_python_2_wrote_is_refused_without_a_warning(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L,), }\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(12)
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.npy", array)
    with pytest.raises(ScratchError, match="w has a damaged or unsupported header"):
        read_arrays(tmp_path / "w.npz")
