"""Exercises on `backend.py`."""

from typing import Any

import numpy

from scratch.exercises.checking import Wrong, exercise

START = """
import numpy
"""


@exercise
def lost(answer: Any) -> None:
    """A float32 has 24 binary digits. Which is the smallest positive whole number n for which n + 1 equals n in
    float32?

    Start:

        lost = 0
    """
    n = numpy.float32(answer)
    if n < 1 or int(n) != answer:
        raise Wrong(f"{answer} is not a positive whole number that float32 can represent")
    if n > 2**24:
        raise Wrong(f"a number below {int(n)} already equals its successor in float32: the answer is smaller")
    if n + numpy.float32(1) != n:
        raise Wrong(f"in float32, {int(n)} + 1 is {int(n + numpy.float32(1))}: the answer is larger")
