"""Weights averaged over training steps: Lookahead and MovingAverage.

An optimizer's weights scatter around the minimum, since each step sees different examples; the mean over many steps
lies nearer to it. If the minimum is 1.0, the weights 0.9, 1.1, 0.8 and 1.2 are each off by 0.1 or 0.2, but their mean
is exact. Weight averagers wrap an optimizer:

    optimizer = MovingAverage(Adam(0.001), decay=0.999)
    optimizer.step(model)                    # takes Adam's step, then updates the average
    with optimizer.averaged(model):          # inside the block, the model has the averaged weights
        evaluate(model)

Read next: `schedules.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scratch.backend import Array
from scratch.checks import arguments_of, expect
from scratch.layer import Layer
from scratch.optimizers import Optimizer


class Averager(Optimizer):
    """Takes the steps of `inner`; after each, `follow` updates an average of the weights.

    The average starts from the weights before the first update, after any weight decay.
    """

    changing = ("lr", "decay")

    def __init__(self, inner: Optimizer, decay: float) -> None:
        super().__init__(inner.lr, inner.clip_norm, inner.weight_decay)
        self.inner, self.decay = inner, decay
        self.slots, self.squares = ("average", *inner.slots), inner.squares
        expect(0 <= decay <= 1, self, "a decay from 0 to 1", decay)

    def arguments(self) -> dict[str, Any]:
        own = {name: value for name, value in arguments_of(self).items() if name != "inner"}
        inner = {name: value for name, value in self.inner.arguments().items() if name not in self.inner.changing}
        return own | {"lr": self.lr, "inner": {"kind": type(self.inner).__name__, **inner}}

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        average, *others = state
        if t == 1:
            average[...] = data
        self.inner.lr = self.lr  # `inner` supplies only the formula; its state and learning rate are kept here
        self.inner.update(data, grad, t, *others)
        self.follow(average, data, t)

    def follow(self, average: Array, data: Array, t: int) -> None:
        """Update `average`, in place, after the t-th step."""
        raise NotImplementedError

    @contextmanager
    def averaged(self, layer: Layer) -> Iterator[None]:
        """Within this context, every updated parameter holds its average; afterwards, its own value again."""
        stepped = [p for p in layer.parameters() if p in self.state]
        own = [p.data.copy() for p in stepped]
        for p in stepped:
            p.data[...] = self.state[p][0]
        try:
            yield
        finally:
            for p, data in zip(stepped, own, strict=True):
                p.data[...] = data


class Lookahead(Averager):
    """Every few steps, slow weights move part of the way to the optimizer's, which then restarts from them.

        every `every` steps:   slow = decay * slow + (1 - decay) * p;   p = slow

    p are the weights after a step of the optimizer `inner`. This averages out the overshoot of its fast steps; a larger
    `decay` averages more. Like `lr`, `decay` may be changed between steps.

    Source: Zhang et al. 2019, https://arxiv.org/abs/1907.08610, algorithm 1; the paper's alpha is 1 - decay.
    """

    def __init__(self, inner: Optimizer, every: int = 5, decay: float = 0.5) -> None:
        super().__init__(inner, decay)
        self.every = every

    def follow(self, average: Array, data: Array, t: int) -> None:
        if t % self.every == 0:
            average[...] = self.decay * average + (1 - self.decay) * data
            data[...] = average


class MovingAverage(Averager):
    """Takes the steps of the optimizer `inner` and keeps a running mean of the resulting weights.

        average = decay * average + (1 - decay) * p

    In early steps the decay is smaller, (1 + t) / (10 + t), so that the average soon forgets the initial weights. A
    decay of 0.999 is reached after 8,990 steps.

    Source: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; in the form of TensorFlow's
        ExponentialMovingAverage with num_updates.
    """

    def __init__(self, inner: Optimizer, decay: float = 0.999) -> None:
        super().__init__(inner, decay)

    def follow(self, average: Array, data: Array, t: int) -> None:
        decay = min(self.decay, (1 + t) / (10 + t))
        average[...] = decay * average + (1 - decay) * data
