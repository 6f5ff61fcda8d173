"""Answers to the exercises on text.py."""

from itertools import pairwise

import numpy

# Six ids of three kinds: b once, a three times, n twice. Two ids follow an a, both of them n, which is one kind.
# (Nothing follows the last a.)
p_1 = [(count + 3 * 1 / 3) / (6 + 3) for count in (1, 3, 2)]
banana = {"p_1": p_1, "p_2 after a": [(count + 1 * p) / (2 + 1) for count, p in zip((0, 0, 2), p_1, strict=True)]}


def pairs(ids, p_1):
    table = numpy.zeros((len(p_1), len(p_1)))
    for first, second in pairwise(ids):
        table[first, second] += 1
    for row in table:
        # Both are computed before the row is overwritten. If nothing follows, both are 0, and so is the denominator.
        total, kinds = row.sum(), (row > 0).sum()
        row[:] = (row + kinds * p_1) / (total + kinds) if total else p_1
    return table
