"""Exercises on `schedules.py`."""

import math
from typing import Any

from scratch.exercises.checking import Wrong, exercise, expect_equal

START = """
import math
"""


@exercise
def square_root(answer: Any) -> None:
    """Write a schedule that needs no total number of steps. Its multiplier rises linearly, from 1 / warmup at step 0 to
    1 at step `warmup - 1`. (That is the `warmup`-th step, since steps count from 0.) After that, the multiplier falls
    with the inverse square root of the number of steps: at step 4 * warmup - 1, the 4 * warmup-th, it is 1 / 2.

    Start:

        def square_root(step, warmup):
            raise NotImplementedError
    """
    if answer(0, 10) == 0:
        raise Wrong("the multiplier at step 0 is 0, so the first step would change nothing")
    for step in (0, 3, 9, 10, 39, 999):
        found, right = answer(step, 10), min((step + 1) / 10, math.sqrt(10 / (step + 1)))
        if step > 9 and found is not None and math.isclose(found, 10 / (step + 1)):
            raise Wrong(f"with warmup=10, the multiplier at step {step} is {found:.4g}: its square root is missing")
        expect_equal(found, right, f"with warmup=10, the multiplier at step {step}")
