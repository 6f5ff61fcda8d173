"""Which warnings fail a test: all about our own modules, and none by which one package deprecates another's use."""

import re
import subprocess
import sys

from programs import ROOT, environment

OTHER = """
import warnings
def old(category):
    warnings.warn("old is deprecated", category, stacklevel=2)
def calls_old(category):
    old(category)
"""
TESTS = """
import numpy, other, pytest
from numpy.exceptions import VisibleDeprecationWarning
CATEGORIES = [DeprecationWarning, PendingDeprecationWarning, FutureWarning, VisibleDeprecationWarning]
@pytest.mark.parametrize("category", CATEGORIES)
def test_ours(category):
    with pytest.raises(category):
        other.old(category)
@pytest.mark.parametrize("category", CATEGORIES)
def test_theirs(category):
    other.calls_old(category)
@pytest.mark.parametrize("category", [UserWarning, RuntimeWarning, ResourceWarning])
def test_other_kinds(category):
    with pytest.raises(category):
        other.calls_old(category)
def test_numpy_knows_who_called():
    with pytest.raises(RuntimeWarning):
        numpy.float64(1) / numpy.float64(0)
"""


def test_a_deprecation_fails_a_test_where_the_call_is_ours(tmp_path):
    (tmp_path / "other.py").write_text(OTHER)
    (tmp_path / "test_tiny.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "test_tiny.py"]
    run = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert run.returncode == 0 and "12 passed" in run.stdout, run.stdout + run.stderr


def test_every_module_of_ours_is_named():
    filters = re.findall(r"'error:::(.*)'", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = [ROOT / "examples", *(ROOT / "tests" / name for name in (".", "benchmarks", "gpu"))]
    names = {path.stem for folder in folders for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    for name in {"scratch", *names} - {"benchmarks", "gpu", "stand_in", "__pycache__"}:
        assert any(re.match(pattern, name) for pattern in filters), name
