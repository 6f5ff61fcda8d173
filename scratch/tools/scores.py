"""Scoring a classifier: the confusion matrix, accuracy, precision, recall and F1.

Each example adds one to the confusion matrix, in the row of its true class and the column of the guessed class:

    confusion = count_confusions(actual, guessed, num_classes)     # (K, K)
    accuracy(confusion)                                            # the fraction on the diagonal
    precision, recall, f1 = per_class(confusion)                   # three (K,) arrays

Accuracy counts every example equally, so common classes dominate it. The mean of the classes' recalls (also called
balanced accuracy) counts every class equally, however rare it is. Of 90 cats and 10 dogs, a classifier that always
guesses "cat" has an accuracy of 0.9 but a mean recall of 0.5, so both are reported.

Read next: `pickles.py`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy

from scratch.checks import expect
from scratch.tools.program import one_line


def count_confusions(actual: Any, guessed: Any, num_classes: int) -> numpy.ndarray:
    """Count the examples of each class (row) that were classified as each class (column): (K, K) host integers.

    Raises: ScratchError unless both have equally many ids, all from 0 to num_classes - 1.
    """
    actual, guessed = numpy.array(actual, dtype=numpy.int64), numpy.array(guessed, dtype=numpy.int64)
    both = numpy.concatenate([actual, guessed])
    right = actual.shape == guessed.shape and bool(((both >= 0) & (both < num_classes)).all())
    expect(right, "count_confusions", f"equally many ids, from 0 to {num_classes - 1}", f"{actual} and {guessed}")
    places = actual * num_classes + guessed
    return numpy.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def shares(confusion: numpy.ndarray) -> numpy.ndarray:
    """The confusion matrix with each row divided by its sum: (K, K). A class without examples has a row of zeros."""
    return confusion / numpy.maximum(confusion.sum(axis=1, keepdims=True), 1)


def accuracy(confusion: numpy.ndarray) -> float:
    """The fraction of examples that were classified correctly; 0 when there are none."""
    return float(confusion.trace() / max(confusion.sum(), 1))


def per_class(confusion: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Precision, recall and F1 of each class: three arrays (K,).

        precision = right / all examples classified as the class    (how far such a guess can be trusted)
        recall    = right / all examples of the class               (the fraction that is found)
        F1        = 2 precision recall / (precision + recall)

    A figure whose denominator is 0 is 0.
    """
    right, guessed, actual = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    # Substituting precision and recall, F1 = right / mean of the guessed and the actual count.
    below = guessed, actual, (guessed + actual) / 2  # multiples of 0.5, so the 0.5 below replaces only 0
    precision, recall, f1 = (right / numpy.maximum(total, 0.5) for total in below)
    return precision, recall, f1


def mean_recall(confusion: numpy.ndarray) -> float:
    """The mean recall over the classes that have examples; 0 when no class has any."""
    _, recall, _ = per_class(confusion)
    found = recall[confusion.sum(axis=1) > 0]
    return float(found.mean()) if found.size else 0.0


def mean_f1(confusion: numpy.ndarray) -> float:
    """The mean F1 (macro F1) over the classes that have examples; 0 when no class has any."""
    *_, f1 = per_class(confusion)
    found = f1[confusion.sum(axis=1) > 0]
    return float(found.mean()) if found.size else 0.0


def table(confusion: numpy.ndarray, labels: Sequence[str]) -> str:
    """A text table of the count, precision, recall and F1 of each class, and the most frequent wrong guess."""
    rows = [f"{'':12} {'count':>6} {'precision':>10} {'recall':>7} {'F1':>6}  most often mistaken for"]
    for k, (label, precision, recall, f1) in enumerate(zip(labels, *per_class(confusion), strict=True)):
        others = confusion[k].copy()
        others[k] = 0
        worst = f"{labels[others.argmax()]} ({others.max()})" if others.any() else ""
        rows.append(f"{label:12} {confusion[k].sum():6} {precision:10.3f} {recall:7.3f} {f1:6.3f}  {worst}")
    return "\n".join(rows)


def kind_of(known: Collection[str]) -> Callable[[str], str]:
    """A function that classifies an invented name as "verbatim" (already known), "garbage" or "new".

    Garbage is a name of one character or none, or one with more than a third of its trigrams in no known name. The
    start and the end count as characters, and letter case is ignored.
    """

    def trigrams(name: str) -> list[str]:
        marked = f"\0{name.lower()}\1"
        return [marked[i : i + 3] for i in range(len(name))]

    names, common = set(known), {three for name in known for three in trigrams(name)}

    def kind(name: str) -> str:
        own = trigrams(name)
        garbage = len(name) < 2 or sum(three not in common for three in own) > len(own) / 3
        return "verbatim" if name in names else "garbage" if garbage else "new"

    return kind


def listed(invented: Sequence[str], known: Collection[str]) -> list[str]:
    """A line for each invented name, with its kind; the new names come first."""
    kind, order = kind_of(known), ("new", "garbage", "verbatim")
    pairs = sorted(((kind(name), name) for name in invented), key=lambda pair: order.index(pair[0]))
    return [f"  {kind:8}  {one_line(name)}" for kind, name in pairs]


def only_new(invented: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """The distinct invented names that are "new"."""
    kind, found = kind_of(known), set[str]()
    for name in invented:
        if name not in found and kind(name) == "new":
            found.add(name)
            yield name


def novelty(invented: Sequence[str], known: Collection[str]) -> dict[str, float]:
    """The share of each kind among invented names."""
    kinds = [*map(kind_of(known), invented)]
    return {kind: kinds.count(kind) / max(len(kinds), 1) for kind in ("verbatim", "new", "garbage")}
