"""What an exercise is, and how an answer is checked.

An exercise is a function whose docstring is the question, with the start of an answer below the line `Start:`. It is
called with the reader's answer, and raises `Wrong` if that does not do what the question asks.
"""

import importlib
import inspect
import pkgutil
import random
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from scratch.backend import precision, to_host, use, xp
from scratch.gradient_check import gradient_errors, relative_error
from scratch.layer import Layer

TOLERANCE = 1e-6  # of the largest number expected


class Wrong(Exception):
    """An answer is not right; the message says what it gave, and what was expected."""


@dataclass
class Exercise:
    """A question, the start of an answer, and a function that raises `Wrong` unless it is given a right answer."""

    question: str
    start: str
    examine: Callable[[Any], None]


def exercise(function: Callable[[Any], None]) -> Exercise:
    """Makes an exercise of a function and its docstring."""
    question, start = inspect.cleandoc(function.__doc__ or "").split("\n\nStart:\n\n")
    return Exercise(question, textwrap.dedent(start), function)


def exercises() -> dict[str, dict[str, Exercise]]:
    """All exercises: the name of a chapter -> the name of an exercise -> the exercise, in the order of the files."""
    found = {}
    for module in pkgutil.iter_modules(importlib.import_module("scratch.exercises").__path__):
        names = vars(importlib.import_module(f"scratch.exercises.{module.name}")).items()
        those = {name: value for name, value in names if isinstance(value, Exercise)}
        if those:
            found[module.name] = those
    return found


def check(name: str, answer: Any) -> None:
    """Checks the answer to the exercise `name`, such as "dense.Scale", and prints the result."""
    print(f"{name}: {verdict(name, answer) or 'correct'}")


def verdict(name: str, answer: Any) -> str:
    """What is wrong with an answer, in a sentence; empty if it is right."""
    chapter, _, own = name.partition(".")
    try:
        examine = exercises()[chapter][own].examine
    except KeyError:
        raise ValueError(f"there is no exercise {name!r}; `python -m scratch.exercises` lists them") from None
    random.seed(0)
    device = xp.device
    use("cpu")  # answers are plain NumPy
    try:
        with precision("float64"):
            examine(answer)
    except NotImplementedError:
        return "not written yet"
    except Wrong as error:
        return str(error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} (line {place.lineno} of {place.name})"
    finally:
        use(device)
    return ""


def expect_equal(found: Any, expected: Any, what: str) -> None:
    """Rejects an answer whose value, described by `what`, is not the one expected."""
    if found is None:
        raise Wrong(f"{what} is None: is there a `return`?")
    found, expected = numpy.asarray(to_host(found)), numpy.asarray(to_host(expected))
    if found.shape != expected.shape:
        raise Wrong(f"{what} has shape {found.shape}, expected {expected.shape}")
    if found.dtype.kind not in "biuf" or relative_error(found, expected) > TOLERANCE:
        raise Wrong(f"{what} is {brief(found)}, expected {brief(expected)}")


def expect_gradients(layer: Layer, *inputs: Any, **kwargs: Any) -> None:
    """Rejects a layer whose backward pass differs from central differences."""
    for name, error in gradient_errors(layer, *inputs, **kwargs).items():
        if error > TOLERANCE:
            raise Wrong(f"the gradient of {name} differs from central differences by {error:.2g} (relative)")


def brief(array: numpy.ndarray) -> str:
    """An array in a few words."""
    return numpy.array2string(array, precision=4, threshold=8, edgeitems=2, separator=", ").replace("\n", "")
