"""Where arrays live: NumPy on the CPU or CuPy on a GPU, chosen once.

Every chapter says `from scratch.backend import xp` and then writes plain NumPy: `xp.tanh(a)`, `gradient @ w`.
`xp` stands for whichever library was chosen, before any layer is built, by one of

    use("cuda")                      # in a program
    SCRATCH_DEVICE=cuda python ...   # in the shell
    --device cuda                    # on the command line of an example

Numbers cross between the host (Python, files, plots) and the device in two places only, `to_device` and
`to_host`. They are float32, or float64 inside `with precision("float64"):`, where gradients are checked.

Read next: `fusion.py`.
"""

import ctypes
import importlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy

Array: TypeAlias = numpy.ndarray  # or a cupy.ndarray, which behaves alike
DEVICES = ("cpu", "cuda")

_dtype = numpy.dtype("float32")


class ScratchError(ValueError):
    """Something that the caller can put right: the message says what was expected, what came, and what to do."""


class _ArrayLibrary:
    """`xp`: forwards to NumPy or CuPy, and keeps each function it has fetched.

    A batch of one feels every tenth of a microsecond. `__getattr__` is called only for names that are not yet on
    the object, so from its second use on `xp.tanh` costs what `numpy.tanh` costs.
    """

    def __getattr__(self, name: str) -> Any:
        if "library" not in self.__dict__:
            use(os.environ.get("SCRATCH_DEVICE") or "cpu")
            return getattr(self, name)
        value = getattr(self.__dict__["library"], name)
        setattr(self, name, value)
        return value


xp: Any = _ArrayLibrary()


def use(device: str) -> None:
    """Choose where arrays live, `"cpu"` or `"cuda"`, before any layer is built.

    Raises: ScratchError for another name, or when CuPy, its driver or a GPU is missing.
    """
    if device not in DEVICES:
        raise ScratchError(f"unknown device {device!r}; choose one of: {', '.join(DEVICES)}")
    library = numpy if device == "cpu" else _import_cupy()
    xp.__dict__.clear()
    xp.__dict__.update(library=library, device=device)


@contextmanager
def library_of_xp(library: Any) -> Iterator[None]:
    """Inside it, `xp` is something else that has NumPy's names, and runs on the host."""
    before = dict(vars(xp))
    xp.__dict__.clear()
    xp.__dict__.update(library=library, device="cpu")
    try:
        yield
    finally:
        xp.__dict__.clear()
        xp.__dict__.update(before)


def _import_cupy() -> Any:
    install = "pip install -e '.[cuda12]' or '.[cuda13]', for your driver's CUDA"
    try:
        cupy = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        raise ScratchError(f"device cuda needs CuPy ({error}): {install}") from error
    except Exception as error:  # it is there, and something that it needs is not
        raise ScratchError(f"device cuda: CuPy cannot be imported ({error}); once more: {install}") from error
    runtime = cupy.cuda.runtime
    try:
        driver, wheel = runtime.driverGetVersion(), runtime.runtimeGetVersion()  # 12040 is CUDA 12.4
        if driver == 0:
            raise ScratchError("device cuda: there is no NVIDIA driver here; use --device cpu")
        if driver // 1000 < wheel // 1000:
            made_for, has = (f"{version // 1000}.{version % 1000 // 10}" for version in (wheel, driver))
            raise ScratchError(
                f"device cuda: CuPy is for CUDA {made_for}, the driver for {has}; pip uninstall CuPy, then {install}"
            )
        num_devices = runtime.getDeviceCount()
    except RuntimeError as error:  # CuPy raises its own kinds of it
        raise ScratchError(f"device cuda: no GPU can be used ({error}); use --device cpu") from error
    if num_devices == 0:
        raise ScratchError("device cuda: no GPU is visible here; use --device cpu")
    try:  # a product and a kernel, for whose libraries and compiler CuPy looks only now
        ones = cupy.ones((2, 2), dtype=numpy.float32)
        float((ones.dot(ones) + 1).sum())
    except MemoryError:
        raise
    except Exception as error:
        raise ScratchError(f"device cuda: CuPy finds the GPU but cannot compute ({error}); {install}") from error
    return cupy


