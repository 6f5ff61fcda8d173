"""Names to languages: the commands, a killed run, bad input, and the trained weights."""

import json
import shutil
import subprocess

import numpy as np
import programs
import pytest
from conftest import ON_THREADS
from name_languages.network import WEIGHTS
from name_languages.train import RECIPES
from programs import DATA


def start(*arguments, **options):
    return programs.start("name_languages", *arguments, **options)


def run(*arguments, **options):
    return programs.run("name_languages", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("name_languages", *arguments, **options)


def test_a_run_of_each_recipe(tmp_path):
    for recipe, rows in (("best", 10), ("tutorial", 10)):
        out = tmp_path / recipe
        flags = ["--recipe", recipe, "--smoke", "--out", out, "--report", out / "report.json"]
        code, printed, err = run("train", *flags, cwd=tmp_path)
        assert (code, err) == (0, ""), err
        assert "3 languages" in printed and "chance is 1.099 nats" in printed
        report = json.loads((out / "report.json").read_text())
        assert 0.3 < report["accuracy"] <= 1 and 0.3 < report["mean_recall"] <= 1 and report["epochs"] == rows
        assert len((out / "history.jsonl").read_text().splitlines()) == rows
        for picture in ("loss.png", "confusion.png"):
            assert (out / picture).read_bytes().startswith(b"\x89PNG")
        code, printed, _ = run("predict", "--weights", out / "weights.npz", "--top", 2, "Sato", cwd=tmp_path)
        assert code == 0 and printed.startswith("\n> Sato\n") and printed.count(" % ") == 2
    assert "10000 100% (0m " in run("train", *flags[:-2], "--out", "x", cwd=tmp_path)[1]


def test_predicting(tmp_path):
    code, out, _ = run("predict", "Satoshi", "Ślusàrski", cwd=tmp_path)
    assert code == 0
    names, firsts = out.split("\n")[1::5], out.split("\n")[2::5]
    assert names == ["> Satoshi", "> Ślusàrski"]
    assert [line.split()[-1] for line in firsts] == ["Japanese", "Polish"]
    assert run("predict", cwd=tmp_path, input="Satoshi\r\n\nŚlusàrski")[1] == out
    assert run("predict", "--top", 99, "Satoshi", cwd=tmp_path)[1].count("%") == 18
    assert run("predict", " Satoshi ", cwd=tmp_path)[1].splitlines()[2:] == out.splitlines()[2:5]
    code, some, err = run("predict", "Satoshi", "王", "Ślusàrski", "12", cwd=tmp_path)
    assert (code, some) == (2, out) and "'王' has no letter" in err and "'12' has no letter" in err
    code, out, _ = run("predict", "A\x1b[31m<b>", cwd=tmp_path)
    assert code == 0 and "> A\\x1b[31m<b>" in out
    assert "no letter that the network knows" in refused("predict", "12345", cwd=tmp_path)
    assert "no letter that the network knows" in refused("predict", "", cwd=tmp_path)
    assert "10000 characters" in refused("predict", "x" * 10_000, cwd=tmp_path)
    assert "no names" in refused("predict", cwd=tmp_path, input="\n")
    run_bytes = start("predict", cwd=tmp_path, stdin=subprocess.PIPE, encoding=None)
    assert b"standard input: not UTF-8 (byte 3)" in run_bytes.communicate(b"Abe\xe9\n")[1]
    assert "invalid choice" in refused("guess", cwd=tmp_path)


def folder_of(tmp_path, **files):
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    for label, text in files.items():
        (folder / f"{label}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_ones_own_data(tmp_path):
    greek, upper = "άβγδεζηθικλμ", "abcdefghijkl"  # the first has an accent, in the names and in the alphabet
    names = {label: "\n".join(a + b for a in letters for b in letters) for label, letters in
             (("zeta", greek), ("alpha", upper))}
    folder = folder_of(tmp_path, **names)
    flags = ["--data", folder, "--out", "run", "--epochs", 12, "--hidden", 8, "--batch-size", 16]
    assert "zeta: none of its letters is in the alphabet" in refused("train", *flags, cwd=tmp_path)
    assert run("train", *flags, "--alphabet", greek + upper, cwd=tmp_path)[0] == 0
    flags = ["--weights", "run/weights.npz", "--data", folder, "--report", "e.json"]
    code, out, _ = run("evaluate", *flags, cwd=tmp_path)
    assert code == 0 and out.index("alpha") < out.index("zeta")
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["accuracy"] == report["mean_recall"] == 1
    folder_of(tmp_path, beta="bb\n")
    message = refused("evaluate", *flags, cwd=tmp_path)
    assert "was trained on the languages alpha, zeta; the data has alpha, beta, zeta" in message


def test_bad_data(tmp_path, monkeypatch):
    flags = ["train", "--out", "run", "--data"]
    assert "download.pytorch.org/tutorial/data.zip" in refused(*flags, "nowhere", cwd=tmp_path)
    assert "at least two" in refused(*flags, folder_of(tmp_path, Czech="Novak\n"), cwd=tmp_path)
    assert "Greek.txt: is empty" in refused(*flags, folder_of(tmp_path, Greek=b"\n \n"), cwd=tmp_path)
    assert "Greek.txt: not UTF-8 (byte 1)" in refused(*flags, folder_of(tmp_path, Greek=b"A\xe9"), cwd=tmp_path)
    assert "expected a folder" in refused(*flags, tmp_path / "data" / "Greek.txt", cwd=tmp_path)
    assert "--alphabet: expected at least one" in refused("train", "--alphabet", "", cwd=tmp_path)
    assert "--balance: expected a number from 0 to 1" in refused("train", "--balance", 2, cwd=tmp_path)
    assert "--members does not apply to" in refused("train", "--recipe", "tutorial", "--members", 2, cwd=tmp_path)
    folder = folder_of(tmp_path, Czech="x" * 201, Greek="Kouros\n")
    assert "has 201 characters" in refused(*flags, folder, cwd=tmp_path)
    message = refused("evaluate", "--data", folder, "--report", folder / "Greek.txt", cwd=tmp_path)
    assert "in use for something else" in message and (folder / "Greek.txt").read_text().startswith("Kouros")


@pytest.mark.thorough
def test_bad_weights(tmp_path):
    from scratch.tools.files import read_arrays, write_arrays

    arrays, metadata = read_arrays(WEIGHTS)
    for change in (
        {"hidden": 9}, {"hidden": -1}, {"hidden": 10**9}, {"labels": ["a"]}, {"labels": [3] * 18}, {"alphabet": "abc"},
        {"alphabet": 3}, {"layer": "rnn"}, {"recipe": "x"}, {"recipe": "tutorial"}, {"members": 99}, {"members": 2},
        {"program": "company_names"},
    ):
        write_arrays(tmp_path / "changed.npz", arrays, metadata | change)
        assert "changed.npz" in refused("predict", "--weights", "changed.npz", "Abe", cwd=tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("recipe", ["best", "tutorial"])
def test_a_killed_run_goes_on_to_the_bit(recipe, tmp_path):
    flags = ["train", "--smoke", "--recipe", recipe, "--seed", 4, "--epochs", 10]
    programs.goes_on_to_the_bit("name_languages", *flags, line=("epoch   3", "5000 "), cwd=tmp_path)
    assert run("predict", "--weights", tmp_path / "killed" / "weights.npz", "Sato", cwd=tmp_path)[0] == 0
    message = refused(*flags, "--out", "killed", "--resume", "--lr", 0.1, cwd=tmp_path)
    assert f"lr = {RECIPES[recipe]['lr']}, not 0.1" in message
    assert run("train", "--smoke", "--recipe", recipe, "--out", "other", cwd=tmp_path)[0] == 0
    shutil.copy(tmp_path / "other" / "weights.npz", tmp_path / "killed")
    if recipe == "best":
        assert "not of the run in" in refused(*flags, "--out", "killed", "--resume", cwd=tmp_path)
    else:  # its weights are those of the last epoch, which the checkpoint has
        assert run(*flags, "--out", "killed", "--resume", cwd=tmp_path)[0] == 0
        found, expected = (programs.weights(tmp_path / name / "weights.npz") for name in ("killed", "whole"))
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.thorough
@ON_THREADS
@pytest.mark.parametrize(("recipe", "threads"), [("best", ["--threads", 2]), ("tutorial", [])])
def test_the_losses_without_the_engine_are_the_same(recipe, threads, tmp_path):
    losses = []
    for engine in (["--plain"], threads):  # three epochs of the best recipe are 27 steps, with Dropout
        flags = ["--smoke", "--recipe", recipe, "--epochs", 3, "--out", f"run{len(losses)}", *engine]
        code, _, err = run("train", *flags, cwd=tmp_path)
        assert code == 0, err
        lines = (tmp_path / f"run{len(losses)}" / "history.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert len(losses[0]) == 3 and losses[0] == pytest.approx(losses[1], rel=0, abs=1e-4)


# The trained weights ----------------------------------------------------------------------------------


def test_the_order_of_the_labels_is_in_the_weights():
    from scratch.tools.files import read_metadata

    labels = read_metadata(WEIGHTS)["labels"]
    assert len(labels) == 18 and labels == sorted(labels)


def test_the_order_of_the_labels_is_not_the_file_system_s(tmp_path, monkeypatch):
    from pathlib import Path

    from scratch.tools.datasets import read_labelled_lines

    folder = folder_of(tmp_path, b="x\n", a="y\nx\ny\n", c="z\n")
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: sorted(glob(self, pattern), reverse=True))
    assert read_labelled_lines(folder) == {"a": ["y", "x"], "b": ["x"], "c": ["z"]}
    assert list(read_labelled_lines(folder)) == ["a", "b", "c"]


def test_the_scores_hold(tmp_path):
    if not (DATA / "names").is_dir():
        pytest.skip("the data set is not here")
    flags = ["--report", "out.json", "--plot", "c.png"]
    code, _, err = run("evaluate", *flags, cwd=tmp_path, env={"SCRATCH_DATA": str(DATA)})
    assert code == 0, err
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["accuracy"] >= 0.79 and report["mean_recall"] >= 0.55 and report["num_names"] == 3622
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
