"""From a pile of examples to the batches that a network learns from.

    for batch in batches(names, 64, length=len):     # 64 names of about the same length
        ids, mask = padded([vocab.encode(name) for name in batch])       # (64, T), (64, T)

The rows of an array are of one length, so shorter sequences are filled up, and a mask says where they are real.
Padding costs as much as what is real; so sequences of about one length are put into the same batch.

Read next: `backend.py`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy

Item = TypeVar("Item")
_BATCHES_IN_A_POOL = 32  # enough for like lengths to find each other, and few enough to keep batches mixed


def batches(
    items: Sequence[Item], batch_size: int, length: Callable[[Item], int] | None = None
) -> Iterator[list[Item]]:
    """Every item once, in random order, `batch_size` at a time; one batch may be smaller.

    With `length`, items of like length come together: pools of some batches are drawn at random, and each is sorted
    and cut. Chance is Python's `random`.
    """
    order = random.sample(range(len(items)), len(items))
    if length is not None:
        pool = batch_size * _BATCHES_IN_A_POOL
        order = [k for start in range(0, len(order), pool)
                 for k in sorted(order[start : start + pool], key=lambda k: length(items[k]))]
    starts = list(range(0, len(order), batch_size))
    random.shuffle(starts)
    for start in starts:
        yield [items[k] for k in order[start : start + batch_size]]


def padded(rows: Sequence[Sequence[int]], fill: int = -1) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Rows of ids as one array (N, T), filled up with `fill`; and the mask (N, T), True where an id is real.

    Both are on the host. T is the length of the longest row. The -1 is for `one_hot`, to which it is a row of zeros;
    a layer that takes ids wants one that there is, such as 0.
    """
    lengths = numpy.array([len(row) for row in rows], dtype=numpy.int64)
    mask = numpy.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = numpy.full(mask.shape, fill, dtype=numpy.int64)
    ids[mask] = [k for row in rows for k in row]
    return ids, mask
