"""From a pile of examples to the batches that a network learns from.

    for batch in batches(names, 64, length=len):     # 64 names of about the same length
        ids, mask = padded([vocab.encode(name) for name in batch])       # (64, T), (64, T)
    for letters, next_letters in streams(text_ids, 64, 30):              # (64, 30), (64, 30)

The rows of an array are of one length, so shorter sequences are filled up, and a mask says where they are real.
Padding costs as much as what is real; so sequences of about one length are put into the same batch.

A long text is cut otherwise: into as many streams as a batch has rows, which are read side by side, a piece at a time.
Row n of each batch goes on where row n of the last one stopped, so that a stateful layer can carry its state over.

Or as windows: every run of so many ids, with the id that comes after it. They overlap, so they are views too.

Where a batch takes time to make (pictures are flipped and moved), the next one is made while the last is learned from:

    for images, labels in ahead(made_batches):

Read next: `recurrent.py`.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy

from scratch.checks import ScratchError

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


def streams(ids: Any, batch_size: int, num_steps: int) -> Iterator[tuple[Any, Any]]:
    """A text, `batch_size` streams of it side by side, `num_steps` at a time: (ids, next ids), each (N, T).

    Of each stream the last piece may be shorter; fewer than `batch_size` ids at the end of the text are left over.
    Both arrays are views of `ids`, an array on the host or the device, or a memory map: nothing is copied.
    Raises: ScratchError when there are not more ids than streams.
    """
    length = (len(ids) - 1) // batch_size
    if length < 1:
        raise ScratchError(f"streams: {len(ids)} ids are too few for {batch_size} streams; make the batch smaller")
    now, following = (ids[start : start + batch_size * length].reshape(batch_size, length) for start in (0, 1))
    for start in range(0, length, num_steps):
        yield now[:, start : start + num_steps], following[:, start : start + num_steps]


def num_pieces(num_ids: int, batch_size: int, num_steps: int) -> int:
    """How many pieces `streams` cuts a text of so many ids into."""
    return -(-((num_ids - 1) // batch_size) // num_steps)


def windows(ids: Any, length: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Every window of a text, and the id that follows each: (len(ids) - length, length) and (len(ids) - length,).

    Both are views of `ids`, a host array: a batch of windows is copied when it is taken out, and no more.
    Raises: ScratchError when there are not more ids than a window has.
    """
    if len(ids) <= length:
        raise ScratchError(f"windows: {len(ids)} ids are too few for a window of {length} and what follows it")
    return numpy.lib.stride_tricks.sliding_window_view(ids, length)[:-1], ids[length:]


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each of them made by another thread while the caller is at work on the one before.

    Whoever makes them must have chance of its own: which thread draws first from a shared one, nobody knows.
    """
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, iterator, end)
        while (item := coming.result()) is not end:
            coming = maker.submit(next, iterator, end)
            yield item  # type: ignore[misc]
