"""Arguments, standard input and missing files: every program takes and refuses them alike."""

import io
import os
import subprocess
import sys
from pathlib import Path

import company_names
import programs
import pytest
from alice import generate
from alice import train as alice_train
from bidaf import ask
from bidaf import train as bidaf_train
from char_cnn import evaluate as char_cnn_evaluate
from char_cnn import predict as char_cnn_predict
from char_cnn import train as char_cnn_train
from char_lm import sample
from char_lm import train as char_lm_train
from cifar10 import show
from movie_reviews import predict as reviews_predict
from movie_reviews import train as reviews_train
from name_languages import predict as names_predict
from name_languages import train as names_train
from PIL import Image

from scratch.checks import ScratchError
from scratch.tools import incoming, program
from scratch.tools.files import read_lines


def company(arguments):
    company_names.argv[:], before = ["company_names.py", *arguments], list(company_names.argv)
    try:
        company_names.main()
    finally:
        company_names.argv[:] = before


TEXTS = {  # the command that takes a text, its name in tests/programs.py, and the arguments around that text
    "alice": (generate.command, ["generate", "--count", "3", "--seed", "1", "--skip-unknown", "--seed-text"]),
    "char_lm": (sample.command, ["sample", "--count", "3", "--seed", "1", "--skip-unknown", "--seed-text"]),
    "company_names.py": (company, ["generate", "--count", "2", "--seed-text"]),
    "name_languages": (names_predict.command, ["predict"]),
    "char_cnn": (char_cnn_predict.command, ["predict", "--text"]),
    "movie_reviews": (reviews_predict.command, ["predict"]),
    "bidaf": (ask.command, ["ask", "Who sang?", "--paragraph"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_in_a_c_locale_arguments_are_utf_8_too(name, tmp_path):
    _, arguments = TEXTS[name]
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    expected = programs.run(name, *arguments, "M\u00e4dchen sang .", cwd=tmp_path, env={"PYTHONUTF8": "1"})
    found = programs.run(name, *arguments, "M\u00e4dchen sang .", cwd=tmp_path, env=c_locale)
    shown = [text.encode("ascii", "backslashreplace").decode() for text in expected[1:]]
    assert found == (expected[0], *shown) and "UTF-8" not in expected[2]


@pytest.mark.parametrize("name", TEXTS)
def test_an_argument_that_is_not_utf_8_is_refused(name):
    command, arguments = TEXTS[name]
    with pytest.raises(ScratchError, match="expected text in UTF-8"):
        command([*arguments[name != "company_names.py" :], "caf\udce9 sang"])


def test_the_name_of_a_file_need_not_be_utf_8(tmp_path):
    names = os.fsencode(tmp_path) + b"/n\xe9.txt"
    with open(names, "wb") as file:
        file.write(b"Ann\nBob\nEve\n")
    assert read_lines(os.fsdecode(names)) == ["Ann", "Bob", "Eve"]
    parser = program.Parser("")
    parser.common(data=None)
    for argument in (os.fsdecode(names), "caf\u00e9"):
        assert parser.parse_args(["--data", argument]).data == Path(argument)


ODD = "n\udce9"  # a byte that is no UTF-8
TALE, TABLE = "a cat sat on a mat. " * 20, "SentimentText,Sentiment\n" + "good,1\nbad,2\n" * 8
PAIRS, PICTURE = "\n".join(a + b for a in "abcdef" for b in "abcdef"), io.BytesIO()
Image.new("RGB", (32, 32)).save(PICTURE, "PNG")
SMALL = ["--epochs", 1, "--hidden", 4]
OWN = [  # each program, a file of one's own, and the flags of a short run that reads it
    ("alice", TALE, ["train", ODD, *SMALL, "--sequence", 10, "--batch-size", 4]),
    ("bidaf", "Ann sang. Bob ran.", ["ask", "Who sang?", "--paragraph", ODD, "--plot", "p.png"]),
    ("char_cnn", TABLE, ["train", "--data", ODD, "--size", "compact", "--epochs", 1, "--model_name", ODD]),
    ("char_cnn", "2,good\n", ["evaluate", "--data", ODD, "--text_column", 2, "--label_column", 1, "--plot", "p.png"]),
    ("char_lm", TALE, ["train", ODD, *SMALL, "--sequence", 5, "--batch-size", 4]),
    ("cifar10", PICTURE.getvalue(), ["show", "--images", ODD, "--plot", "p.png"]),
    ("company_names.py", "Ann\nBob\nEve\n", ["--names", ODD, "--smoke"]),
    ("movie_reviews", "\n".join(["head", *(f"{k}\t{k}\tgood\t{k % 5}" for k in range(99))]), [
        "train", "--data", ODD, "--model", "characters", "--summary"]),
    ("name_languages", {"A.txt": PAIRS, "B.txt": PAIRS}, ["train", "--data", ODD, *SMALL]),
]


def write(path, content):
    if isinstance(content, dict):
        path.mkdir()
        for name, text in content.items():
            write(path / name, text)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(("name", "content", "flags"), OWN, ids=[f"{name} {flags[0]}" for name, _, flags in OWN])
def test_a_file_of_ones_own_may_have_any_name(name, content, flags, tmp_path):
    write(tmp_path / ODD, content)
    out = ["--out", f"out{ODD}"] if "--plot" not in flags else []
    code, _, err = programs.run(name, *flags, *out, cwd=tmp_path)
    assert code == 0, err


STDIN = {
    "alice": (generate.command, ["--count", "3", "--seed", "1", "--seed-text", "-"], "alice"),
    "name_languages": (names_predict.command, [], "Abe"),
    "char_cnn": (char_cnn_predict.command, [], "I love pizza"),
    "movie_reviews": (reviews_predict.command, [], "A quiet film"),
    "bidaf": (ask.command, ["Who sang?", "--paragraph", "-"], "Ann sang ."),
}


def with_input(monkeypatch, content):
    stdin = None if content is None else io.TextIOWrapper(io.BytesIO(content), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stdin)


@pytest.mark.parametrize("name", STDIN)
def test_every_program_reads_standard_input_alike(name, monkeypatch, capsys):
    command, arguments, text = STDIN[name]

    def printed(content):
        with_input(monkeypatch, content)
        command(list(arguments))
        return capsys.readouterr().out

    expected = printed(f"{text}\n".encode())
    assert expected == printed(text.encode()) == printed(f"\ufeff{text}\r\n".encode())


@pytest.mark.parametrize("name", STDIN)
@pytest.mark.parametrize(("content", "words"), [
    (None, "no |expected "), (b"", "no |expected "), (b"\r\n", "no |expected "),
    (b"Ann \xe9", "standard input: not UTF-8 .byte 4"), (b"a\0", "standard input: has a zero byte at 1"),
], ids=["closed", "empty", "blank", "latin-1", "binary"])
def test_every_program_refuses_standard_input_alike(name, content, words, monkeypatch):
    command, arguments, _ = STDIN[name]
    with_input(monkeypatch, content)
    with pytest.raises(ScratchError, match=words):
        command(list(arguments))


def test_standard_input_that_is_closed(tmp_path):
    """As a shell closes it: then Python has no sys.stdin."""
    command = [sys.executable, str(programs.ROOT / "examples/name_languages"), "predict"]
    shell = ["bash", "-c", '"$@" <&-', "bash", *command]
    run = subprocess.run(shell, cwd=tmp_path, env=programs.environment(), capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.startswith("name_languages: error: no names"), run.stderr


MISSING = {
    "alice text": (alice_train.command, ["nowhere.txt"]),
    "alice data": (alice_train.command, ["--data", "nowhere.txt"]),
    "alice weights": (generate.command, ["--weights", "nowhere.npz"]),
    "bidaf data": (bidaf_train.command, ["--data", "nowhere"]),
    "bidaf prepared": (bidaf_train.command, ["--prepared", "nowhere.npz"]),
    "bidaf paragraph": (ask.command, ["Who?", "--paragraph", "nowhere.txt"]),
    "bidaf weights": (ask.command, ["--weights", "nowhere.npz"]),
    "char_cnn data": (char_cnn_train.command, ["--data", "nowhere.csv"]),
    "char_cnn configuration": (char_cnn_train.command, ["--smoke", "--config_path", "nowhere.json"]),
    "char_cnn test data": (char_cnn_evaluate.command, ["--data", "nowhere.csv"]),
    "char_cnn weights": (char_cnn_predict.command, ["--model", "nowhere.npz", "--text", "x"]),
    "char_lm text": (char_lm_train.command, ["nowhere.txt"]),
    "char_lm weights": (sample.command, ["--weights", "nowhere.npz"]),
    "cifar10 images": (show.command, ["--images", "nowhere.png"]),
    "cifar10 weights": (show.command, ["--weights", "nowhere.npz"]),
    "company_names names": (company, ["--names", "nowhere.txt"]),
    "company_names weights": (company, ["generate", "--weights", "nowhere.npz"]),
    "movie_reviews data": (reviews_train.command, ["--data", "nowhere.tsv"]),
    "movie_reviews weights": (reviews_predict.command, ["--weights", "nowhere.npz", "x"]),
    "name_languages data": (names_train.command, ["--data", "nowhere"]),
    "name_languages weights": (names_predict.command, ["--weights", "nowhere.npz", "x"]),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_file_that_is_not_there_is_named_by_every_program(name, tmp_path, monkeypatch):
    command, arguments = MISSING[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScratchError, match=r"^nowhere.*: no such file"):
        command(list(arguments))


def test_a_refusal_of_the_operating_system_has_no_number():
    for error, words in (
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "a.txt: no such file"),
        (IsADirectoryError(21, "Is a directory", "a"), "a: is a folder; expected a file"),
        (PermissionError(13, "Permission denied", "a"), "a: permission denied"), (OSError("Odd"), "odd"),
    ):
        assert incoming.in_words(error) == words
