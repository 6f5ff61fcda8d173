"""Packages that need not be installed: a program that needs one says so in one line, before its work."""

import ast
import re
import subprocess
import sys

import pytest
from programs import ROOT, environment

from scratch.tools.extras import EXTRAS

FILES = [path for folder in ("scratch", "examples", "tests/benchmarks") for path in (ROOT / folder).rglob("*.py")]
OURS = {"scratch", "slices", "timing", "workloads", *(path.stem for path in (ROOT / "examples").iterdir())}
REQUIRED = {"numpy", "tqdm", "matplotlib", "threadpoolctl", "PIL"}  # pyproject.toml's, and what comes with them
COMMANDS = {
    "company_names.py": ["--smoke", "--epochs", "1"],
    "alice train": ["--smoke", "--epochs", "1"],
    "char_lm train": ["--smoke", "--epochs", "1"],
    "char_cnn train": ["--smoke", "--epochs", "1"],
    "char_cnn train --log_path log": ["--smoke"],
    "movie_reviews train": ["--smoke", "--epochs", "1"],
    "cifar10 train": ["--smoke", "--epochs", "1"],
    "bidaf train": ["--smoke", "--epochs", "1"],
    "bidaf char2vec": [],
    "name_languages train": ["--smoke", "--epochs", "1"],
    "name_languages serve": [],
    "name_languages evaluate": [],
    "char_lm evaluate": [],
    "benchmarks/compare.py": ["characters"],
    "benchmarks/compare.py --processes 2": ["lstm-256"],
    "benchmarks/alice_twin.py": [],
    "benchmarks/ngram_baseline.py": ["ag_news_csv"],
    "benchmarks/scaling.py": [],
}
NEED_NONE = {command for command in COMMANDS if command.startswith("company") or command.endswith(" train")}


def optional(path):
    """The packages that a file imports, by a statement or by name, and that need not be installed."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module", "extra",
        ):
            found |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return {name.split(".")[0] for name in found} - sys.stdlib_module_names - REQUIRED - OURS


HIDDEN = sorted(set().union(*map(optional, FILES)))


@pytest.fixture(scope="module")
def hiding(tmp_path_factory):
    """The environment of a Python in which no package can be imported that need not be installed."""
    folder = tmp_path_factory.mktemp("hidden")
    for name in HIDDEN:
        (folder / f"{name}.py").write_text(f'raise ModuleNotFoundError("No module named {name}", name="{name}")\n')
    env = environment() | {"XDG_CACHE_HOME": str(folder)}
    env["PYTHONPATH"] = f"{folder}:{env['PYTHONPATH']}"
    return {name: value for name, value in env.items() if name not in ("SCRATCH_DATA", "SCRATCH_DEVICE")}


def test_those_hidden_are_the_extras():
    assert {"torch", "sklearn", "pooch", "tensorboardX", "fastapi", "uvicorn", "mpi4py", "cupy"} <= set(HIDDEN)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for module, (package, extra) in EXTRAS.items():
        assert module in HIDDEN
        named = re.search(rf"^{extra} = \[(.*)\]", text, flags=re.MULTILINE)[1]
        assert {"PyTorch": "torch"}.get(package, package) in re.findall(r'"([A-Za-z0-9-]+)', named), module


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_extras_a_program_runs_or_says_what_to_install(command, hiding, tmp_path):
    program, *arguments = command.split()
    path = ROOT / "tests" / program if program.startswith("benchmarks") else ROOT / "examples" / program
    arguments += COMMANDS[command]
    process = subprocess.run(
        [sys.executable, path, *arguments], cwd=tmp_path, env=hiding, capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL,
    )
    if command in NEED_NONE and process.returncode == 0:
        return
    assert process.returncode == 2, process.stderr
    assert process.stderr.count("\n") == 1 and "pip install -e '.[" in process.stderr, process.stderr
    assert not process.stdout and not list(tmp_path.iterdir())
