"""Weights that are averaged over the steps of a run: Lookahead, and the moving average that one predicts by.

The steps of an optimizer go to and fro around where they lead, since each sees another batch. A mean of many steps'
weights lies nearer to that goal. Both averages are kept by an optimizer that goes around another one:

    optimizer = MovingAverage(Adam(0.001), decay=0.999)
    optimizer.step(model)                    # Adam's step; and the average follows
    with optimizer.averaged(model):          # inside it, the model has the average's weights
        evaluate(model)

Read next: `schedules.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from scratch.backend import Array
from scratch.layer import Layer, Parameter
from scratch.optimizers import Optimizer


class Around(Optimizer):
    """Makes the steps of `inner`, and after each lets `follow` bring an average after the weights.

    An average begins as what the weights are at the first step with them.
    """

    def __init__(self, inner: Optimizer, decay: float) -> None:
        super().__init__(inner.lr, inner.clip_norm, inner.weight_decay)
        self.inner, self.decay = inner, decay
        self.slots = ("average", *inner.slots)

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        average, *others = state
        self.inner.lr, self.inner.num_steps = self.lr, self.num_steps
        self.inner.update(data, grad, *others)
        self.follow(average, data)

    def follow(self, average: Array, data: Array) -> None:
        """Bring `average` after `data`, both in place."""
        raise NotImplementedError

    def _gather(self, layer: Layer) -> None:
        fresh: list[Parameter] = [p for p in layer.parameters() if not self._state.get(p)]
        super()._gather(layer)
        for p in fresh:
            self._state[p]["average"][...] = p.data.ravel()

    @contextmanager
    def averaged(self, layer: Layer) -> Iterator[None]:
        """Inside it the parameters of `layer`, which it steps, are their averages; afterwards they are as before."""
        if layer is not self._layer or self._moved():
            self._gather(layer)
        own = self._data.copy()
        self._data[...] = self._vectors[0]
        try:
            yield
        finally:
            self._data[...] = own


class Lookahead(Around):
    """Another optimizer goes ahead; every few steps the slow weights follow part of the way, and it goes on from them.

        every `every` steps:   slow = decay * slow + (1 - decay) * p;   p = slow

    So what the fast steps overshoot is averaged out. The larger `decay`, the more; it may be changed between steps,
    as `lr` may.

    Source: Zhang et al. 2019, https://arxiv.org/abs/1907.08610, algorithm 1; its alpha is 1 - decay.
    """

    def __init__(self, inner: Optimizer, every: int = 5, decay: float = 0.5) -> None:
        super().__init__(inner, decay)
        self.every = every

    def follow(self, average: Array, data: Array) -> None:
        if self.num_steps % self.every == 0:
            average *= self.decay
            average += (1 - self.decay) * data
            data[...] = average


class MovingAverage(Around):
    """The steps of another optimizer, and beside them a running mean of the weights that they lead to.

        average = decay * average + (1 - decay) * p

    At first, when few steps have been made, `decay` is less: (1 + steps) / (10 + steps), so that the average soon
    forgets what the weights began as.

    Source: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; in this form TensorFlow's
        ExponentialMovingAverage with num_updates.
    """

    def __init__(self, inner: Optimizer, decay: float = 0.999) -> None:
        super().__init__(inner, decay)

    def follow(self, average: Array, data: Array) -> None:
        decay = min(self.decay, (1 + self.num_steps) / (10 + self.num_steps))
        average *= decay
        average += (1 - decay) * data
