"""How good a classifier is, beyond one number: the confusion matrix, and what can be read off it.

Rows are the truth, columns the guess, and each example is counted in one place:

    confusion = count_confusions(actual, guessed, num_classes)     # (K, K)
    accuracy(confusion)                                            # the share on the diagonal
    precision, recall, f1 = per_class(confusion)                   # three (K,) arrays

Accuracy is what a user meets when examples come as often as in the data; the mean of the classes' recalls (also
called balanced accuracy) is what a user of an average class meets, however rare it is. A guess that is always the
commonest class can do well by the first and not by the second, so both are reported.

Read next: `pickles.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy

from scratch.checks import expect


def count_confusions(actual: Any, guessed: Any, num_classes: int) -> numpy.ndarray:
    """How many examples of each class (row) were taken for each class (column): (K, K) integers, on the host.

    Raises: ScratchError unless both are ids from 0 to num_classes - 1, as many of one as of the other.
    """
    actual, guessed = numpy.array(actual, dtype=numpy.int64), numpy.array(guessed, dtype=numpy.int64)
    both = numpy.concatenate([actual, guessed])
    right = actual.shape == guessed.shape and bool(((both >= 0) & (both < num_classes)).all())
    expect(right, "count_confusions", f"equally many ids, from 0 to {num_classes - 1}", f"{actual} and {guessed}")
    places = actual * num_classes + guessed
    return numpy.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def shares(confusion: numpy.ndarray) -> numpy.ndarray:
    """Each row divided by its sum: how much of a class was taken for what. (K, K); zeros where a class has nothing."""
    return confusion / numpy.maximum(confusion.sum(axis=1, keepdims=True), 1)


def accuracy(confusion: numpy.ndarray) -> float:
    """The share of examples that were taken for what they are; 0 when there are none."""
    return float(confusion.trace() / max(confusion.sum(), 1))


def per_class(confusion: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Precision, recall and F1 of each class: three arrays (K,).

        precision = right / all that were taken for the class       (how far such a guess can be believed)
        recall    = right / all that are of the class               (how many of them are found)
        F1        = 2 precision recall / (precision + recall)

    Where nothing is counted below the line the figure is 0.
    """
    right, guessed, actual = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    # F1 written out: what is right, among the mean of those guessed and those that are.
    below = guessed, actual, (guessed + actual) / 2  # counts, so below a half is none at all
    precision, recall, f1 = (right / numpy.maximum(total, 0.5) for total in below)
    return precision, recall, f1


def mean_recall(confusion: numpy.ndarray) -> float:
    """The mean recall over the classes that have examples; 0 when none has."""
    _, recall, _ = per_class(confusion)
    found = recall[confusion.sum(axis=1) > 0]
    return float(found.mean()) if found.size else 0.0


def mean_f1(confusion: numpy.ndarray) -> float:
    """The mean F1 over the classes that have examples, also called macro F1; 0 when none has."""
    *_, f1 = per_class(confusion)
    found = f1[confusion.sum(axis=1) > 0]
    return float(found.mean()) if found.size else 0.0


def table(confusion: numpy.ndarray, labels: Sequence[str]) -> str:
    """Count, precision, recall and F1 of each class, and what it was most often taken for, as text."""
    rows = [f"{'':12} {'count':>6} {'precision':>10} {'recall':>7} {'F1':>6}  most often taken for"]
    for k, (label, precision, recall, f1) in enumerate(zip(labels, *per_class(confusion), strict=True)):
        others = confusion[k].copy()
        others[k] = 0
        worst = f"{labels[others.argmax()]} ({others.max()})" if others.any() else ""
        rows.append(f"{label:12} {confusion[k].sum():6} {precision:10.3f} {recall:7.3f} {f1:6.3f}  {worst}")
    return "\n".join(rows)
