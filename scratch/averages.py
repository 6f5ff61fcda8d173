"""Weights that are averaged over the steps of a run: Lookahead, and the moving average that one predicts by.

The steps of an optimizer go to and fro around where they lead, since each sees another batch. A mean of the weights of
many steps lies nearer to it. Both averages are kept by an optimizer that goes around another one:

    optimizer = MovingAverage(Adam(0.001), decay=0.999)
    optimizer.step(model)                    # Adam's step; and the average follows
    with optimizer.averaged(model):          # inside it, the model has the average's weights
        evaluate(model)

Read next: `schedules.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from scratch.backend import Array
from scratch.layer import Layer
from scratch.optimizers import Optimizer


class Lookahead(Optimizer):
    """Another optimizer goes ahead; every few steps the slow weights follow part of the way, and it goes on from them.

        every `every` steps:   slow = decay * slow + (1 - decay) * p;   p = slow

    So what the fast steps overshoot is averaged out. The larger `decay`, the more; it may be changed between steps,
    as `lr` may.

    Source: Zhang et al. 2019, https://arxiv.org/abs/1907.08610, algorithm 1; its alpha is 1 - decay.
    """

    def __init__(self, ahead: Optimizer, every: int = 5, decay: float = 0.5) -> None:
        super().__init__(ahead.lr, ahead.clip_norm, ahead.weight_decay)
        self.ahead, self.every, self.decay = ahead, every, decay
        self.slots = ("slow", *ahead.slots)

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        slow, *others = state
        if self.num_steps == 1:
            slow[...] = data
        self.ahead.lr, self.ahead.num_steps = self.lr, self.num_steps
        self.ahead.update(data, grad, *others)
        if self.num_steps % self.every == 0:
            slow *= self.decay
            slow += (1 - self.decay) * data
            data[...] = slow


class MovingAverage(Optimizer):
    """The steps of another optimizer, and beside them a running mean of the weights that they lead to.

        average = decay * average + (1 - decay) * p

    At first, when few steps have been made, `decay` is less: (1 + steps) / (10 + steps), so that the average soon
    forgets what the weights began as.

    Source: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; in this form TensorFlow's
        ExponentialMovingAverage with num_updates.
    """

    def __init__(self, steps: Optimizer, decay: float = 0.999) -> None:
        super().__init__(steps.lr, steps.clip_norm, steps.weight_decay)
        self.steps, self.decay = steps, decay
        self.slots = ("average", *steps.slots)

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        average, *others = state
        if self.num_steps == 1:
            average[...] = data
        self.steps.lr, self.steps.num_steps = self.lr, self.num_steps
        self.steps.update(data, grad, *others)
        decay = min(self.decay, (1 + self.num_steps) / (10 + self.num_steps))
        average *= decay
        average += (1 - decay) * data

    @contextmanager
    def averaged(self, layer: Layer) -> Iterator[None]:
        """Inside it the parameters of `layer`, which it steps, are their averages; afterwards they are as before."""
        if layer is not self._layer or self._moved():
            self._gather(layer)
        average = self._vectors[0]
        own = self._data.copy()
        if self.num_steps:
            self._data[...] = average
        try:
            yield
        finally:
            self._data[...] = own
