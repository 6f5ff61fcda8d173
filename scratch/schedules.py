"""Learning-rate schedules: the factor that multiplies the learning rate at an epoch or a step.

Large steps make progress early in training; small steps at the end settle into a minimum. So `cosine_decay` falls from
1 to 0: half-way, a learning rate of 0.001 has become 0.0005. A warm-up also keeps the first steps small, because the
gradients of randomly initialised weights carry little information:

    cosine_decay(50, 100)                   # 0.5
    cosine_decay(0, 100, warmup=3)          # 0.25, then 0.5, 0.75 and 1.0
    step_decay(12, at=(10, 20))             # 0.1: one of the two drops has happened

A schedule is a plain function; the training loop sets the rate:

    for step in range(num_steps):
        optimizer.lr = 0.001 * cosine_decay(step, num_steps, warmup=100)

Read next: `gradient_check.py`.
"""

import math
from collections.abc import Sequence


def step_decay(epoch: int, at: Sequence[int], factor: float = 0.1) -> float:
    """The multiplier in `epoch`: 1 at first, then multiplied by `factor` at each epoch in `at`."""
    return factor ** sum(epoch >= cut for cut in at)


def cosine_decay(step: int, num_steps: int, warmup: int = 0) -> float:
    """The multiplier at `step` of `num_steps`: a linear warm-up to 1, then half a period of a cosine down to 0.

    Source: Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983, equation 5.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(num_steps - warmup, 1), 1.0)))


def triangle(step: int, num_steps: int, start: float, top: float, end: float) -> float:
    """The multiplier at `step` of `num_steps`: linear from `start` to 1, then linear to `end`.

    The peak is at the fraction `top` of the steps.
    Source: Smith 2015, https://arxiv.org/abs/1506.01186.
    Differs: there is a single cycle, and its two sides may have different slopes.
    """
    share = step / num_steps
    if share < top:
        return start + (1 - start) * share / top
    return 1 + (end - 1) * (share - top) / (1 - top)
