"""The fast twins of the optimizers: one update of one vector for the whole model, in place.

Where the Parameters of a step have made different numbers of steps, which an update may depend on, each is stepped by
itself, as in the plain optimizers. The state of each Parameter is a view of one vector for each slot.
"""

import math
from typing import Any

import numpy

from scratch import averages, optimizers
from scratch.backend import Array, xp
from scratch.fast.vector import in_one_vector
from scratch.layer import Layer, Parameter


class OneVector(optimizers.Optimizer):
    """An Optimizer whose `step` is one `update` of the vector of all Parameters that are not fixed.

    `update` may change `grad`. What begins with an underscore belongs to the layer of the last step; a copy of the
    optimizer gathers its own.
    """

    _layer: Layer | None = None  # of the last step
    _seen: tuple[tuple[Parameter, Array, Array], ...] = ()  # each Parameter in the vectors, with its arrays
    _state: dict[Parameter, list[Array]] | None = None  # `state`, whose arrays are views of the vectors
    _vectors: tuple[Array, ...] = ()  # data, grad and one for each slot
    _fixed: tuple[Parameter, ...] = ()
    _decaying: tuple[Array, ...] = ()
    _t: int | None = None  # how many steps all of them have made; None where they differ

    def step(self, layer: Layer) -> None:
        if layer is not self._layer or self.state is not self._state or self._moved():
            self._gather(layer)
        if self._t is None:
            return super().step(layer)
        data, grad, *state = self._vectors
        for p in self._fixed:
            p.grad.fill(0)
        if self.clip_norm is not None:
            clip(grad, self.clip_norm)
        if self.squares and not square_of(grad) < math.inf:
            self.expect_finite_squares({name: p for name, p in layer.named_parameters().items() if not p.fixed})
        self._t += 1
        if self.weight_decay:
            for weights in self._decaying:
                weights *= 1 - self.lr * self.weight_decay
        self.update(data, grad, self._t, *state)
        grad.fill(0)
        return None

    def _moved(self) -> bool:
        """Whether an array was replaced, or moved with another part of the model, or a Parameter frozen or freed."""
        for p, data, grad in self._seen:
            if p.data is not data or p.grad is not grad or p.fixed:
                return True
        for p in self._fixed:
            if not p.fixed:
                return True
        return False

    def _gather(self, layer: Layer) -> None:
        self._write_steps()
        self._fixed = tuple(p for p in layer.parameters() if p.fixed)
        parameters = [p for p in layer.parameters() if not p.fixed]
        data, grad = in_one_vector(parameters)
        counts = {self.steps.get(p, 0) for p in parameters}
        self._t = counts.pop() if len(counts) == 1 else None
        self._decaying = tuple(p.data for p in parameters if p.data.ndim > 1)
        vectors = [xp.zeros_like(data) for _ in self.slots]
        stop = 0
        for p in parameters:
            start, stop = stop, stop + p.data.size
            views = [vector[start:stop].reshape(p.data.shape) for vector in vectors]
            for view, known in zip(views, self.state.get(p, ()), strict=False):
                view[...] = known
            self.state[p] = views
        self._layer, self._seen = layer, tuple((p, p.data, p.grad) for p in parameters)
        self._state, self._vectors = self.state, (data, grad, *vectors)

    def _write_steps(self) -> None:
        if self._t is not None:
            self.steps |= {p: self._t for p, _, _ in self._seen}

    def state_dict(self, layer: Layer) -> dict[str, Any]:
        self._write_steps()
        return super().state_dict(layer)

    def __getstate__(self) -> dict[str, Any]:  # what a copy takes over
        self._write_steps()
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def load_state(self, layer: Layer, state: dict[str, Any]) -> None:
        super().load_state(layer, state)
        self._layer, self._t = None, None


class GradientDescent(OneVector, optimizers.GradientDescent):
    """As `optimizers.GradientDescent`."""

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        grad *= self.lr
        data -= grad


class Momentum(OneVector, optimizers.Momentum):
    """As `optimizers.Momentum`."""

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        (u,) = state
        u *= self.momentum
        grad *= 1 - self.momentum
        u += grad
        if self.nesterov:
            grad += self.momentum * u
            grad *= self.lr
        else:
            xp.multiply(u, self.lr, out=grad)
        data -= grad


class RMSProp(OneVector, optimizers.RMSProp):
    """As `optimizers.RMSProp`."""

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        (v,) = state
        v *= self.decay
        v += (1 - self.decay) * grad * grad
        grad *= self.lr
        grad /= xp.sqrt(v) + self.epsilon
        data -= grad


class Adam(OneVector, optimizers.Adam):
    """As `optimizers.Adam`."""

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        m, v = state
        m *= self.beta1
        m += (1 - self.beta1) * grad
        v *= self.beta2
        grad *= grad
        grad *= 1 - self.beta2
        v += grad
        # Both corrections are single numbers, so they are applied to the step and to epsilon, not to the arrays.
        correction = math.sqrt(1 - self.beta2**t)
        xp.sqrt(v, out=grad)
        grad += self.epsilon * correction
        xp.divide(m, grad, out=grad)
        grad *= self.lr * correction / (1 - self.beta1**t)
        data -= grad


class AdamW(Adam, optimizers.AdamW):
    """As `optimizers.AdamW`."""


class Lookahead(OneVector, averages.Lookahead):
    """As `averages.Lookahead`."""


class MovingAverage(OneVector, averages.MovingAverage):
    """As `averages.MovingAverage`."""


def clip(grad: Array, max_norm: float) -> None:
    """As `optimizers.clip_by_norm` of one vector."""
    square = square_of(grad)
    if not 1e-30 < square < math.inf:  # in float32 it is too large, or too small
        return optimizers.clip_by_norm([grad], max_norm)
    norm = math.sqrt(square)
    if norm > max_norm:
        grad *= max_norm / norm
    return None


def square_of(grad: Array) -> float:
    """The squared norm; infinity where it overflows."""
    with numpy.errstate(over="ignore"):
        return float(grad.dot(grad))


TWINS: dict[type, type] = {
    optimizers.GradientDescent: GradientDescent, optimizers.Momentum: Momentum, optimizers.RMSProp: RMSProp,
    optimizers.Adam: Adam, optimizers.AdamW: AdamW, averages.Lookahead: Lookahead,
    averages.MovingAverage: MovingAverage,
}
