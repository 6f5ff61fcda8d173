"""What the commands that answer say: line by line on a terminal, and nothing where they know nothing of a text."""

import ast
import math
import os

import numpy as np
import programs
import pytest

from scratch.backend import to_device
from scratch.losses import Loss
from scratch.tools import program
from scratch.tools.run import Run

pty = pytest.importorskip("pty")  # only Unix has it

TALKING = {  # a line that is answered, and a line that is not
    "name_languages predict": ("Satoshi", "12"),
    "char_cnn predict": ("Oil prices fell", "\N{SNOWMAN}"),
    "movie_reviews predict": ("a quiet film", "xqzt"),
    "movie_reviews predict --model lstm": ("a quiet film", "xqzt"),
    "movie_reviews predict --model characters": ("a quiet film", "\N{SNOWMAN}"),
}


class Terminal:
    """A program whose standard input, output and error are a terminal."""

    def __init__(self, *arguments, cwd):
        self.shown, (self.end, other) = "", pty.openpty()
        name, *arguments = arguments
        self.process = programs.start(name, *arguments, cwd=cwd, stdin=other, stdout=other, stderr=other)
        os.close(other)

    def until(self, text):
        """What is shown next, up to `text`."""
        while text not in self.shown:
            try:
                piece = os.read(self.end, 4096)
            except OSError:
                piece = b""
            assert piece, self.shown
            self.shown += piece.decode().replace("\r\n", "\n")
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, text):
        os.write(self.end, text.encode())


@pytest.mark.parametrize("command", TALKING)
def test_a_terminal_is_answered_line_by_line(command, tmp_path):
    good, bad = TALKING[command]
    terminal = Terminal(*command.split(), cwd=tmp_path)
    assert "one per line; Ctrl-D ends" in terminal.until("\n> ")
    for line, answered in ((good, True), (bad, False), ("", False), (good, True)):
        terminal.type(f"{line}\n")
        answer = terminal.until("\n> ")
        if "name_languages" in command and answered:
            answer = terminal.until("\n> ")  # the answer shows the name in the same way
        assert ("error:" in answer) == (line == bad) and (len(answer) > 40) == bool(line), answer
    terminal.type("\x04")
    assert terminal.process.wait(timeout=20) == 0
    os.close(terminal.end)


@pytest.mark.parametrize("command", ["bidaf ask --paragraph -", "alice generate --count 5 --seed-text -"])
def test_a_terminal_is_told_what_to_type(command, tmp_path):
    terminal = Terminal(*command.split(), cwd=tmp_path)
    assert "then Ctrl-D" in terminal.until("\n")
    terminal.type("the queen is the world champion\n\x04")
    assert terminal.process.wait(timeout=20) == 0
    os.close(terminal.end)


@pytest.mark.parametrize("command", TALKING)
def test_there_is_no_answer_to_a_text_of_which_nothing_is_known(command, tmp_path):
    good, bad = TALKING[command]
    for lines in (f"{bad}\n", f"{bad}\n{good}\n"):
        code, out, err = programs.run(*command.split(), cwd=tmp_path, input=lines)
        assert code == 2 and err.count("\n") == 1 and repr(bad) in err, err
        assert bad not in out and (good in out) == (good in lines)


def test_empty_phrases_and_questions_in_unknown_letters_are_refused(tmp_path):
    for model, unit in (("glove", "word"), ("lstm", "word"), ("characters", "character")):
        message = programs.refused("movie_reviews", "predict", "--model", model, "", cwd=tmp_path)
        assert f"has no {unit} that the network knows" in message
    for arguments in (["谁?"], ["Who?", "--paragraph", "王在这里。"], ["?"]):
        assert "has no word that the network knows" in programs.refused("bidaf", "ask", *arguments, cwd=tmp_path)


def test_languages_in_per_cent_or_as_the_tutorial_prints_them(tmp_path):
    code, out, _ = programs.run("name_languages", "predict", "Satoshi", "--top", 18, cwd=tmp_path)
    first, *others = [line.split("%") for line in out.splitlines()[2:]]
    assert code == 0 and float(first[0]) > 99 and first[1].strip() == "Japanese" and others[-1][0].strip() == "< 0.1"
    code, out, _ = programs.run("name_languages", "predict", "Satoshi", "--log-probabilities", cwd=tmp_path)
    assert code == 0 and out.splitlines()[2] == "(0.00) Japanese" and out.splitlines()[3].startswith("(-")


def test_without_a_command_a_program_says_what_it_does(tmp_path):
    for name in sorted(path.name for path in (programs.ROOT / "examples").iterdir() if (path / "__main__.py").exists()):
        code, out, err = programs.run(name, cwd=tmp_path)
        assert (code, err) == (0, "") and f"python examples/{name} " in out


# Figures that are exactly 0 -------------------------------------------------------------------------------------


def test_a_figure_of_zero_has_no_sign(capsys, tmp_path):
    for value in (0.0, -0.0, -1e-9, 1e-9):
        assert program.figure(value, 3) == "0.000"
    assert program.figure(-0.5, 1) == "-0.5" and program.figure(-0.06, 1) == "-0.1"
    run = Run.__new__(Run)
    run.chance = None
    assert run._line({"loss": -0.0, "validation": -1e-7}, "") == "loss 0.0000  validation 0.0000"


def losses_of_the_examples():
    from bidaf.char2vec import NegativeSampling
    from bidaf.losses import SpanLoss
    from char_cnn.losses import FocalLoss

    scores = np.array([[1e4, -1e4], [1e4, -1e4]])
    yield FocalLoss(), scores, np.array([0, 0])
    yield SpanLoss(), np.array([[[1e4, -1e4, -1e4], [1e4, -1e4, -1e4]]]), np.array([[0, 0]])
    yield NegativeSampling(), scores, np.array([[True, False], [True, False]])


def test_the_loss_of_certainty_is_zero_without_a_sign():
    for loss, scores, truth in losses_of_the_examples():
        assert isinstance(loss, Loss)
        value = loss.loss(to_device(scores), to_device(truth))
        assert value == 0 and math.copysign(1, value) == 1, type(loss)


def test_no_program_negates_a_mean_that_may_be_zero():
    for path in [*(programs.ROOT / "examples").rglob("*.py"), *(programs.ROOT / "scratch" / "tools").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Call):
                assert getattr(node.operand.func, "id", "") != "float", f"{path}: line {node.lineno}: 0.0 - float(...)"
