"""Wrong answers to the exercises of part 2, each with words that the verdict must hold."""

from itertools import pairwise

import numpy
import pytest

from scratch.exercises.checking import verdict

P_1 = [2 / 9, 4 / 9, 3 / 9]
OF_3 = [P_1[0] / 4, P_1[1] / 4, (2 + P_1[2]) / 4]  # as if three ids followed an a


def divided(ids, p_1):
    """Counts without mixing."""
    table = numpy.zeros((len(p_1), len(p_1)))
    for first, second in pairwise(ids):
        table[first, second] += 1
    return table / numpy.maximum(table.sum(axis=1, keepdims=True), 1)


def one_kind(ids, p_1):
    """As if one kind of id followed each id."""
    table = divided(ids, p_1)
    total = numpy.bincount(ids[:-1], minlength=len(p_1))[:, None]
    return (table * total + p_1) / (total + 1)


def pad_by_ids(rows):
    """A mask from the ids instead of the lengths."""
    width = max(map(len, rows))
    ids = numpy.array([row + [0] * (width - len(row)) for row in rows])
    return ids, ids != 0


def pad_left(rows):
    width = max(map(len, rows))
    empty = [width - len(row) for row in rows]
    ids = numpy.array([[0] * n + row for n, row in zip(empty, rows, strict=True)])
    return ids, numpy.arange(width) >= numpy.array(empty)[:, None]


WRONG = [
    ("text.banana", {"p_1": [1 / 6, 3 / 6, 2 / 6], "p_2 after a": [0, 0, 1]}, "p_1 is"),
    ("text.banana", {"p_1": P_1, "p_2 after a": OF_3}, "nothing follows the last"),
    ("text.banana", {"p_1": P_1, "p_2 after a": [0, 0, 1]}, "p_2 after a is [0., 0., 1.], expected"),
    ("text.pairs", divided, "the row of 'a' is [0. , 0.5, 0.5], expected"),
    ("text.pairs", one_kind, "in 'abac', the row of 'a' is"),
    ("text.pairs", lambda ids, p_1: numpy.outer(p_1, p_1), "adds up to"),
    ("batching.pad", pad_by_ids, "the mask is False at the real id 0"),
    ("batching.pad", pad_left, "for the rows [[3, 1, 2], [4]], the array of ids is"),
    ("batching.pad", lambda rows: pad_left(rows)[0], "expected two arrays"),
    ("batching.mean_loss", lambda losses, mask: (losses.mean(), mask), "it averages padding too"),
    ("batching.mean_loss", lambda losses, mask: ((losses * mask).mean(), mask), "only 9 are real"),
    ("batching.mean_loss", lambda losses, mask: ((losses * mask).sum() / mask.sum(), mask), "the gradient is"),
    ("batching.mean_loss", lambda losses, mask: (losses * mask).sum() / mask.sum(), "does not return two things"),
    ("batching.pieces", [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 0]]], "the second row continues the first"),
    ("batching.pieces", [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 0]]], "piece 0 is"),
    ("batching.pieces", [[[0, 1, 2], [5, 6, 7]]], "there are 1 pieces, expected 2"),
]


@pytest.mark.parametrize(("name", "answer", "words"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, answer, words):
    assert words in verdict(name, answer)
