"""How the learning rate changes on the way: what to multiply it with in an epoch, or at a step.

Large steps at first, to get far; small ones at the end, to settle. Often none too large at the very beginning, where
the gradient of weights drawn at random says little. A schedule is a function, and the loop sets the rate:

    for step in range(num_steps):
        optimizer.lr = 0.001 * cosine_decay(step, num_steps, warmup=100)

Read next: `gradient_check.py`.
"""

import math
from collections.abc import Sequence


def step_decay(epoch: int, at: Sequence[int], factor: float = 0.1) -> float:
    """The learning rate's multiplier in `epoch`: times `factor` from each epoch in `at` on."""
    return factor ** sum(epoch >= cut for cut in at)


def cosine_decay(step: int, num_steps: int, warmup: int = 0) -> float:
    """The multiplier at `step` of `num_steps`: up to 1 in a line while warming up, then down half a cosine to 0.

    Source: Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983, equation 5.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(num_steps - warmup, 1), 1.0)))


def triangle(step: int, num_steps: int, start: float, top: float, end: float) -> float:
    """The multiplier at `step` of `num_steps`: up from `start` to 1, at the share `top` of them, then down to `end`.

    Source: Smith 2015, https://arxiv.org/abs/1506.01186, with one cycle whose two sides differ.
    """
    share = step / num_steps
    if share < top:
        return start + (1 - start) * share / top
    return 1 + (end - 1) * (share - top) / (1 - top)
