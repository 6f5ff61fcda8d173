"""Exercises on `schedules.py`."""

import math
from typing import Any

from scratch.exercises.checking import Wrong, exercise, expect_equal

START = """
import math
"""


@exercise
def square_root(answer: Any) -> None:
    """Write a schedule that needs no number of steps: it rises linearly and is 1 at the step `warmup - 1`, which is the
    `warmup`-th, since steps count from 0. Then it falls with the square root: at the fourfold step, 4 * warmup - 1, the
    multiplier is 1 / 2. The first step must not be lost: its multiplier is 1 / warmup.

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
