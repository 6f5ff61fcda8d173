"""Weights of one's own are evaluated on the data that they were trained on, wherever the program is started."""

import importlib
import json
import random
import shutil
from pathlib import Path

import cifar10_files
import pytest
from test_bidaf_programs import article

from scratch.checks import ScratchError
from scratch.tools.files import read_arrays, write_arrays


def a_text(folder):
    letters = random.Random(0)
    path = folder / "novel.txt"
    path.write_text("".join(letters.choice("abcd \n") for _ in range(900)))
    return path


def a_folder_of_names(folder):
    names = {"zeta": "abcdef", "alpha": "ghijkl"}
    for label, letters in names.items():
        (folder / f"{label}.txt").write_text("".join(f"{a}{b}\n" for a in letters for b in letters))
    return folder


def phrases(folder):
    rows = [f"{k}\t{k}\t{'good' if k % 2 else 'bad'} film {k}\t{k % 5}\n" for k in range(1, 90)]
    (folder / "train.tsv").write_text("PhraseId\tSentenceId\tPhrase\tSentiment\n" + "".join(rows))
    return folder / "train.tsv"


def images(folder):
    return cifar10_files.write(folder / "cifar", cifar10_files.batch_files(cifar10_files.some_images(), "bin"))


def questions(folder):
    for name, articles in {
        "train-v1.1.json": [article("A", ["Ann", "Bob", "Eve", "Kim"])],
        "dev-v1.1.json": [article("Warsaw", ["Max", "Tom"]), article("Oxygen", ["Zoe", "Ulf"])],
    }.items():
        (folder / name).write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    (folder.parent / "g.txt").write_text("lives 1 2 3\nin 3 2 1\nwhere 0 1 2\n")
    return folder


def prepared(folder):
    data = questions(folder)
    importlib.import_module("bidaf.prepare").command(
        ["--data", str(data), "--glove", str(folder.parent / "g.txt"), "--out", str(folder / "p")]
    )
    return folder / "p" / "prepared.npz"


SMALL = ["--epochs", "1", "--hidden", "4", "--batch-size", "4"]
OF_SQUAD = [*SMALL, "--features", "3"]
# The program, its data, the flags that name it, and those that make the training short.
CASES = {
    "char_lm": (a_text, [], [*SMALL, "--layers", "1"]),
    "char_lm --data": (a_text, ["--data"], [*SMALL, "--layers", "1"]),
    "alice": (a_text, [], SMALL),
    "name_languages": (a_folder_of_names, ["--data"], [*SMALL, "--members", "1"]),
    "movie_reviews": (phrases, ["--data"], ["--model", "characters", "--epochs", "1"]),
    "cifar10": (images, ["--data"], ["--epochs", "1", "--batch-size", "4", "--recipe", "document"]),
    "bidaf": (questions, ["--data"], [*OF_SQUAD, "--glove", "../g.txt"]),
    "bidaf --prepared": (prepared, ["--prepared"], OF_SQUAD),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_are_evaluated_on_the_data_they_learned(case, tmp_path, monkeypatch, capsys):
    make, flag, short = CASES[case]
    name = case.split()[0]
    train, evaluate = (importlib.import_module(f"{name}.{command}") for command in ("train", "evaluate"))
    if name == "cifar10":
        monkeypatch.setitem(importlib.import_module("cifar10.network").WIDTHS, "document", (4, 4, 4, 4))
    for variable in ("SCRATCH_DATA", "XDG_CACHE_HOME"):  # nothing known is here
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    (tmp_path / "mine").mkdir()
    data = make(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    train.command([*flag, str(data.relative_to(tmp_path / "mine")), *short, "--out", "run"])

    monkeypatch.chdir(tmp_path)  # where the path that was given leads nowhere
    weights = tmp_path / "mine" / "run" / "weights.npz"
    given = ["--data", str(data)] if flag else [str(data)]
    found = []
    for flags in ([], given):
        capsys.readouterr()
        evaluate.command(["--weights", str(weights), "--report", "report.json", *flags])
        found.append(json.loads(Path("report.json").read_text()))
        found[-1].pop("seconds", None)
    assert found[0] == found[1]

    arrays, metadata = read_arrays(weights)
    write_arrays("older.npz", arrays, {key: value for key, value in metadata.items() if key != "data"})
    write_arrays("other.npz", arrays, metadata | {"digest": 64 * "0"})
    with pytest.raises(ScratchError, match=r"older\.npz: does not record its training data; give --data"):
        evaluate.command(["--weights", "older.npz"])
    with pytest.raises(ScratchError, match=r"not the data that other\.npz was trained on; .* --data"):
        evaluate.command(["--weights", "other.npz"])
    if data.is_dir():
        (tmp_path / "mine").rename(tmp_path / "moved")
        weights = tmp_path / "moved" / "run" / "weights.npz"
    else:
        data.unlink()
    with pytest.raises(ScratchError, match=r"which no longer exists; give --data"):
        evaluate.command(["--weights", str(weights)])


def test_the_record_is_a_name_for_a_known_set(tmp_path, monkeypatch, capsys):
    from char_lm import compare, evaluate, train

    for name in ("aesop", "shakespeare"):
        (tmp_path / name).mkdir()
        shutil.copy(a_text(tmp_path), tmp_path / name / ("pg21.txt" if name == "aesop" else "input.txt"))
    with open(tmp_path / "shakespeare" / "input.txt", "a") as file:
        file.write("other letters")
    monkeypatch.setenv("SCRATCH_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    train.command(["aesop", *SMALL, "--layers", "1", "--out", "run"])
    assert read_arrays("run/weights.npz")[1]["data"] == "aesop"
    for command in (evaluate.command, compare.command):
        command(["--weights", "run/weights.npz", *(["--order", "2"] if command is compare.command else [])])
    assert "90 held-out characters" in capsys.readouterr().out
