"""Batches: the arrays that a network trains on, made from a list of sequences or from one long text.

All rows of an array have the same length. So sequences of 3 and 5 ids are padded to 5, and a mask marks the real ids:

    ids, mask = padded([[0, 1, 1], [2, 3, 4, 5, 6]])
    ids                                                          # [[0, 1, 1, -1, -1], [2, 3, 4, 5, 6]]
    mask[0]                                                      # [True, True, True, False, False]

Padding costs as much time as real ids, so `batches` groups sequences of similar length:

    for batch in batches(names, 64, length=len):                         # 64 names of about the same length
        ids, mask = padded([vocab.encode(name) for name in batch])       # (64, T), (64, T)

`streams` splits a long text into parallel streams, one for each row of a batch. Row n of each batch continues row n of
the previous batch, so a stateful layer (`recurrent.py`) can carry its state over:

    for letters, next_letters in streams(text_ids, 64, 30):              # (64, 30), (64, 30)

`windows` returns every window of a long text and the id that follows it. Windows overlap, but they are views of the
text, so they take no extra memory.

Read next: `recurrent.py`.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy

from scratch.checks import ScratchError

Item = TypeVar("Item")
_BATCHES_IN_A_POOL = 32  # large enough to match lengths, small enough to keep batches random


def batches(
    items: Sequence[Item], batch_size: int, length: Callable[[Item], int] | None = None
) -> Iterator[list[Item]]:
    """Yield every item once, in random order, in `num_batches` batches of `batch_size`; one batch may be smaller.

    A single leftover item is added to the last full batch, because BatchNorm cannot train on one row.

    With `length`, each batch holds items of similar length: items are shuffled and divided into pools of 32 batches,
    and each pool is sorted by length and cut into batches. Shuffling uses Python's `random`.
    """
    order = random.sample(range(len(items)), len(items))
    if length is not None:
        size, mixed, order = batch_size * _BATCHES_IN_A_POOL, order, []
        for start in range(0, len(mixed), size):
            order += sorted(mixed[start : start + size], key=lambda k: length(items[k]))
    starts = [batch_size * k for k in range(num_batches(len(order), batch_size))]
    parts = list(pairwise([*starts, len(order)]))
    random.shuffle(parts)
    for start, end in parts:
        yield [items[k] for k in order[start:end]]


def num_batches(num_items: int, batch_size: int) -> int:
    """The number of batches that `batches` yields."""
    left_over = num_items % batch_size
    return num_items // batch_size + (left_over > 1 or 0 < left_over == num_items)


def padded(rows: Sequence[Sequence[int]], fill: int = -1) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pad rows of ids with `fill` into one array (N, T); also return the mask (N, T), False at padding.

    Both are NumPy arrays. T is the length of the longest row. The default -1 suits `one_hot` and Conv1d, which turn
    it into zeros; an Embedding or a recurrent layer needs a valid id, such as 0, even where the mask is False.
    """
    lengths = numpy.array([len(row) for row in rows], dtype=numpy.int64)
    mask = numpy.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = numpy.full(mask.shape, fill, dtype=numpy.int64)
    ids[mask] = [k for row in rows for k in row]
    return ids, mask


def streams(ids: Any, batch_size: int, num_steps: int) -> Iterator[tuple[Any, Any]]:
    """Split a text into `batch_size` parallel streams; yield (ids, next ids), each (N, T), `num_steps` at a time.

    The last piece may be shorter. Fewer than `batch_size` ids at the end of the text are dropped.
    `ids` may be an array on the host or a GPU, or a memory map. Both results are views of it: nothing is copied.
    Raises: ScratchError unless there are more ids than streams.
    """
    length = (len(ids) - 1) // batch_size
    if length < 1:
        raise ScratchError(f"streams: {len(ids)} ids are too few for {batch_size} streams; use a smaller batch")
    now = ids[: batch_size * length].reshape(batch_size, length)
    following = ids[1 : 1 + batch_size * length].reshape(batch_size, length)
    for start in range(0, length, num_steps):
        yield now[:, start : start + num_steps], following[:, start : start + num_steps]


def num_pieces(num_ids: int, batch_size: int, num_steps: int) -> int:
    """The number of pieces that `streams` yields for a text of `num_ids` ids."""
    return math.ceil((num_ids - 1) // batch_size / num_steps)


def windows(ids: Any, length: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Every window of a text, and the id that follows each: (len(ids) - length, length) and (len(ids) - length,).

    Both are views of `ids`, a NumPy array: only the windows selected for a batch are ever copied.
    Raises: ScratchError unless there are more ids than a window holds.
    """
    if len(ids) <= length:
        raise ScratchError(f"windows: {len(ids)} ids are too few for a window of {length} and the id after it")
    return numpy.lib.stride_tricks.sliding_window_view(ids, length)[:-1], ids[length:]
