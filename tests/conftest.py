import importlib
import importlib.util
import os
import random
import sys
from pathlib import Path

import hypothesis
import pytest

from scratch import backend

pytest.register_assert_rewrite("cases")  # so that its failed assertions show their values
ON_A_DEVICE = os.environ.get("SCRATCH_DEVICE") == "cuda"  # a GPU, or its stand-in: whichever is called cupy

ON_THREADS = pytest.mark.skipif(ON_A_DEVICE, reason="a GPU is one device for all rows")


def _stand_in():
    spec = importlib.util.spec_from_file_location("cupy", Path(__file__).parent / "stand_in" / "cupy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STAND_IN = _stand_in()

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("scratch", deadline=None)
hypothesis.settings.load_profile("scratch")


@pytest.fixture(autouse=True)
def _seed_and_device():
    random.seed(0)
    yield
    here = os.environ.get("SCRATCH_DEVICE") or "cpu"
    if backend.xp.device != here:  # a program was called that chose another
        backend.use(here)


# The extra with each package that tests need; those that are not here are in `dev`.
EXTRA = {"torch": "bench", "cupy": "gpu"}


def pytest_collection_modifyitems(items):
    for item in items:
        for package in (name for mark in item.iter_markers("needs") for name in mark.args):
            if importlib.util.find_spec(package) is None:
                reason = f"needs {package}: pip install -e '.[{EXTRA.get(package, 'dev')}]'"
                item.add_marker(pytest.mark.skip(reason=reason))
    if not (ON_A_DEVICE and hasattr(importlib.import_module("cupy"), "__version__")):
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU, and SCRATCH_DEVICE=cuda"))


@pytest.fixture
def stand_in(monkeypatch):
    """The strict stand-in for CuPy, as the device."""
    before = os.environ.get("SCRATCH_DEVICE") or "cpu"
    monkeypatch.setitem(sys.modules, "cupy", STAND_IN)
    backend.use("cuda")
    yield STAND_IN
    monkeypatch.undo()
    backend.use(before)


@pytest.fixture
def kernels(request):
    """A device that has kernels: that of this machine, or the stand-in."""
    if not ON_A_DEVICE:
        request.getfixturevalue("stand_in")


@pytest.fixture(params=["here", *([] if ON_A_DEVICE else [pytest.param("fake", marks=pytest.mark.thorough)])])
def device(request):
    """The device of this machine, and, where that is none, the strict stand-in for one."""
    if request.param == "fake":
        request.getfixturevalue("stand_in")
    return request.param
