"""Exercises on `functions.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.functions import softmax
from scratch.initial import generator

START = """
import numpy
"""


@exercise
def by_hand(answer: Any) -> None:
    """Three letters have the scores 0, log 2 and log 5. What are their probabilities by softmax? With which
    probabilities does `sample_from` then draw them at a temperature of 0.5, and with which at top_k=2 (and the
    temperature 1)?

    Start:

        by_hand = {"softmax": [0, 0, 0], "temperature": [0, 0, 0], "top_k": [0, 0, 0]}
    """
    weights = numpy.array([1, 2, 5])
    right = {"softmax": weights / 8, "temperature": weights**2 / 30, "top_k": [0, 2 / 7, 5 / 7]}
    mistakes = {
        ("softmax",): (softmax([1, 2, 5]), "the exponential of log 5 is 5"),
        ("temperature", 1): (weights**0.5 / (weights**0.5).sum(), "a weight counts as weight^(1 / temperature)"),
        ("temperature", 2): (weights**2 / 64, "these are not probabilities: their sum is not 1"),
        ("top_k",): ([0, 2 / 8, 5 / 8], "these are not probabilities: their sum is not 1"),
    }
    for name, expected in right.items():
        for (of, *_), (wrong, explanation) in mistakes.items():
            if of == name and numpy.shape(answer[name]) == (3,) and numpy.allclose(answer[name], wrong, atol=1e-3):
                raise Wrong(f"{name}: {explanation}")
        expect_equal(answer[name], expected, f"{name}")


@exercise
def log_sum_exp(answer: Any) -> None:
    """Write the logarithm of the sum of exp(z) over the last axis, for an array z of any shape (..., K). It must be
    right for z = [1000, 1000], where it is 1000 + log 2, and for z = [-1000, -1000].

    Start:

        def log_sum_exp(z):
            raise NotImplementedError
    """
    pairs = ([0.0, 1.0], [1000.0, 1000.0], [-1000.0, -1000.0], [1000.0, -1000.0])
    with numpy.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for z in pairs:
            found = answer(numpy.array(z))
            if found is not None and numpy.shape(found) == () and not numpy.isfinite(found):
                raise Wrong(f"for z = {z}, the result is {float(found)}: subtract the largest z first")
            right = max(z) + numpy.log(numpy.exp(numpy.array(z) - max(z)).sum())
            if found is not None and numpy.allclose(found, right - max(z)):
                raise Wrong(f"for z = {z}, the result is {float(found):.4g}: the largest z was not added back")
            expect_equal(found, right, f"for z = {z}, the result")
        many = generator().standard_normal((3, 4))
        expect_equal(answer(many), numpy.log(numpy.exp(many).sum(axis=-1)), "for a z of shape (3, 4), the result")


@exercise
def min_p(answer: Any) -> None:
    """A third way to leave out unlikely letters, besides top_k and top_p ("min-p"; Nguyen et al. 2024,
    https://arxiv.org/abs/2407.01082): keep those whose probability is at least p times the largest. Return the array
    with all others set to zero. (Its sum need not be 1 for `sample_from`.) For probabilities = [0.1, 0.6, 0.3] and
    p = 0.4 it is [0, 0.6, 0.3].

    Start:

        def min_p(probabilities, p):
            raise NotImplementedError
    """
    cases = [
        ([0.1, 0.6, 0.3], 0.4, [0, 0.6, 0.3]), ([0.2, 0.4, 0.4], 0.5, [0.2, 0.4, 0.4]),
        ([0.05, 0.5, 0.25, 0.2], 0.45, [0, 0.5, 0.25, 0]),
    ]
    for probabilities, p, right in cases:
        given = numpy.array(probabilities)
        found = answer(given.copy(), p)
        if found is not None and numpy.shape(found) == numpy.shape(right) and not numpy.allclose(found, right):
            if numpy.allclose(found, given * (given >= p)):
                raise Wrong(f"for {probabilities} and p = {p}, p itself is the limit: multiply it by the largest")
            if numpy.allclose(found, given * (given > p * max(given))):
                raise Wrong(f"for {probabilities} and p = {p}, a letter at the limit itself is left out")
            if numpy.allclose(found, numpy.array(right) / sum(right)):
                raise Wrong(f"for {probabilities} and p = {p}, the numbers that are kept must not change")
        expect_equal(found, right, f"for {probabilities} and p = {p}, the result")
