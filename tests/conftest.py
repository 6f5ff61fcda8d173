import os
import random
import sys

import hypothesis
import pytest
from fake_device import FakeCupy

from scratch import backend

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("scratch", deadline=None)
hypothesis.settings.load_profile("scratch")


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
