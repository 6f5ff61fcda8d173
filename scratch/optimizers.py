"""How gradients update parameters: GradientDescent, Momentum, RMSProp, Adam, AdamW.

The gradient g points uphill, so every optimizer steps downhill; they differ in how they smooth and scale the step:

    GradientDescent:  p -= lr * g
    Momentum:         u = mo * u + (1 - mo) * g;   p -= lr * u          u: the running mean of g; mo is usually 0.9
    Adam:             p -= lr * (mean of g) / sqrt(mean of g^2)         running means, corrected for starting at zero

For p = 1, g = 2 and lr = 0.1, GradientDescent gives p = 0.8; in Adam's first step the means are 2 and 4, so p = 0.9.

    optimizer = Momentum(learning_rate=0.01)
    optimizer.step(model)                    # updates every Parameter and clears its grad
    optimizer.lr *= 0.1                      # may be changed between steps

Read next: `averages.py`.
"""

from typing import Any

from scratch.backend import Array, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.layer import Layer, Parameter


class Optimizer:
    """The contract, and the shared parts: clipping, weight decay, and state that is saved by parameter name.

    lr: the learning rate; may be changed between steps.
    clip_norm: the largest norm of the whole model's gradient; a longer gradient is scaled down to it, so that no one
        step throws the weights far (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1). None: no limit.
    weight_decay: every step first shrinks each weight of two or more axes, `p -= lr * weight_decay * p`, to discourage
        memorisation (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101; in PyTorch biases shrink too).

    A subclass defines `update` and names its state arrays in `slots`. A `step` of its own ends with `zero_grads()`.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, clip_norm: float | None = None, weight_decay: float = 0.0) -> None:
        self.lr, self.clip_norm, self.weight_decay = learning_rate, clip_norm, weight_decay
        self.state: dict[Parameter, list[Array]] = {}  # one array per slot for each Parameter
        self.steps: dict[Parameter, int] = {}  # the number of steps each Parameter has taken

    def step(self, layer: Layer) -> None:
        """Update every Parameter of `layer` once, then clear the gradients."""
        parameters = layer.parameters()
        learning = [p for p in parameters if not p.fixed]
        if not learning:
            raise ScratchError(f"{self}: {layer} has no Parameter to train")
        if self.clip_norm is not None:
            clip_by_norm([p.grad for p in learning], self.clip_norm)
        for p in learning:
            if p not in self.state:
                self.state[p] = [xp.zeros_like(p.data) for _ in self.slots]
            if self.weight_decay and p.data.ndim > 1:
                p.data *= 1 - self.lr * self.weight_decay
            self.steps[p] = self.steps.get(p, 0) + 1
            self.update(p.data, p.grad, self.steps[p], *self.state[p])
        for p in parameters:  # the fixed ones too
            p.grad.fill(0)

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        """Update `data` and `state` in place: the t-th step of this Parameter."""
        raise NotImplementedError

    def state_dict(self, layer: Layer) -> dict[str, Any]:
        """The kind, lr, step counts by parameter name, and state arrays by "slot/name", on the host."""
        named = {name: p for name, p in layer.named_parameters().items() if p in self.state}
        arrays = {
            f"{slot}/{name}": to_host(array).copy()
            for name, p in named.items() for slot, array in zip(self.slots, self.state[p], strict=True)
        }
        steps = {name: self.steps[p] for name, p in named.items()}
        return {"kind": type(self).__name__, "lr": self.lr, "steps": steps, "arrays": arrays}

    def load_state(self, layer: Layer, state: dict[str, Any]) -> None:
        """Restore a `state_dict(layer)` of the same kind of optimizer. Raises: ScratchError if it does not fit."""
        named = layer.named_parameters()
        if state["kind"] != type(self).__name__:
            raise ScratchError(f"{self}: the saved state is of {state['kind']}")
        known = [name for name in state["steps"] if name in named]
        shapes = {f"{slot}/{name}": named[name].data.shape for name in known for slot in self.slots}
        saved = {name: array.shape for name, array in state["arrays"].items()}
        if len(known) < len(state["steps"]) or saved != shapes:
            raise ScratchError(f"{self}: the saved state is of another model, or of another size")
        steps = {named[name]: int(count) for name, count in state["steps"].items()}
        self.lr, self.steps = float(state["lr"]), steps
        self.state = {
            named[name]: [to_device(state["arrays"][f"{slot}/{name}"]).copy() for slot in self.slots]
            for name in state["steps"]
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr:g})"


class GradientDescent(Optimizer):
    """Steps straight downhill: p -= lr * g."""

    def __init__(self, learning_rate: float = 0.1, **shared: Any) -> None:
        super().__init__(learning_rate, **shared)

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        data -= self.lr * grad


class Momentum(Optimizer):
    """Steps along the running mean of the gradients: alternating components cancel, steady ones remain.

        u = mo * u + (1 - mo) * g
        p -= lr * u                            with `nesterov`:   p -= lr * (mo * u + (1 - mo) * g)

    Nesterov's variant uses the mean one step ahead, as if the next gradient equalled this one.

    Source: Grus, chapter 19; Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html, section 2, in
        the form of Bengio et al. 2012, https://arxiv.org/abs/1212.0901, equation 7.
    Differs: the usual momentum (Polyak; PyTorch) is u = mo * u + g, which makes the steps 1 / (1 - mo) times as long.
    """

    slots = ("u",)

    def __init__(self, learning_rate: float, momentum: float = 0.9, nesterov: bool = False, **shared: Any) -> None:
        super().__init__(learning_rate, **shared)
        self.mo, self.nesterov = momentum, nesterov

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        (u,) = state
        u[...] = self.mo * u + (1 - self.mo) * grad
        if self.nesterov:
            data -= self.lr * (self.mo * u + (1 - self.mo) * grad)
        else:
            data -= self.lr * u


class RMSProp(Optimizer):
    """Divides each number's step by the recent root mean square of its gradient.

        v = decay * v + (1 - decay) * g^2
        p -= lr * g / (sqrt(v) + epsilon)      epsilon prevents division by zero

    Source: Tieleman and Hinton 2012, lecture 6.5 of "Neural networks for machine learning".
    """

    slots = ("v",)

    def __init__(self, learning_rate: float = 0.001, decay: float = 0.9, epsilon: float = 1e-8, **shared: Any) -> None:
        super().__init__(learning_rate, **shared)
        self.decay, self.epsilon = decay, epsilon

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        (v,) = state
        v[...] = self.decay * v + (1 - self.decay) * grad**2
        data -= self.lr * grad / (xp.sqrt(v) + self.epsilon)


class Adam(Optimizer):
    """Momentum gives the direction, RMSProp the step size. Both means are corrected for starting at zero.

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g^2
        p -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)        t: the step number

    Source: Kingma and Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1.
    """

    slots = ("m", "v")

    def __init__(
        self, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        m, v = state
        m[...] = self.beta1 * m + (1 - self.beta1) * grad
        v[...] = self.beta2 * v + (1 - self.beta2) * grad**2
        m_corrected, v_corrected = m / (1 - self.beta1**t), v / (1 - self.beta2**t)
        data -= self.lr * m_corrected / (xp.sqrt(v_corrected) + self.epsilon)


class AdamW(Adam):
    """Adam with weight decay.

    Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101, algorithm 2.
    """

    def __init__(self, learning_rate: float = 0.001, weight_decay: float = 0.01, **adam: Any) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **adam)


def clip_by_norm(grads: list[Array], max_norm: float) -> None:
    """Scale `grads` in place, all by the same factor, if their joint norm exceeds `max_norm`."""
    norm = float(sum((grad * grad).sum() for grad in grads)) ** 0.5
    if norm > max_norm:
        for grad in grads:
            grad *= max_norm / norm
