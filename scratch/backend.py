"""Where arrays are stored: NumPy arrays on the CPU, or CuPy arrays on a GPU.

Chapters import `xp` and write plain NumPy: `xp.tanh(a)`, `gradient @ w`. `xp` stands for NumPy or for CuPy,
chosen once, before any layer is built, in one of three ways:

    use("cuda")                      # in a program
    SCRATCH_DEVICE=cuda python ...   # in the shell
    --device cuda                    # on the command line of an example

Two functions move arrays between the host (Python, files, plots) and the device, `to_device` and `to_host`:

    x = to_device([[1.0, 2.0]])      # a float32 array, shape (1, 2)
    to_host(x).tolist()              # [[1.0, 2.0]]

Floats are float32, or float64 inside `with precision("float64"):`, which gradient checks need.

Read next: `initial.py`.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy

from scratch.checks import ScratchError

Array: TypeAlias = numpy.ndarray  # or a cupy.ndarray, which has the same interface
DEVICES = ("cpu", "cuda")

_dtype = numpy.dtype("float32")


class _ArrayLibrary:
    """`xp`: forwards every name to NumPy or CuPy, and caches what it finds as an attribute."""

    def __getattr__(self, name: str) -> Any:  # called only for names that are not yet attributes
        if "library" not in self.__dict__:
            use(os.environ.get("SCRATCH_DEVICE") or "cpu")
            return getattr(self, name)
        value = getattr(self.__dict__["library"], name)
        setattr(self, name, value)
        return value


xp: Any = _ArrayLibrary()


def use(device: str) -> None:
    """Choose the device, `"cpu"` or `"cuda"`, before any layer is built.

    Raises: ScratchError for any other name, or when CuPy, the NVIDIA driver or a GPU is missing.
    """
    if device not in DEVICES:
        raise ScratchError(f"unknown device {device!r}; choose one of: {', '.join(DEVICES)}")
    library = numpy if device == "cpu" else _import_cupy()
    xp.__dict__.clear()
    xp.__dict__.update(library=library, device=device)


def _import_cupy() -> Any:
    install = "pip install -e '.[cuda12]' or '.[cuda13]', for your driver's CUDA"
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        raise ScratchError(f"device cuda needs CuPy ({error}); {install}") from error
    except Exception as error:  # CuPy is installed, but lacks something that it needs
        raise ScratchError(f"device cuda: CuPy cannot be imported ({error}); reinstall it: {install}") from error
    try:
        runtime = cupy.cuda.runtime
        driver, built_for = runtime.driverGetVersion(), runtime.runtimeGetVersion()  # 12040 is CUDA 12.4
        if driver == 0:
            raise ScratchError("device cuda: there is no NVIDIA driver here; use --device cpu")
        if driver // 1000 < built_for // 1000:
            made_for, has = (f"{version // 1000}.{version % 1000 // 10}" for version in (built_for, driver))
            raise ScratchError(
                f"device cuda: CuPy is for CUDA {made_for}, the driver for {has}; uninstall CuPy, then {install}"
            )
        if runtime.getDeviceCount() == 0:
            raise ScratchError("device cuda: no GPU is visible here; use --device cpu")
    except RuntimeError as error:  # CuPy's own exceptions are RuntimeErrors
        raise ScratchError(f"device cuda: no GPU can be used ({error}); use --device cpu") from error
    try:  # CuPy loads its libraries at the first matrix product, and its compiler at the first kernel
        ones = cupy.ones((2, 2), dtype=numpy.float32)
        float((ones.dot(ones) + 1).sum())
    except MemoryError:  # not a fault of the installation
        raise
    except Exception as error:
        raise ScratchError(f"device cuda: CuPy finds the GPU but cannot compute ({error}); {install}") from error
    return cupy


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Within this context, new parameters and inputs have this dtype: float32 (the default elsewhere) or float64."""
    global _dtype
    if name not in ("float32", "float64"):
        raise ScratchError(f"unknown precision {name!r}; choose float32 or float64")
    before, _dtype = _dtype, numpy.dtype(name)
    try:
        yield
    finally:
        _dtype = before


def float_type() -> numpy.dtype:
    """The dtype of every parameter and activation: float32, unless `precision` says otherwise."""
    return _dtype


def to_device(values: Any) -> Array:
    """Host values (lists, scalars, NumPy arrays) as an array on the device.

    Floats are converted to the current precision; integers and booleans keep their dtype. A copy is made only
    where needed.
    """
    if not isinstance(values, xp.ndarray):
        try:
            values = numpy.asarray(values)
        except ValueError:
            raise ScratchError("expected numbers, in rows of equal length") from None
    if values.dtype.kind not in "fiub":  # float, integer, unsigned, boolean
        raise ScratchError(f"expected numbers, got an array of {values.dtype}")
    return xp.asarray(values.astype(_dtype, copy=False) if values.dtype.kind == "f" else values)


def to_host(array: Any) -> numpy.ndarray:
    """A device array (or plain numbers) as a NumPy array. On the CPU an array is returned as it is, not copied."""
    if isinstance(array, xp.ndarray) and xp.ndarray is not numpy.ndarray:
        return xp.asnumpy(array)
    return numpy.asarray(array)


def as_floats(values: Any) -> Array:
    """A layer's input as floats on the device.

    Lists and integers are converted. On a GPU, NumPy arrays are rejected: a loop should copy each batch there once, by
    `to_device`, not once for each layer or loss that reads it.
    """
    if type(values) is xp.ndarray and values.dtype is _dtype:
        return values
    if isinstance(values, numpy.ndarray) and not isinstance(values, xp.ndarray):
        raise ScratchError(f"expected an array on device {xp.device}, got a NumPy array; use to_device(...) first")
    array = to_device(values)
    return array if array.dtype == _dtype else array.astype(_dtype)
