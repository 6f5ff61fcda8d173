import os
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_device import FakeCupy

from scratch import backend


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)


@pytest.fixture(params=["here", "fake"])
def device(request, monkeypatch):
    """The device of this machine, and the strict stand-in for one."""
    before = os.environ.get("SCRATCH_DEVICE") or "cpu"
    if request.param == "fake":
        monkeypatch.setitem(sys.modules, "cupy", FakeCupy())
        backend.use("cuda")
    yield request.param
    monkeypatch.undo()
    backend.use(before)
