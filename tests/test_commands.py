"""Every command in the README and on the pages runs, on little data; the README's snippets print what it says."""

import inspect
import re
import runpy
import shlex
import subprocess
import sys
import textwrap

import commands
import pytest
from commands import Program, make_data
from conftest import ON_A_DEVICE
from pages import PAGES
from programs import ROOT, environment

from scratch import Linear

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = "|".join(["company_names.py", *(path.parent.name for path in ROOT.glob("examples/*/__main__.py"))])
INLINE = re.compile(rf"`((?:python |mpiexec |(?:{PROGRAMS}) (?:train|predict|evaluate|compare|ask))[^`]+)`")
# The arguments by which these need seconds, and no data set of their own.
LITTLE = {
    (name, command): arguments
    for name, command, *arguments in map(str.split, commands.COMMANDS)
    if command in ("evaluate", "compare", "show", "prepare", "char2vec")
}
NEEDS = {
    "mpiexec ": "mpi4py", "SCRATCH_DEVICE=cuda python": "cupy", "--device cuda": "cupy", "python tests/": "torch",
    "-m sphinx": "sphinx", "name_languages serve": "fastapi_offline", "bidaf char2vec": "sklearn",
}


def written():
    """Each command on each page once, with the name of the first page that has it."""
    found = {}
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES):
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
        lines += INLINE.findall(text)
        for line in filter(None, map(str.strip, lines)):
            found.setdefault(re.sub(rf"^(?={PROGRAMS})", "python examples/", line), page.name)
    return found


COMMANDS = [
    pytest.param(command, marks=[pytest.mark.needs(package) for part, package in NEEDS.items() if part in command])
    for command in written()
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the weights, a little of every data set, and the files that the commands name."""
    place = tmp_path_factory.mktemp("commands")
    make_data(place)
    for name in ("weights", "examples", "tests", "docs", "scratch", "pyproject.toml", "README.md"):
        (place / name).symlink_to(ROOT / name)
    (place / "novel.txt").write_text("How much wood would a woodchuck chuck? " * 40)
    (place / "french.csv").write_text("review,polarity\n" + "".join(f"une série {k},{k % 2}\n" for k in range(40)))
    (place / "towns.txt").write_text("Aachen\nBergen\nCádiz\nDelft\n")
    (place / "moon.txt").write_text("She landed on the moon in 2031. It was cold.")
    for name in ("tweets.csv", "m.csv"):
        rows = "".join(f"{k},text {k},{k % 2},m {k},{k % 2}\n" for k in range(40))
        (place / name).write_text("n,SentimentText,Sentiment,message,topic\n" + rows)
    image = pytest.importorskip("PIL.Image")
    (place / "runs" / "cifar10").mkdir(parents=True)
    for name in ("cat.jpg", "dog.png", "runs/cifar10/show.png"):
        image.new("RGB", (40, 30), "red").save(place / name)
    for name in ("aesop", "alice_lm"):
        flags = ["--hidden", "8", "--layers", "1", "--batch-size", "4", "--sequence", "10", "--epochs", "1"]
        call(["examples/char_lm", "train", "text.txt", *flags, "--out", f"runs/{name}"], place)
    return place


def in_seconds(name, arguments):
    """The arguments of a program, changed so that it runs in seconds."""
    if not arguments and name != "company_names.py":
        return []  # prints the help
    command = arguments[0] if arguments and not arguments[0].startswith("-") else "train"
    if command == "train":
        return [*arguments, "--smoke"]
    rest, little = arguments[1:], LITTLE.get((name, command), [])
    if little and not little[0].startswith("-") and rest and not rest[0].startswith("-"):
        rest = rest[1:]  # the text that the page names, in place of which comes a little one
    if command == "evaluate" and "weights/french_reviews.npz" in rest:
        little = ["--data_path", "french.csv"]
    return [command, *little, *rest]


def call(words, place, input="", **environ):
    """Run a command with this Python."""
    env = environment() | {"SCRATCH_DATA": str(place / "nothing")} | environ
    options = {"cwd": place, "env": env, "capture_output": True, "text": True, "timeout": 300}
    run = subprocess.run([sys.executable, *words], input=input, **options)
    assert run.returncode == 0, (words, run.stdout[-500:], run.stderr[-2000:])


def execute(words, place, input=""):
    """Run a command of a page, given as a list of words, in seconds."""
    environ = {}
    while "=" in words[0]:
        name, _, value = words[0].partition("=")
        environ[name] = value.replace("$PWD", str(ROOT))
        words = words[1:]
    if words[0] == "mpiexec":
        words = words[3:]  # as one process; test_ranks.py runs several
    python, *words = words
    assert python == "python"
    name, *arguments = words
    if words[:2] == ["-m", "sphinx"]:
        pass  # test_pages.py builds them
    elif words[:2] == ["-m", "pytest"]:
        call([*words, "-q", "--collect-only", *(words[2:] or ["tests/test_house.py"])], ROOT, **environ)
    elif name.startswith("tests/"):  # these take minutes, and data: they need to start
        little = ["characters", "--rounds", "1", "--seconds", "0.01"] if name.endswith("compare.py") else ["--help"]
        if name != "tests/make_twins.py":  # which writes at once
            call([name, *little], place)
    elif name.startswith("examples/"):
        arguments = in_seconds(name.removeprefix("examples/"), arguments)
        if "serve" in arguments:
            Program(f"{name.removeprefix('examples/')} {' '.join(arguments)} --port PORT", place).interrupt()
            return
        if "--resume" in arguments:
            call([name, *filter("--resume".__ne__, arguments)], place, **environ)
        call([name, *arguments], place, input, **environ)
    else:
        call(words, place, **environ)


@pytest.mark.thorough
@pytest.mark.skipif(ON_A_DEVICE, reason="once is enough")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_runs(command, place):
    first, *others = command.split(" && ")
    if others:  # the set-up of a fresh machine, which .ci/run does, and then a command
        command = others[-1].removeprefix(".venv/bin/")
    if "pip install" in first + command:
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        extras = ",".join(re.findall(r"\[([\w,]+)\]", first + command)).split(",")
        assert all(re.search(rf"^{name} = \[", project, flags=re.MULTILINE) for name in extras)
    elif " | " in command:
        echo, command = command.split(" | ")
        execute(shlex.split(command), place, input=" ".join(shlex.split(echo)[1:]) + "\n")
    else:
        execute(shlex.split(command), place)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_the_readme_fits_its_length():
    assert len(README.splitlines()) <= 170


def test_the_example_prints_what_the_readme_says(tmp_path, capsys):
    (tmp_path / "example.py").write_text(blocks("python")[0], encoding="utf-8")
    runpy.run_path(str(tmp_path / "example.py"))
    printed, said = capsys.readouterr().out.splitlines(), blocks("text")[0].splitlines()
    assert len(printed) == len(said) and printed[-1] == said[-1]
    for line, other in zip(printed, said, strict=True):  # the last digits depend on the processor
        assert float(line.split()[0]) == pytest.approx(float(other.split()[0]), abs=0.05)


def test_the_readme_quotes_linear_as_it_is():
    assert blocks("python")[1] == textwrap.dedent(inspect.getsource(Linear.backward))
