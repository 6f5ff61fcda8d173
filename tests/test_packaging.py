"""The package and its metadata: importing it from folders that a user may start Python in, and its version."""

import importlib.metadata
import os
import re
import subprocess
import sys

import pytest
from programs import ROOT

import scratch


def test_it_imports_beside_a_clone_that_is_called_scratch(tmp_path):
    """That folder has no __init__.py, and Python would take it for a namespace package if it found nothing else."""
    try:
        importlib.metadata.distribution("scratch-book")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("scratch-book is not installed here")
    (tmp_path / "scratch").symlink_to(ROOT, target_is_directory=True)
    command = "import scratch, scratch.fast; from scratch import LSTM; print(scratch.__file__)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for folder in (tmp_path, ROOT, ROOT.parent):
        options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
        run = subprocess.run([sys.executable, "-c", command], **options)
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip().endswith("__init__.py")


def test_every_file_has_the_same_version():
    changes, citation = ((ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "CITATION.cff"))
    cited = dict(re.findall(r"^([a-z-]+): (\S.*)", citation, re.MULTILINE))
    assert cited["version"] == scratch.__version__
    assert re.search(r"^## (.*)", changes, re.MULTILINE)[1] == f"{cited['version']} ({cited['date-released']})"
    assert cited["cff-version"] == "1.2.0" and {"message", "title", "license"} <= cited.keys()


def test_every_folder_of_the_package_is_installed():
    """Only folders with an __init__.py are found; the others would be left out without a word."""
    for folder in {path.parent for path in (ROOT / "scratch").rglob("*.py")}:
        assert (folder / "__init__.py").exists(), folder
