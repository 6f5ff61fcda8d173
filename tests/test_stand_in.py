"""That the stand-in for CuPy is as strict as CuPy, and no stricter than it is said to be."""

import importlib
import inspect

import numpy as np
import pytest
from conftest import STAND_IN

from scratch.backend import as_floats, to_device, to_host, xp
from scratch.checks import ScratchError


def test_it_refuses_what_cupy_would(stand_in):
    here, there = np.ones(3, dtype=np.float32), to_device([1.0, 1.0, 1.0])
    for slip in (
        lambda: there + here, lambda: here + there, lambda: np.tanh(there), lambda: np.concatenate([there, there]),
        lambda: xp.tanh(here), lambda: there[np.array([0])], lambda: there.dot(here), lambda: xp.add(there, here),
        lambda: np.asarray(there), lambda: float(np.sum(there)), lambda: there.__setitem__(0, here[0:1]),
        lambda: xp.where(here, there, 0), lambda: there.sum(initial=0), lambda: xp.matmul(there, there, where=True),
        lambda: there.__setitem__(..., [1, 2, 3]), lambda: there * [1, 2, 3], lambda: xp.maximum(there, [1, 2, 3]),
    ):
        with pytest.raises(TypeError):
            slip()
    with pytest.raises(AttributeError):
        there.nonzero()
    with pytest.raises(ValueError, match="contiguous"):
        to_device(np.ones((2, 2))).dot(to_device(np.ones((2, 2))), to_device(np.ones((2, 4)))[:, ::2])
    with pytest.raises(ScratchError, match="to_device"):
        as_floats(here)


def test_its_numbers_cross_only_when_asked(stand_in):
    there = to_device([1.0, 2.0])
    found = to_host(there)
    found[0] = 7
    assert to_host(there).tolist() == [1, 2]
    assert isinstance(there.sum(), xp.ndarray)
    assert float(there.sum()) == 3


@pytest.mark.needs("cupy")
def test_it_has_the_arguments_of_cupy():
    cupy = importlib.import_module("cupy")
    if not hasattr(cupy, "__version__"):
        pytest.skip("the stand-in is what is called cupy here")
    for name, arguments in STAND_IN.FUNCTIONS.items():
        if name != "matmul":  # a gufunc, which takes any
            assert set(arguments) <= set(inspect.signature(getattr(cupy, name)).parameters), name
    for name, arguments in STAND_IN.METHODS.items():
        signature = getattr(cupy.ndarray, name).__doc__.splitlines()[0]
        assert all(f"{argument}" in signature for argument in arguments), signature
    for name in STAND_IN.UFUNCS:
        assert isinstance(getattr(cupy, name), cupy.ufunc), name
    for name in (*STAND_IN.VIEWS, *STAND_IN.PROPERTIES):
        assert hasattr(cupy.ndarray, name), name
