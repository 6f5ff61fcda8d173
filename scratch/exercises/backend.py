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
        raise Wrong(f"{answer} is no positive whole number that float32 can represent")
    if n + numpy.float32(1) != n:
        raise Wrong(f"in float32, {int(n)} + 1 is {int(n + numpy.float32(1))}: the answer is larger")
    for smaller in (n / 2, n - 1):
        if smaller + numpy.float32(1) == smaller:
            raise Wrong(f"in float32, {int(smaller)} + 1 is {int(smaller)} too: the answer is smaller")
