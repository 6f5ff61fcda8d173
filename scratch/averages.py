"""Weights averaged over the steps of a run: Lookahead and MovingAverage.

An optimizer's steps scatter around their goal, since each sees other examples; the mean of many steps' weights lies
nearer to it. Of the weights 0.9, 1.1, 0.8, 1.2 around 1.0, each is off by 0.1 or 0.2, and their mean by nothing. Weight
averagers wrap an optimizer:

    optimizer = MovingAverage(Adam(0.001), decay=0.999)
    optimizer.step(model)                    # Adam's step, and the average follows
    with optimizer.averaged(model):          # inside it, the model has the averaged weights
        evaluate(model)

Read next: `schedules.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from scratch.backend import Array
from scratch.layer import Layer
from scratch.optimizers import Optimizer


class Averager(Optimizer):
    """Makes the steps of `inner`, and after each lets `follow` update an average of the weights.

    An average starts as the weights of the first step, before it moves them.
    """

    def __init__(self, inner: Optimizer, decay: float) -> None:
        super().__init__(inner.lr, inner.clip_norm, inner.weight_decay)
        self.inner, self.decay = inner, decay
        self.slots = ("average", *inner.slots)

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        average, *others = state
        if t == 1:
            average[...] = data
        self.inner.lr = self.lr  # the formula is inner's; the state and the learning rate are kept here
        self.inner.update(data, grad, t, *others)
        self.follow(average, data, t)

    def follow(self, average: Array, data: Array, t: int) -> None:
        """Update `average`, in place, after the t-th step."""
        raise NotImplementedError

    @contextmanager
    def averaged(self, layer: Layer) -> Iterator[None]:
        """Inside it the parameters that it has stepped are their averages; afterwards they are as before."""
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
    """An optimizer goes ahead; every few steps the slow weights follow part of the way, and it continues from them.

        every `every` steps:   slow = decay * slow + (1 - decay) * p;   p = slow

    So what the fast steps overshoot is averaged out, the more the larger `decay` is. It may be changed between steps,
    as `lr` may.

    Source: Zhang et al. 2019, https://arxiv.org/abs/1907.08610, algorithm 1; its alpha is 1 - decay.
    """

    def __init__(self, inner: Optimizer, every: int = 5, decay: float = 0.5) -> None:
        super().__init__(inner, decay)
        self.every = every

    def follow(self, average: Array, data: Array, t: int) -> None:
        if t % self.every == 0:
            average[...] = self.decay * average + (1 - self.decay) * data
            data[...] = average


class MovingAverage(Averager):
    """The steps of another optimizer, and a running mean of the resulting weights.

        average = decay * average + (1 - decay) * p

    At first the decay is smaller, (1 + t) / (10 + t), so that the average soon forgets the initial weights; for a decay
    of 0.999 in the first 8,990 steps.

    Source: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; in this form TensorFlow's
        ExponentialMovingAverage with num_updates.
    """

    def __init__(self, inner: Optimizer, decay: float = 0.999) -> None:
        super().__init__(inner, decay)

    def follow(self, average: Array, data: Array, t: int) -> None:
        decay = min(self.decay, (1 + t) / (10 + t))
        average[...] = decay * average + (1 - decay) * data
