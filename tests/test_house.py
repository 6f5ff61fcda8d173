"""The house itself: its floors, the size of its rooms, its style, and what its README promises."""

import ast
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    ["__init__", "backend"],
    ["fusion", "initial", "functions", "files", "scores", "windows", "schedules", "pickles", "winograd"],
    ["layer", "workspaces"],
    ["sequences"],
    [
        "dense", "activations", "attention", "regular", "through_time", "convolution", "pooling", "losses",
        "optimizers", "text", "parallel",
    ],
    [
        "recurrent", "bidirectional", "averages", "batching", "corpus", "datasets", "weights", "history", "plots",
        "gradient_check", "program",
    ],
    ["checkpoint"],
    ["deep_learning", "nlp"],
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = sorted([*ROOT.glob("scratch/*.py"), *ROOT.glob("examples/**/*.py"), *ROOT.glob("tests/**/*.py")])


def test_every_chapter_has_a_floor_and_imports_only_from_below():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    chapters = {path.stem: path for path in ROOT.glob("scratch/*.py")}
    assert chapters.keys() == floor.keys()
    for name, path in chapters.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scratch"):
                other = node.module.removeprefix("scratch.")
                assert floor[other] < floor[name], f"{name} imports {other}"
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("scratch") for alias in node.names), name


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_file_is_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 330


def test_layers_speak_to_the_device_only_through_the_backend():
    may_import_numpy = {
        "backend", "initial", "functions", "files", "weights", "fusion", "gradient_check", "program", "scores",
        "batching", "corpus", "text", "pickles",
    }
    for path in ROOT.glob("scratch/*.py"):
        text = path.read_text(encoding="utf-8")
        assert ("import numpy" in text) <= (path.stem in may_import_numpy), path.stem
        assert "cupy" not in re.sub(r'"""[\s\S]*?"""|#.*', "", text) or path.stem == "backend", path.stem


@pytest.mark.parametrize("command", [["ruff", "check", "."], ["mypy"]], ids=lambda command: command[0])
def test_style(command):
    pytest.importorskip(command[0])
    run = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_readmes_links_lead_somewhere():
    for path in (ROOT / "README.md", ROOT / "weights" / "README.md", ROOT / "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_reading_order_names_every_chapter_with_its_length():
    rows = dict(re.findall(r"^\| \d+ \| \[`(\w+)\.py`\]\(scratch/\w+\.py\) \| (\d+) \|", README, flags=re.MULTILINE))
    chapters = {path.stem: path for path in ROOT.glob("scratch/*.py") if path.stem != "__init__"}
    assert rows.keys() == chapters.keys()
    for name, path in chapters.items():
        length = len(path.read_text(encoding="utf-8").splitlines())
        assert abs(int(rows[name]) - length) <= 0.1 * length, f"{name}: {length} lines"


def test_read_next_follows_the_reading_order():
    order = re.findall(r"^\| \d+ \| \[`(\w+)\.py`\]", README, flags=re.MULTILINE)
    doors = {"deep_learning", "nlp"}
    for name, following in pairwise(order):
        if not {name, following} & doors:
            opening = ast.get_docstring(ast.parse((ROOT / "scratch" / f"{name}.py").read_text(encoding="utf-8")))
            assert opening.endswith(f"Read next: `{following}.py`."), name


def test_the_readme_opens_with_the_two_commands():
    first, second = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)[:2]
    assert "examples/company_names.py" in first
    assert "pytest" in second
    assert all(block.strip().count("\n") == 0 and "venv" in block for block in (first, second))
