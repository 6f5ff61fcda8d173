"""The house itself: what each part may import, how plain its chapters are, and what its README promises."""

import ast
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTENTS = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
BOOK = {path.stem: path for path in ROOT.glob("scratch/*.py") if path.stem != "__init__"}
DOORS = {"deep_learning", "nlp"}  # Grus's names, for the readers of his book
ENGINE, TOOLS = sorted(ROOT.glob("scratch/fast/*.py")), sorted(ROOT.glob("scratch/tools/*.py"))
CODE = sorted([*ROOT.glob("scratch/**/*.py"), *ROOT.glob("examples/**/*.py"), *ROOT.glob("tests/**/*.py")])
# Chapters that import each other's names only from above: each row may import from the rows before it.
FLOORS = [
    ["checks"], ["backend"], ["initial", "functions", "schedules"], ["layer"], ["optimizer_state", "plain_arrays"],
    ["dense", "activations", "losses", "optimizers"], ["text", "bpe", "recurrent"],
    ["convolution", "pooling", "over_time"],
    ["regular"],
    ["attention", "self_attention"], ["transformer"],
    ["bidirectional", "averages", "batching", "gradient_check"],
]
LONGEST = {"layer": 130, "losses": 200, "optimizers": 200, "backend": 150, "convolution": 150, "pooling": 150}


def source(path):
    return path.read_text(encoding="utf-8")


def length(path):
    return len(source(path).splitlines())


def imports(path):
    """The names of the modules of this project that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(source(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= modules if node.module in ("scratch", "scratch.fast", "scratch.tools") else {node.module}
    return {name for name in found if name.startswith("scratch")}


def test_a_chapter_imports_only_from_earlier_chapters():
    floor = {f"scratch.{name}": number for number, names in enumerate(FLOORS) for name in names}
    assert {f"scratch.{name}" for name in BOOK.keys() - DOORS} == floor.keys()
    for name in BOOK.keys() - DOORS:
        for other in imports(BOOK[name]):
            assert floor[other] < floor[f"scratch.{name}"], f"{name} imports {other}"


def test_the_engine_imports_only_the_book_and_tools_know_it_in_one_place():
    for path in ENGINE:
        assert not any(name.startswith("scratch.tools") for name in imports(path)), path.name
    knowing = [path.name for path in TOOLS if any(name.startswith("scratch.fast") for name in imports(path))]
    assert knowing == ["program.py"]


SPEED = {"threading", "concurrent", "contextvars", "ctypes", "multiprocessing", "os", "threadpoolctl", "mpi4py"}


@pytest.mark.parametrize("name", sorted(BOOK.keys() - {"backend"}))
def test_a_chapter_is_plain(name):
    """No `out=`, device, thread, process or workspace: what exists for speed is in the engine."""
    for node in ast.walk(ast.parse(source(BOOK[name]))):
        if isinstance(node, ast.keyword):
            assert node.arg not in ("out", "where"), f"line {node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("device", "ascontiguousarray", "dot", "empty"), f"line {node.lineno}"
        for word in ("thread", "rank", "workspace", "buffer", "cache", "fused", "_part"):
            names = {getattr(node, kind, None) for kind in ("id", "attr", "arg", "name")}
            assert not any(isinstance(found, str) and word in found for found in names), f"{word}: line {node.lineno}"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not SPEED & {module.split(".")[0] for module in modules}, f"line {node.lineno}"


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_file_is_too_long(path):
    most = 330
    if path.parent == ROOT / "scratch" or "examples" in path.parts:
        most = LONGEST.get(path.stem, 250) if path.parent == ROOT / "scratch" else 250
    assert length(path) <= most


def test_the_first_program_is_short():
    assert length(ROOT / "examples" / "company_names.py") <= 170


def test_one_training_step_of_the_lstm_is_on_one_screen():
    tree = ast.parse(source(BOOK["recurrent"]))
    lstm = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "LSTM")
    methods = {node.name: node for node in lstm.body if isinstance(node, ast.FunctionDef)}
    lines = source(BOOK["recurrent"]).splitlines()[methods["read"].lineno - 1 : methods["read_back"].end_lineno]
    assert 20 < len(lines) <= 60


def test_layers_speak_to_the_device_only_through_the_backend():
    may_import_numpy = {
        "backend", "initial", "functions", "gradient_check", "batching", "text", "fusion", "arrays", "fast/regular",
        "fast/recurrent", "fast/optimizers", "fast/losses", "winograd1d",
    }
    for path in (*BOOK.values(), *ENGINE):
        names = {path.stem, f"{path.parent.name}/{path.stem}"}
        assert "import numpy" not in source(path) or names & may_import_numpy, path
        assert "cupy" not in re.sub(r'"""[\s\S]*?"""|#.*', "", source(path)) or names & {"backend", "processes"}, path


@pytest.mark.parametrize("command", [
    pytest.param(["ruff", "check", "."], marks=pytest.mark.needs("ruff"), id="ruff"),
    pytest.param(["mypy"], marks=pytest.mark.needs("mypy"), id="mypy"),
])
def test_style(command):
    run = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_links_lead_somewhere():
    for path in (*ROOT.glob("*.md"), *ROOT.glob("weights/*.md"), ROOT / "scratch" / "fast" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)", source(path)):
            assert target.startswith("https://") or (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_contents_name_every_chapter_with_its_length_and_page():
    pattern = r"^\| \d+ \| \[`(\w+)\.py`\]\(\.\./scratch/\w+\.py\) \| (\d+) \| \[.*\]\(book/(\w+)\.md\) \|"
    rows = {name: (lines, page) for name, lines, page in re.findall(pattern, CONTENTS, flags=re.MULTILINE)}
    assert rows.keys() == BOOK.keys()
    for name, path in BOOK.items():
        lines, page = rows[name]
        assert abs(int(lines) - length(path)) <= 0.1 * length(path), f"{name}: {length(path)} lines"
        assert f"{{py:mod}}`scratch.{name}`" in source(ROOT / "docs" / "book" / f"{page}.md"), name
    assert all(f"[{name}](scratch/{name}.py)" in README for name in BOOK)


def test_read_next_follows_the_reading_order():
    order = re.findall(r"^\| \d+ \| \[`(\w+)\.py`\]", CONTENTS, flags=re.MULTILINE)
    for name, following in pairwise(name for name in order if name not in DOORS):
        assert f"Read next: `{following}.py`." in ast.get_docstring(ast.parse(source(BOOK[name]))), name


def test_the_map_of_the_engine_names_every_file():
    engine = source(ROOT / "scratch" / "fast" / "README.md")
    assert all(f"[`{path.name}`]({path.name})" in engine for path in ENGINE if path.stem != "__init__")


def test_the_readme_opens_with_the_two_commands():
    first, second = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)[:2]
    assert "examples/company_names.py" in first
    assert "pytest" in second
    assert all(block.strip().count("\n") == 0 and "venv" in block for block in (first, second))
