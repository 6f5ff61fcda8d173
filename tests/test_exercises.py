"""The exercises that check themselves: every answer in the docs passes, every unwritten one is told so."""

import subprocess
import sys

import numpy
import pytest
from pages import ANSWERS, answers_to
from programs import environment

from scratch.checks import ScratchError
from scratch.exercises import check, exercises
from scratch.exercises.__main__ import main
from scratch.exercises.checking import verdict

ALL = [(chapter, name) for chapter, those in exercises().items() for name in those]


@pytest.fixture(scope="module")
def answers():
    return {chapter: answers_to(chapter) for chapter in exercises()}


@pytest.mark.parametrize(("chapter", "name"), ALL)
def test_the_answer_is_right(chapter, name, answers):
    assert verdict(f"{chapter}.{name}", answers[chapter][name]) == ""


@pytest.mark.parametrize("chapter", exercises())
def test_the_questions_are_written_then_refused(chapter, tmp_path, capsys):
    main([chapter, "--folder", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main([chapter, "--folder", str(tmp_path)])
    assert stopped.value.code == 1
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == list(exercises()[chapter])
    assert not any(line.endswith(": correct") for line in lines)


@pytest.mark.parametrize("chapter", exercises())
def test_the_answers_pass_through_the_command(chapter, tmp_path, capsys):
    (tmp_path / f"{chapter}.py").write_text((ANSWERS / f"{chapter}.py").read_text(encoding="utf-8"), encoding="utf-8")
    main([chapter, "--folder", str(tmp_path)])
    assert capsys.readouterr().out.count(": correct") == len(exercises()[chapter])


def test_every_answer_belongs_to_an_exercise():
    assert {path.stem for path in ANSWERS.glob("*.py")} == exercises().keys()


def test_a_wrong_answer_is_told_what_is_wrong(answers, capsys):
    right = answers["dense"]["Scale"]

    class Forgetful(right):
        def backward(self, gradient):
            (input,) = self.recall(gradient)
            self.w.grad += (gradient * input).sum(axis=0)
            return gradient

    check("dense.Scale", Forgetful)
    assert "the gradient of input 0 differs from central differences by" in capsys.readouterr().out

    class Silent(right):
        def forward(self, input):
            super().forward(input)

    assert verdict("dense.Scale", Silent) == "the output is None: is there a `return`?"

    class Broken(right):
        def forward(self, input):
            return input @ numpy.ones(2)

    assert verdict("dense.Scale", Broken).startswith("ValueError: ")
    assert verdict("dense.by_hand", {"w": [[5, 10]], "b": [0.5], "x": [1, 2]}) == (
        "the gradient of x is [1, 2], expected [1. , 1.5]"
    )


def test_a_file_that_cannot_run_and_an_unknown_chapter(tmp_path, capsys):
    (tmp_path / "dense.py").write_text("1 / 0\n")
    with pytest.raises(ScratchError, match="could not be run"):
        main(["dense", "--folder", str(tmp_path)])
    assert "ZeroDivisionError" in capsys.readouterr().err
    with pytest.raises(ScratchError, match="choose from"):
        main(["cooking"])
    main([])
    assert "dense: by_hand, Scale" in capsys.readouterr().out
    with pytest.raises(ValueError, match="there is no exercise 'dense"):
        check("dense.Nothing", None)


def test_the_command_ends_as_programs_do(tmp_path):
    command = [sys.executable, "-m", "scratch.exercises"]
    options = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True}
    wrong = subprocess.run([*command, "cooking"], **options)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and wrong.stderr.startswith("exercises: error: ")
    assert subprocess.run([*command, "dense"], **options).returncode == 0
    assert subprocess.run([*command, "dense"], **options).returncode == 1
