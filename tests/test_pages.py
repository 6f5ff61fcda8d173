"""The rendered book: it builds without a warning, its cells run, and it copies no code."""

import re
import subprocess
import sys

import pytest
from conftest import ON_A_DEVICE
from pages import PAGES
from programs import ROOT, environment

PLAIN = {"interchange.md"}  # its snippets need PyTorch; test_interchange_page.py runs them


@pytest.mark.needs("myst_nb")
@pytest.mark.skipif(ON_A_DEVICE, reason="once is enough")
def test_the_book_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", ROOT / "docs", tmp_path / "html"]
    run = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-5000:]
    for page in PAGES:
        html = (tmp_path / "html" / page.relative_to(ROOT / "docs")).with_suffix(".html").read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)', html)
        assert not loaded, f"{page.name} loads {loaded}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_quotes_code_and_runs_its_snippets(page):
    text = page.read_text(encoding="utf-8")
    assert page.name in PLAIN or not re.search(r"^`{3,}(python|py)\b", text, flags=re.MULTILINE)
    for target, options in re.findall(r"\{literalinclude\} (\S+)\n((?::.*\n)*)", text):
        assert (page.parent / target).is_file() and re.search(":(pyobject|start-at):", options), target


def test_the_reference_has_every_module():
    reference = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/api/*.rst"))
    elsewhere = {"__init__", "to_torch", "from_torch"}  # the last two import PyTorch; a page describes them
    for path in (*ROOT.glob("scratch/*.py"), *ROOT.glob("scratch/fast/*.py"), *ROOT.glob("scratch/tools/*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert path.stem in elsewhere or f".. automodule:: {name}\n" in reference, name
