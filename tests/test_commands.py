"""Every command in the README and on the pages runs, on little data; the README's snippets print what it says."""

import importlib.util
import inspect
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import textwrap

import pytest
from commands import Program, make_data
from programs import ROOT, environment

from scratch import Linear

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts]
PAGES = [path for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(PAGES)] if path.exists()]
PROGRAMS = "|".join(["company_names.py", *(path.parent.name for path in ROOT.glob("examples/*/__main__.py"))])
INLINE = re.compile(rf"`((?:python |mpiexec |(?:{PROGRAMS}) (?:train|predict|evaluate|compare|ask))[^`]+)`")
# By these arguments a command needs seconds, and no data set.
LITTLE = {
    "evaluate": {
        "company_names.py": ["--count", "20"], "alice": ["--smoke"], "char_lm": ["text.txt"],
        "char_cnn": ["--data_path", "news.csv"], "movie_reviews": ["--data", "phrases"],
        "cifar10": ["--data", "images"], "name_languages": ["--data", "names"], "bidaf": ["--data", "squad"],
    },
    "compare": {"char_lm": ["text.txt", "--order", "3"]},
    "show": {"cifar10": ["--data", "images"]},
    "prepare": {"bidaf": ["--data", "squad", "--glove", "glove.txt"]},
    "char2vec": {"bidaf": ["--data", "squad"]},
}


def written():
    """Each command on each page once, with the name of the first page that has it."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
        lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
        lines += INLINE.findall(text)
        for line in filter(None, map(str.strip, lines)):
            found.setdefault(re.sub(rf"^(?={PROGRAMS})", "python examples/", line), page.name)
    return found


COMMANDS = written()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the weights, a little of every data set, and the files that the commands name."""
    place = tmp_path_factory.mktemp("commands")
    make_data(place)
    for name in ("weights", "examples", "tests", "docs", "scratch", "pyproject.toml", "README.md"):
        (place / name).symlink_to(ROOT / name)
    (place / "novel.txt").write_text("How much wood would a woodchuck chuck? " * 40)
    (place / "towns.txt").write_text("Aachen\nBergen\nCádiz\nDelft\n")
    (place / "moon.txt").write_text("She landed on the moon in 2031. It was cold.")
    for name in ("tweets.csv", "m.csv"):
        rows = "".join(f"{k},text {k},{k % 2},m {k},{k % 2}\n" for k in range(40))
        (place / name).write_text("n,SentimentText,Sentiment,message,topic\n" + rows)
    from PIL import Image

    for name in ("cat.jpg", "dog.png"):
        Image.new("RGB", (40, 30), "red").save(place / name)
    return place


def in_seconds(name, arguments):
    """The arguments of a program, changed so that it runs in seconds."""
    command = arguments[0] if arguments and not arguments[0].startswith("-") else "train"
    if command == "train":
        return [*arguments, "--smoke"]
    extra = LITTLE.get(command, {}).get(name, [])
    if extra and not extra[0].startswith("-"):  # the text itself, in place of another one
        arguments = [command, *extra, *[word for word in arguments[1:] if word.startswith("-")]]
        extra = []
    return [*arguments, *(extra if not set(extra) & set(arguments) else [])]


def call(words, place, **environ):
    """Run a command with this Python, and return what it printed."""
    env = environment() | {"SCRATCH_DATA": str(place / "nothing")} | environ
    run = subprocess.run([sys.executable, *words], cwd=place, env=env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, (words, run.stdout[-500:], run.stderr[-2000:])
    return run.stdout


def missing(*packages):
    """Skip where a package is missing."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install -e '.[dev]'")


def execute(words, place):
    """Run a command of a page, given as a list of words, in seconds."""
    environ = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environ[name] = value.replace("$PWD", str(ROOT))
    if words[0] == "mpiexec":
        missing("mpi4py")
        if shutil.which("mpiexec") is None:
            pytest.skip("needs mpiexec")
        words = words[3:]  # the rest as one process; test_ranks.py runs several
    python, *words = words
    assert python == "python"
    if words[0] == "-m":
        module, *arguments = words[1:]
        if module == "sphinx":
            missing("sphinx")  # test_pages.py builds them
        elif module == "pytest":
            if environ.get("SCRATCH_DEVICE") == "cuda" and "PYTHONPATH" not in environ:
                missing("cupy")
            call(["-m", "pytest", "-q", "--collect-only", "tests/test_house.py", *arguments], ROOT, **environ)
        else:
            call(["-m", module, *arguments], place, **environ)
    elif words[0].startswith("tests/benchmarks/"):
        little = ["characters", "--rounds", "1", "--seconds", "1"] if words[0].endswith("compare.py") else ["--help"]
        missing("torch")
        call([words[0], *little], place)
    else:
        name, *arguments = words
        name = name.removeprefix("examples/")
        arguments = in_seconds(name, arguments)
        if "--device" in arguments:
            missing("cupy")
        if "serve" in arguments:
            Program(f"{name} {' '.join(arguments)} --port PORT", place).interrupt()
            return
        if arguments[:1] == ["train"] and "--report" in arguments:
            missing("tensorboardX")
        call([f"examples/{name}", *arguments], place, **environ)


@pytest.mark.thorough
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_runs(command, place):
    words = shlex.split(command)
    if words[:2] == ["pip", "install"]:
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        for extra in re.findall(r"\[([\w,]+)\]", command):
            assert all(re.search(rf"^{name} = \[", project, flags=re.MULTILINE) for name in extra.split(","))
        return
    if "venv" in words:  # the two commands of a fresh machine: .ci/run runs the second; both end in one that runs here
        last = command.split("&& .venv/bin/")[-1]
        words = shlex.split(last)
    execute(words, place)


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
