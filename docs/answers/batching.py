"""Answers to the exercises on batching.py."""

import numpy


def pad(rows):
    width = max(len(row) for row in rows)
    ids, mask = numpy.zeros((len(rows), width), dtype=int), numpy.zeros((len(rows), width), dtype=bool)
    for n, row in enumerate(rows):
        ids[n, : len(row)] = row
        # Only the length tells a real 0 from a padded one.
        mask[n, : len(row)] = True
    return ids, mask


def mean_loss(losses, mask):
    # Every real step has the same weight, 1 / mask.sum(), which is also its derivative; padding has weight 0.
    weights = mask / mask.sum()
    return (losses * weights).sum(), weights


# Each of the two rows has (12 - 1) // 2 = 5 ids: 0 to 4, and 5 to 9. The id 10 is only a next id, and 11 is dropped.
# The second piece has the two columns that are left.
pieces = [[[0, 1, 2], [5, 6, 7]], [[3, 4], [8, 9]]]
