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


WRONG = [
    ("text.banana", {"p_1": [1 / 6, 3 / 6, 2 / 6], "p_2 after a": [0, 0, 1]}, "p_1 is"),
    ("text.banana", {"p_1": P_1, "p_2 after a": OF_3}, "nothing follows the last"),
    ("text.banana", {"p_1": P_1, "p_2 after a": [0, 0, 1]}, "p_2 after a is [0., 0., 1.], expected"),
    ("text.pairs", divided, "the row of 'a' is [0. , 0.5, 0.5], expected"),
    ("text.pairs", one_kind, "in 'abac', the row of 'a' is"),
    ("text.pairs", lambda ids, p_1: numpy.outer(p_1, p_1), "adds up to"),
]


@pytest.mark.parametrize(("name", "answer", "words"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, answer, words):
    assert words in verdict(name, answer)
