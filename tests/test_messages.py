"""What programs print and draw: one line, short, and nothing that a terminal obeys."""

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import programs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scratch.tools import outgoing, plots, program

EVIL = "\x1b]0;evil\x07\x9b2J\u202e"
OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@given(st.text(max_size=40), st.integers(1, 2000))
@example(EVIL, 60_000)
@example("caf\udce9\ud800", 1)
def test_a_message_is_one_short_line_that_no_terminal_obeys(text, times):
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        program._say(f"error: {text * times}; try another")
        said = sys.stderr.getvalue()
    finally:
        sys.stderr = before
    assert said.endswith("; try another\n") and said.count("\n") == 1
    assert len(said) < 700 and not OBEYED.search(said)
    said.encode()


@given(st.text(max_size=40))
@example(EVIL)
def test_what_is_printed_lays_out_a_terminal_and_does_no_more(text):
    before, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    outer = sys.stdout
    try:
        with outgoing.escaping():
            print(text, json.dumps({"text": text}, ensure_ascii=False), sep="\n")
        assert sys.stdout is outer
        outer.flush()
        printed = outer.buffer.getvalue().decode("utf-8")
    finally:
        sys.stdout = before
    assert not OBEYED.search(printed.replace("\t", ""))
    assert json.loads(printed.split("\n")[-2]) == {"text": text}  # still JSON


@pytest.mark.parametrize("make", [
    lambda folder: (folder / "f").write_text(f"{EVIL},label\na,1\n", encoding="utf-8"),
    lambda folder: (folder / "f").write_text(f"SentimentText,Sentiment\na,{EVIL}\nb,2\n", encoding="utf-8"),
    lambda folder: (folder / "f").write_text(json.dumps({EVIL: {}})),
    lambda folder: (folder / "f").write_text(json.dumps({"small": {"conv": [[1, 1, 1]], "fc": [], EVIL: 1}})),
], ids=["header", "label", "size", "key"])
def test_control_characters_of_a_file_are_shown(make, tmp_path):
    make(tmp_path)
    is_table = (tmp_path / "f").read_text()[0] != "{"
    flag, more = ("--data", ["--number_of_classes", 9]) if is_table else ("--config_path", ["--smoke"])
    error = programs.refused("char_cnn", "train", flag, "f", *more, cwd=tmp_path)
    assert "evil" in error and not OBEYED.search(error)


def test_control_characters_of_names_and_labels_are_shown(tmp_path):
    folder = tmp_path / f"names{EVIL}"
    folder.mkdir()
    for label in ("A", f"B{EVIL}"):
        (folder / f"{label}.txt").write_text("\n".join(a + b for a in "abcdef" for b in "abcdef"))
    flags = ["--data", folder, "--out", f"out{EVIL}", "--epochs", 1, "--hidden", 4]
    code, out, err = programs.run("name_languages", "train", *flags, cwd=tmp_path)
    assert code == 0 and "evil" in out, err
    flags = ["--data", folder, "--weights", tmp_path / f"out{EVIL}" / "weights.npz"]
    for arguments in (["evaluate", *flags], ["predict", *flags[2:], "abba"]):
        code, more, err = programs.run("name_languages", *arguments, cwd=tmp_path)
        assert code == 0 and "evil" in more, err
        out += more
    assert not OBEYED.search(out + err)


ARGUMENT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.one_of(ARGUMENT, ARGUMENT.map(lambda text: f"{text}\udce9")), max_size=4))
@example(["caf\udce9 \u00e4'\\", EVIL, "$HOME", "a\nb", ""])
def test_a_shell_reads_a_printed_command_as_it_was_given(arguments):
    line = program.command_line("examples/alice", arguments)
    assert not OBEYED.search(line) and line.encode()
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True).stdout
    expected = ["python", "examples/alice", *arguments]
    assert read == b"".join(argument.encode("utf-8", "surrogateescape") + b"\0" for argument in expected)


def test_a_printed_path_is_not_taken_for_a_flag():
    assert program.command_line("p", ["--model", Path("-x/w.npz"), Path("y")]) == "python p --model ./-x/w.npz y"


def test_a_run_in_a_folder_with_an_odd_name_prints_a_command_that_runs(tmp_path):
    code, out, err = programs.run("name_languages", "train", "--smoke", "--out", "./-x", cwd=tmp_path)
    assert code == 0, err
    (more,) = [line.split(maxsplit=3)[3] for line in out.splitlines() if line.startswith("Try:")]
    command = f"{sys.executable} {programs.ROOT}/examples/name_languages {more}"
    run = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=programs.environment(), capture_output=True)
    assert run.returncode == 0 and b"Satoshi" in run.stdout, run.stderr


def test_without_a_home_a_program_is_quiet(tmp_path):
    home = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}
    code, _, err = programs.run("company_names.py", "--smoke", cwd=tmp_path, env=home)
    assert (code, err) == (0, "") and (tmp_path / "runs/company_names/loss.png").exists()


def test_long_labels_are_drawn_at_once(tmp_path):
    started, words = time.perf_counter(), ["x" * 10**6, "b"]
    plots.confusion_matrix(tmp_path / "a.png", np.eye(2), words)
    plots.attention_map(tmp_path / "b.png", np.eye(2), words, words, range(1))
    plots.image_grid(tmp_path / "c.png", [np.zeros((2, 2, 3))] * 2, words)
    plots.labelled_points(tmp_path / "d.png", np.eye(2), words)
    assert time.perf_counter() - started < 20
