"""Exercises on `text.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.text import NgramModel, Vocabulary

START = """
import numpy
"""


@exercise
def banana(answer: Any) -> None:
    """An NgramModel of order 2 has counted the text "banana". What are its probabilities of b, a and n after an a? Work
    out p_1(b), p_1(a) and p_1(n) first.

    Start:

        banana = {"p_1": [0, 0, 0], "p_2 after a": [0, 0, 0]}  # of b, a, n
    """
    vocab = Vocabulary("banana")
    expect_equal(answer["p_1"], NgramModel(vocab.encode("banana"), 3, 1).following([]), "p_1")
    found = numpy.asarray(answer["p_2 after a"], dtype=float)
    if found.shape == (3,) and numpy.allclose(found, (numpy.array([0, 0, 2]) + answer["p_1"]) / 4, atol=0.002):
        raise Wrong("p_2 after a uses a total of 3, but nothing follows the last a: only 2 ids follow an a")
    expect_equal(found, NgramModel(vocab.encode("banana"), 3, 2).following(vocab.encode("a")), "p_2 after a")


@exercise
def pairs(answer: Any) -> None:
    """Write a function that returns p_2 for all pairs of ids. Row a, column b of the table is the probability of b
    after a. `p_1` has the probability of each id without a context. If nothing follows a in the text, row a is `p_1`.

    Start:

        def pairs(ids, p_1):
            table = numpy.zeros((len(p_1), len(p_1)))
            raise NotImplementedError  # count the pairs; then mix each row with p_1
    """
    for text in ("abac", "banana", "aaaab"):
        ids, size = Vocabulary(text).encode(text), Vocabulary(text).size
        p_1, model = NgramModel(ids, size, 1).following([]), NgramModel(ids, size, 2)
        table = numpy.asarray(answer(ids, p_1.copy()), dtype=float)
        for k in range(size):
            what = f"in {text!r}, the row of {text[ids.index(k)]!r}"
            if table.shape == (size, size) and numpy.isnan(table[k]).any():
                raise Wrong(f"{what} has nan, from 0 / 0: where nothing follows an id, its row is p_1")
            if table.shape == (size, size) and not numpy.isclose(table[k].sum(), 1):
                raise Wrong(f"{what} is {table[k].round(3)}, which adds up to {table[k].sum():.3g}, not to 1")
            expect_equal(table[k], model.following([k]), what)
