"""Exercises on `batching.py`."""

from typing import Any

import numpy

from scratch.batching import padded, streams
from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.initial import generator

START = """
import numpy
"""


@exercise
def pad(answer: Any) -> None:
    """Write `pad`. It turns rows of ids, each a list, into one array, padded with zeros on the right, and a mask (True
    for real ids). A real id may be 0 too.

    Start:

        def pad(rows):
            raise NotImplementedError  # return ids, mask
    """
    for rows in ([[3, 1, 2], [4]], [[5], [1, 0, 2, 0]], [[], [7, 7]], [[1, 2]]):
        found, (ids, mask) = answer([list(row) for row in rows]), padded(rows, fill=0)
        if not isinstance(found, tuple) or len(found) != 2:
            raise Wrong(f"pad({rows}) is {found}, expected two arrays, ids and mask")
        expect_equal(found[0], ids, f"for the rows {rows}, the array of ids")
        if numpy.array_equal(found[1], ids != 0) and (ids[mask] == 0).any():
            raise Wrong(f"for the rows {rows}, the mask is False at the real id 0: compare with lengths, not with ids")
        expect_equal(numpy.asarray(found[1]).astype(int), mask.astype(int), f"for the rows {rows}, the mask")


@exercise
def mean_loss(answer: Any) -> None:
    """`losses` (N, T) has a loss for each step of each row, even for padding. Return the mean over the real steps,
    where `mask` is True, and its gradient: the derivative of the mean with respect to each number in `losses`.

    Start:

        def mean_loss(losses, mask):
            raise NotImplementedError  # return the mean, the gradient
    """
    losses, mask = generator().uniform(1, 2, size=(3, 5)), numpy.arange(5) < numpy.array([[5], [1], [3]])
    right = losses[mask].mean()
    try:
        mean, gradient = answer(losses.copy(), mask.copy())
    except TypeError as error:
        raise Wrong(f"mean_loss must return two things, the mean and the gradient: {error}") from None
    for wrong, why in (
        (losses.mean(), "it averages padding too"),
        ((losses * mask).mean(), "it divides by all 15 steps; only 9 are real"),
        (numpy.mean([row[real].mean() for row, real in zip(losses, mask, strict=True)]),
         "it is the mean of the rows' means, so a step of a short row counts more than one of a long row"),
    ):
        if numpy.isclose(mean, wrong):
            raise Wrong(f"the mean is {wrong:.4f}, expected {right:.4f}: {why}")
    expect_equal(mean, right, "the mean")
    expect_equal(gradient, mask / mask.sum(), "the gradient")


@exercise
def pieces(answer: Any) -> None:
    """A text has the 12 ids 0, 1 ... 11. `streams` reads it in a batch of 2, 3 steps at a time. Write down the ids of
    each piece, without the next ids.

    Start:

        pieces = [[[0, 0, 0], [0, 0, 0]], []]  # piece after piece, row after row
    """
    expected = [now for now, _ in streams(numpy.arange(12), 2, 3)]
    if len(answer) != len(expected):
        raise Wrong(f"there are {len(answer)} pieces, expected {len(expected)}: each row has (12 - 1) // 2 = 5 ids")
    if numpy.array_equal(numpy.ravel(answer[0]), numpy.arange(6)):
        raise Wrong("the second row of a piece continues the first, but each row must continue in the next piece")
    if numpy.array_equal(answer[0], [[0, 1, 2], [6, 7, 8]]):
        raise Wrong("each row has 12 / 2 = 6 ids, but the last id of the text has no next id: it is (12 - 1) // 2 = 5")
    for k, (found, right) in enumerate(zip(answer, expected, strict=True)):
        expect_equal(found, right, f"piece {k}")
