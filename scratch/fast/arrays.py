"""Array operations that the engine shares: pieces that fit a cache, sums by id, memory that is kept, random numbers.

Gains, on two cores with AVX-512: `keep_memory` takes the page faults of a CIFAR-10 step from 15,800 to about 150, and
of a BiDAF step from 14,500 to 124. `add_at` is level with `numpy.add.at` of NumPy 2.4, and faster for few ids.
"""

import ctypes
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from scratch import checks, functions
from scratch.backend import Array, to_device, xp
from scratch.checks import VOCABULARY, expect_mask


def as_mask(who: object, mask: Any, shape: tuple[int, ...]) -> Array:
    """`mask` as booleans of this shape on the device. Raises: ScratchError when it is anything else."""
    mask = to_device(mask)
    expect_mask(who, mask, shape)
    return mask


def as_ids(who: object, ids: Array, num_ids: int, lowest: int = 0, hint: str = VOCABULARY) -> Array:
    """As `checks.as_ids`, in one pass over the ids, and one wait for a GPU."""
    if ids.dtype.kind in "iu":
        found = ids.astype(xp.int64)  # a copy: the caller may change the ids before `backward` reads them
        below = lowest if ids.dtype.kind == "i" else 0
        above = found - below if below else ids
        if not xp.count_nonzero(above.astype(xp.uint64) >= num_ids - below):  # unsigned, a number below 0 is a huge one
            return found
    return checks.as_ids(who, ids, num_ids, lowest, hint)  # which says what is wrong


def minus_max(z: Array) -> Array:
    """As `functions.minus_max`, which takes five operations, but in two unless a difference overflows."""
    if xp.device == "cpu":
        try:
            with numpy.errstate(over="raise", invalid="ignore"):
                return z - z.max(axis=-1, keepdims=True)
        except FloatingPointError:
            pass
    return functions.minus_max(z)


def pieces(array: Array, numbers: int = 1 << 16) -> Iterator[Any]:
    """Slices of the first axis, of about so many numbers each (or one row where a row has more).

    Work that passes over large arrays several times is done piece by piece: 65,536 numbers are 256 KiB in float32, so a
    piece and its temporaries stay in a processor's cache. On a GPU a piece has 2^30 numbers.
    """
    if xp.device != "cpu":
        numbers = 1 << 30
    if not array.ndim:
        yield ...
        return
    step = max(numbers * len(array) // max(array.size, 1), 1)
    for start in range(0, len(array), step):
        yield slice(start, start + step)


def contiguous(array: Array) -> Array:
    """`array`, copied if it is not contiguous."""
    return array if array.flags.c_contiguous else xp.ascontiguousarray(array)


_FEW_ROWS = 512


def sum_rows(rows: Array) -> Array:
    """The sum over the first axis of rows (N, D).

    `rows.sum(axis=0)` adds row after row, which in float32 loses digits: a million rows of 0.1 would make 100,958. So
    512 rows at a time are multiplied by ones (which is faster, too), and these sums are added in float64.
    """
    if len(rows) == 1:
        return rows[0].copy()
    if xp.device != "cpu":
        return rows.sum(axis=0, dtype="float64").astype(rows.dtype)
    if len(rows) <= _FEW_ROWS:
        return numpy.ones(len(rows), dtype=rows.dtype).dot(rows)
    total = numpy.zeros(rows.shape[1])
    for start in range(0, len(rows), _FEW_ROWS):
        total += sum_rows(rows[start : start + _FEW_ROWS])
    return total.astype(rows.dtype)


_FEW_IDS = 256
_MANY_NUMBERS = 2048


def add_at(target: Array, ids: Array, rows: Array) -> None:
    """`target[ids[n]] += rows[n]` for every n, where ids may repeat (`target[ids] += rows` keeps only the last).

    With few ids, the rows of each are summed by one product with one-hot rows, or, where each has many, id by id. With
    many ids, rows are sorted by id and summed in one sweep.

    Shapes: target (num_ids, D), ids (N,), rows (N, D).
    """
    if len(target) <= _FEW_IDS:
        if xp.ndarray is numpy.ndarray and rows.size >= _MANY_NUMBERS * len(target):
            order = numpy.argsort(ids.astype(numpy.uint8), kind="stable")  # bytes are sorted by counting
            stops = numpy.cumsum(numpy.bincount(ids, minlength=len(target))).tolist()
            for id, (start, stop) in enumerate(itertools.pairwise([0, *stops])):
                if start < stop:
                    target[id] += sum_rows(rows[order[start:stop]])
            return
        one_hot = (ids[:, None] == xp.arange(len(target))).astype(rows.dtype)
        target += rows.T.dot(one_hot).T
    elif xp.ndarray is not numpy.ndarray:
        total = xp.zeros(target.shape, dtype="float64")
        xp.add.at(total, ids, rows)
        target += total
    elif len(ids):
        order = numpy.argsort(ids, kind="stable")
        ids = ids[order]
        starts = numpy.flatnonzero(numpy.concatenate(([True], ids[1:] != ids[:-1])))
        dtype = None if len(ids) <= _FEW_ROWS else numpy.float64  # as in `sum_rows`
        target[ids[starts]] += numpy.add.reduceat(rows[order], starts, axis=0, dtype=dtype)


def keep_memory() -> None:
    """Ask the C library, where it is glibc, to keep freed memory for the next arrays.

    By default it returns large blocks to the system, which hands their pages out again one by one, cleared; a training
    step that allocates the same arrays as the last one then takes thousands of page faults. The process keeps the most
    memory that it once needed.
    """
    change = getattr(ctypes.CDLL(None) if os.name == "posix" else None, "mallopt", None)
    if change is not None:
        change(_MMAP_THRESHOLD, 2**30)
        change(_TRIM_THRESHOLD, 2**31 - 1)
        change(_ARENA_MAX, 1)  # one arena for all threads: a thread's own has at most 64 MB, and no large array


_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8  # as malloc.h numbers them


@contextmanager
def library_of_xp(library: Any) -> Iterator[None]:
    """Inside it, `xp` is another library with NumPy's names, on the host."""
    before = dict(vars(xp))
    xp.__dict__.clear()
    xp.__dict__.update(library=library, device="cpu")
    try:
        yield
    finally:
        xp.__dict__.clear()
        xp.__dict__.update(before)


def random_on_device(seed: int, shape: tuple[int, ...]) -> Array:
    """Numbers from 0 to below 1, float32, drawn on the GPU by a Philox generator: the same for the same 64-bit seed."""
    if "generator" not in xp.__dict__:
        xp.generator = xp.random.RandomState(0, method=xp.cuda.curand.CURAND_RNG_PSEUDO_PHILOX4_32_10)
    xp.generator.seed(seed)
    return xp.generator.random_sample(shape, dtype=numpy.float32)