def random_on_device(seed: int, shape: tuple[int, ...]) -> Array:
    """Numbers from 0 to below 1, float32, drawn on the GPU by a Philox generator: the same for the same 64-bit seed."""
    if "generator" not in xp.__dict__:
        xp.generator = xp.random.RandomState(0, method=xp.cuda.curand.CURAND_RNG_PSEUDO_PHILOX4_32_10)
    xp.generator.seed(seed)
    return xp.generator.random_sample(shape, dtype=numpy.float32)


def devices_of_job(rank: int, num_ranks: int, local_rank: int) -> Any:
    """Take a GPU for this process of an MPI job. Returns CuPy's group of all of them, which send by NCCL.

    Raises: ScratchError where there are fewer GPUs than processes, or no NCCL.
    """
    num_devices = xp.cuda.runtime.getDeviceCount()
    if local_rank >= num_devices:
        raise ScratchError(f"there are more processes on this machine than its GPUs, {num_devices}; start one for each")
    xp.cuda.Device(local_rank).use()
    try:
        distributed = importlib.import_module("cupyx.distributed")
        return distributed.init_process_group(num_ranks, rank, use_mpi=True)
    except (ImportError, RuntimeError) as error:
        raise ScratchError(
            f"processes on GPUs send by NCCL ({error}): pip install nvidia-nccl-cu12, or nvidia-nccl-cu13 for CUDA 13"
        ) from error


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Inside it, new parameters and inputs are float64 (or float32, the default everywhere else)."""
    global _dtype
    if name not in ("float32", "float64"):
        raise ScratchError(f"unknown precision {name!r}; choose float32 or float64")
    before, _dtype = _dtype, numpy.dtype(name)
    try:
        yield
    finally:
        _dtype = before


def float_type() -> numpy.dtype:
    """The dtype of every parameter and every activation: float32, unless `precision` says otherwise."""
    return _dtype


def to_device(values: Any) -> Array:
    """Numbers of the host (lists, scalars, NumPy arrays) as an array on the device.

    Floats come out in our precision; integers and booleans as they are. What is there already is not copied.
    """
    if not isinstance(values, xp.ndarray):
        try:
            values = numpy.asarray(values)
        except ValueError:
            raise ScratchError("expected numbers in rows of one length") from None
    if values.dtype.kind not in "fiub":
        raise ScratchError(f"expected numbers, got an array of {values.dtype}")
    return xp.asarray(values.astype(_dtype, copy=False) if values.dtype.kind == "f" else values)


def to_host(array: Any) -> numpy.ndarray:
    """An array of the device (or plain numbers) as a NumPy array, for Python, files and plots.

    On the CPU that is the array itself: copy it to keep it while training goes on.
    """
    if isinstance(array, xp.ndarray) and xp.ndarray is not numpy.ndarray:
        return xp.asnumpy(array)
    return numpy.asarray(array)


def as_floats(values: Any) -> Array:
    """What a layer was given, as floats on the device.

    Python's lists and integers are brought over. An array must be there already: an array of the host that is
    given to a layer on a GPU is refused, since a loop that sends each batch twice should be seen.
    """
    if type(values) is xp.ndarray and values.dtype is _dtype:
        return values
    if isinstance(values, numpy.ndarray) and not isinstance(values, xp.ndarray):
        raise ScratchError(f"an array of the host came to device {xp.device}; send it with to_device(...) first")
    array = to_device(values)
    return array if array.dtype == _dtype else array.astype(_dtype)


def as_mask(who: object, mask: Any, shape: tuple[int, ...]) -> Array:
    """`mask` as booleans of this shape on the device. Raises: ScratchError when it is anything else."""
    mask = to_device(mask)
    right = mask.shape == shape and mask.dtype.kind == "b"
    expect(right, who, f"a mask of True and False, {shape}", f"{mask.shape} of {mask.dtype}")
    return mask


def keep_memory() -> None:
    """Ask the C library, where it is glibc, to keep the memory that arrays leave free, for the arrays that come next.

    Large ones it would give back to the system, which hands the pages out again one by one, cleared: in a training step
    that makes the same arrays as the last one, thousands of them for nothing. The process keeps what it once needed.
    """
    change = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "mallopt", None)
    if change is not None:
        change(_MMAP_THRESHOLD, 2**30)
        change(_TRIM_THRESHOLD, 2**31 - 1)
        change(_ARENA_MAX, 1)  # one place for all threads: one of their own holds 64 MB at most, and no large array


_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8  # as malloc.h numbers them


def pieces(array: Array, numbers: int = 1 << 16) -> Iterator[slice]:
    """Slices of the first axis, of about so many numbers each (or one row where that has more).

    Work that goes over large arrays several times is done on one piece after the other: 65,536 numbers, 256 KiB in
    float32, and what is made of them stay in a processor's cache. On a GPU a piece has a thousand million.
    """
    if xp.device != "cpu":
        numbers = 1 << 30
    step = max(numbers * len(array) // max(array.size, 1), 1)
    for start in range(0, len(array), step):
        yield slice(start, start + step)


def add_at(target: Array, ids: Array, rows: Array) -> None:
    """`target[ids[n]] += rows[n]` for every n, where ids may repeat (`target[ids] += rows` keeps the last only).

    With few ids, the rows of each are summed by one product with one-hot rows, or, where each has many, id by id. With
    many, they are brought next to each other by sorting and summed in one sweep. All are many times faster than
    `numpy.add.at`.

    Shapes: target (num_ids, D), ids (N,), rows (N, D).
    """
    if len(target) <= _FEW_IDS:
        if xp.ndarray is numpy.ndarray and rows.size >= _MANY_NUMBERS * len(target):
            order = numpy.argsort(ids.astype(numpy.uint8), kind="stable")  # a byte is sorted by counting
            stops = numpy.cumsum(numpy.bincount(ids, minlength=len(target))).tolist()
            for id, (start, stop) in enumerate(itertools.pairwise([0, *stops])):
                if start < stop:
                    target[id] += rows[order[start:stop]].sum(axis=0)
            return
        one_hot = (ids[:, None] == xp.arange(len(target))).astype(rows.dtype)
        target += rows.T.dot(one_hot).T
    elif xp.ndarray is not numpy.ndarray:
        xp.add.at(target, ids, rows)
    elif len(ids):
        order = numpy.argsort(ids, kind="stable")
        ids = ids[order]
        starts = numpy.flatnonzero(numpy.concatenate(([True], ids[1:] != ids[:-1])))
        target[ids[starts]] += numpy.add.reduceat(rows[order], starts, axis=0)


_FEW_IDS = 256
_MANY_NUMBERS = 2048


def expect(ok: bool, who: object, expected: str, got: object, hint: str = "") -> None:
    """Raise the framework's one kind of complaint unless `ok`.

    `expected` may name attributes of `who` in braces, filled in only when the complaint is made, so that a check
    costs next to nothing:

        expect(input.shape[-1] == self.input_dim, self, "input (..., {input_dim})", input)
        # Linear(input_dim=64, output_dim=10): expected input (..., 64), got (32, 50)

    An array in `got` is described by its shape.
    """
    if ok:
        return
    expected = expected.format_map(vars(who)) if hasattr(who, "__dict__") else expected
    shape = getattr(got, "shape", None)
    raise ScratchError(f"{who}: expected {expected}, got {got if shape is None else shape}" + (hint and f"; {hint}"))


def expect_ids(who: object, ids: Array, num_ids: int, lowest: int = 0) -> None:
    """Raise ScratchError unless `ids` are integers from `lowest` to num_ids - 1."""
    if ids.dtype.kind not in "iu":
        expect(False, who, "integer ids", f"{ids.dtype} of shape {ids.shape}")
    above = ids - lowest if lowest else ids
    if xp.count_nonzero(above.astype(xp.uint64) >= num_ids - lowest):  # as unsigned, a number below 0 is a huge one
        expect(
            False, who, f"ids from {lowest} to {num_ids - 1}", f"ids from {int(ids.min())} to {int(ids.max())}",
            "is the vocabulary the one it was trained with?",
        )
