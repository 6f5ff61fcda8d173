"""How parameters follow their gradients: GradientDescent, Momentum, RMSProp, Adam, AdamW.

A gradient says which way is up; every optimizer steps down, and they differ in how far:

    GradientDescent:  p -= lr * g
    Momentum:         u = mo * u + (1 - mo) * g;   p -= lr * u
    Adam:             p -= lr * (running mean of g) / sqrt(running mean of g^2)

    optimizer = Momentum(learning_rate=0.01)
    optimizer.step(model)                    # every Parameter once; then its grad is zero
    optimizer.lr *= 0.1                      # may change between steps

A step works on the whole model at once: `layer.in_one_vector` lays all parameters side by side, so each line of an
`update` below is one operation on one long array. Gradients are spent by the step, so their memory is free for
scratch work.

Read next: `averages.py`.
"""

import math
from typing import Any

from scratch.backend import Array, ScratchError, to_device, to_host, xp
from scratch.layer import Layer, Parameter, batch, in_one_vector


class Optimizer:
    """The contract, and what all share: the vectors, clipping, and state that can be saved by name.

    lr: the learning rate; may be changed between steps.
    clip_norm: when the gradient of the whole model is longer than this, it is shortened to it, in the same
        direction (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1). None: never.
    weight_decay: at each step every weight is first drawn a little towards zero, `p -= lr * weight_decay * p`, apart
        from its gradient (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101). Weights are parameters of two
        axes or more; biases, scales and shifts stay. (PyTorch draws them too; its SGD and Adam add the decay to the
        gradient, only AdamW keeps it apart.)

    A subclass writes `update` and names its state vectors in `slots`. The parameters of a layer are looked up at
    the first step with it: after adding layers to a model, make a new optimizer. A reader's own optimizer that
    overrides `step` must end with `layer.zero_grads()`.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, clip_norm: float | None = None, weight_decay: float = 0.0) -> None:
        self.lr = learning_rate
        self.clip_norm = clip_norm
        self.weight_decay = weight_decay
        self.num_steps = 0
        self._state: dict[Parameter, dict[str, Array]] = {}  # each Parameter's part of the state vectors
        self._steps: dict[Parameter, int] = {}  # how many steps each has made, for those not in this layer
        self._layer: Layer | None = None
        self._seen: list[tuple[Parameter, Array, Array]] = []

    def step(self, layer: Layer) -> None:
        """Move every Parameter of `layer` once against its gradient; then the gradients are zero."""
        if layer is not self._layer or self._moved():
            self._gather(layer)
        if (whole := batch.get()).num_ranks > 1:  # each process has had its part of the batch
            whole.add_up(self._grad)
        for grad in self._fixed:
            grad.fill(0)
        if self.clip_norm is not None:
            clip_by_norm(self._grad, self.clip_norm)
        self.num_steps += 1
        if self.weight_decay:
            for p, data, _ in self._seen:
                if data.ndim > 1 and not p.fixed:
                    data *= 1 - self.lr * self.weight_decay
        self.update(self._data, self._grad, *self._vectors)
        self._grad.fill(0)

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        """Change `data` in place by one step. May also change `grad`, which is spent."""
        raise NotImplementedError

    def _moved(self) -> bool:
        for p, data, grad in self._seen:  # an array that was replaced, or moved with another part of a model
            if p.data is not data or p.grad is not grad:
                return True
        return False

    def _gather(self, layer: Layer) -> None:
        parameters = layer.parameters()
        self._steps |= {p: self.num_steps for p, _, _ in self._seen}
        self.num_steps = max((self._steps.get(p, 0) for p in parameters), default=0)
        self._layer, (self._data, self._grad) = layer, in_one_vector(parameters)
        self._seen = [(p, p.data, p.grad) for p in parameters]
        self._fixed = [p.grad for p in parameters if p.fixed]
        self._vectors = [xp.zeros_like(self._data) for _ in self.slots]
        start = 0
        for p in parameters:
            stop, known = start + p.data.size, self._state.get(p, {})
            mine = {slot: vector[start:stop] for slot, vector in zip(self.slots, self._vectors, strict=True)}
            for slot, value in known.items():
                mine[slot][...] = value
            self._state[p], start = mine, stop

    def state(self, layer: Layer) -> dict[str, Any]:
        """The kind, lr, number of steps and state vectors, as host arrays by "slot/parameter name".

        Whatever else the constructor was given (momentum, betas, clip_norm) is given to the next one's.
        """
        arrays = {
            f"{slot}/{p.name}": to_host(value).reshape(p.data.shape).copy()
            for p in layer.parameters()
            for slot, value in self._state.get(p, {}).items()
        }
        return {"kind": type(self).__name__, "lr": self.lr, "num_steps": self.num_steps, "arrays": arrays}

    def load_state(self, layer: Layer, state: dict[str, Any]) -> None:
        """Go on from `state(layer)` of an optimizer of the same kind. Raises: ScratchError if it does not fit."""
        parameters, arrays = layer.parameters(), state["arrays"]
        shapes = {f"{slot}/{p.name}": p.data.shape for p in parameters for slot in self.slots}
        if state["kind"] != type(self).__name__:
            raise ScratchError(f"{self}: the saved state is of {state['kind']}")
        if state["num_steps"] and {name: value.shape for name, value in arrays.items()} != shapes:
            raise ScratchError(f"{self}: the saved state is of another model, or of one of another size")
        self._state = {
            p: {slot: to_device(arrays[f"{slot}/{p.name}"]).ravel() for slot in self.slots}
            for p in parameters if state["num_steps"]
        }
        self._layer, self._seen = None, []
        self._steps = dict.fromkeys(parameters, int(state["num_steps"]))
        self.lr, self.num_steps = float(state["lr"]), int(state["num_steps"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr:g})"


class GradientDescent(Optimizer):
    """Straight downhill.

        p -= lr * g
    """

    def __init__(self, learning_rate: float = 0.1, **shared: Any) -> None:
        super().__init__(learning_rate, **shared)

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        grad *= self.lr
        data -= grad


class Momentum(Optimizer):
    """Along the running average of the gradients, so that steps to and fro cancel and steady ones go through.

        u = mo * u + (1 - mo) * g
        p -= lr * u                            with `nesterov`:   p -= lr * (mo * u + (1 - mo) * g)

    Nesterov's is the average as it would be one step on, if the next gradient were this one again.

    Source: Grus, Data Science from Scratch, chapter 19; Sutskever et al. 2013,
        https://proceedings.mlr.press/v28/sutskever13.html, section 2, in the form of Bengio et al.
        2012, https://arxiv.org/abs/1212.0901, equation 7.
    Differs: the usual momentum (Polyak; PyTorch) is u = mo * u + g, whose steps are 1 / (1 - mo) times as long.
    """

    slots = ("u",)

    def __init__(self, learning_rate: float, momentum: float = 0.9, nesterov: bool = False, **shared: Any) -> None:
        super().__init__(learning_rate, **shared)
        self.mo, self.nesterov = momentum, nesterov

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        (u,) = state
        u *= self.mo  # u is kept without its factor 1 - mo, which joins lr: one pass less over the model
        u += grad
        if self.nesterov:
            grad += self.mo * u
            grad *= self.lr * (1 - self.mo)
        else:
            xp.multiply(u, self.lr * (1 - self.mo), out=grad)
        data -= grad


class RMSProp(Optimizer):
    """Each number's step is measured by the usual size of its own gradient.

        v = decay * v + (1 - decay) * g^2
        p -= lr * g / (sqrt(v) + epsilon)

    Source: Tieleman and Hinton 2012, lecture 6.5 of "Neural networks for machine learning".
    """

    slots = ("v",)

    def __init__(
        self, learning_rate: float = 0.001, decay: float = 0.9, epsilon: float = 1e-8, **shared: Any
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.decay, self.epsilon = decay, epsilon

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        (v,) = state
        v *= self.decay
        v += (1 - self.decay) * grad * grad
        grad *= self.lr
        grad /= xp.sqrt(v) + self.epsilon
        data -= grad


class Adam(Optimizer):
    """Momentum for the direction, RMSProp for the size, both corrected for having started at zero.

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)        t = number of the step

    Source: Kingma and Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1.
    """

    slots = ("m", "v")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def update(self, data: Array, grad: Array, *state: Array) -> None:
        m, v = state
        m *= self.beta1
        m += (1 - self.beta1) * grad
        v *= self.beta2
        grad *= grad
        grad *= 1 - self.beta2
        v += grad
        # Both corrections are single numbers, so they are applied to the step and to epsilon, not to the arrays.
        correction = math.sqrt(1 - self.beta2**self.num_steps)
        xp.sqrt(v, out=grad)
        grad += self.epsilon * correction
        xp.divide(m, grad, out=grad)
        grad *= self.lr * correction / (1 - self.beta1**self.num_steps)
        data -= grad


class AdamW(Adam):
    """Adam, with every weight first drawn a little towards zero: Adam with a weight_decay.

    Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101, algorithm 2.
    """

    def __init__(self, learning_rate: float = 0.001, weight_decay: float = 0.01, **adam: Any) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **adam)


def clip_by_norm(grad: Array, max_norm: float) -> None:
    """Shorten the vector `grad`, in place, to length `max_norm` if it is longer; its direction stays."""
    norm = xp.sqrt((grad * grad).sum())
    grad *= xp.minimum(1, max_norm / xp.maximum(norm, 1e-12)).astype(grad.dtype)
