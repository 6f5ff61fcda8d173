"""How gradients update parameters: GradientDescent, Momentum, RMSProp, Adam, AdamW.

The gradient g points uphill, so every optimizer steps the other way; they differ in how they smooth and scale the step:

    GradientDescent:  p -= lr * g
    Momentum:         u = mo * u + (1 - mo) * g;   p -= lr * u          u: the running mean of g; mo is usually 0.9
    Adam:             p -= lr * (mean of g) / sqrt(mean of g^2)         running means, corrected for starting at zero

For p = 1, g = 2 and lr = 0.1, GradientDescent gives p = 0.8; in Adam's first step the means are 2 and 4, so p = 0.9.

    optimizer = Momentum(learning_rate=0.01)
    optimizer.step(model)                    # updates every Parameter and clears its grad
    optimizer.lr *= 0.1                      # may be changed between steps

Read next: `averages.py`.
"""

from scratch.backend import Array, xp
from scratch.checks import ScratchError, call_of, expect, explain_with
from scratch.layer import Layer, Parameter
from scratch.optimizer_state import OptimizerState


class Optimizer(OptimizerState):
    """The base class of optimizers: the contract, clipping and weight decay. OptimizerState keeps the state.

    Every optimizer takes these arguments:
    learning_rate, or lr, which counts if both are given: how far a step goes; `lr` may be changed between steps.
    clip_norm: the largest allowed norm of the model's gradient; a longer one is scaled down to it, so that no single
        step moves the weights far (Pascanu et al. 2013, https://arxiv.org/abs/1211.5063, algorithm 1). None: no limit.
    weight_decay: every step first shrinks each weight of two or more axes, `p -= lr * weight_decay * p`, to discourage
        memorisation (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101; in PyTorch biases shrink too).

    A subclass defines `update` and names its state arrays in `slots`; or it defines `step`, as in Grus.
    """

    squares = False  # whether `update` squares the gradient

    def __init__(
        self, learning_rate: float, clip_norm: float | None = None, weight_decay: float = 0.0, lr: float | None = None
    ) -> None:
        self.lr, self.clip_norm, self.weight_decay = learning_rate if lr is None else lr, clip_norm, weight_decay
        for name, value in {"lr": self.lr, "weight_decay": weight_decay, "clip_norm": clip_norm or 0}.items():
            expect(0 <= value < xp.inf, self, f"a finite {name} of at least 0", value)

    def __init_subclass__(cls, **options: object) -> None:  # so that help(Adam) explains the arguments that all share
        super().__init_subclass__(**options)
        explain_with(cls, Optimizer)

    def step(self, layer: Layer) -> None:
        """Update every Parameter of `layer` once. (OptimizerState then clears the gradients.)"""
        learning = {name: p for name, p in layer.named_parameters().items() if not p.fixed}
        if not learning:
            raise ScratchError(f"{self}: {layer} has no Parameter to train")
        if self.clip_norm is not None:
            clip_by_norm([p.grad for p in learning.values()], self.clip_norm)
        if self.squares:
            self.expect_finite_squares(learning)
        for p in learning.values():
            if p not in self.state:
                self.state[p] = [xp.zeros_like(p.data) for _ in self.slots]
            if self.weight_decay and p.data.ndim > 1:
                p.data *= 1 - self.lr * self.weight_decay
            self.steps[p] = self.steps.get(p, 0) + 1
            self.update(p.data, p.grad, self.steps[p], *self.state[p])

    def expect_finite_squares(self, learning: dict[str, Parameter]) -> None:
        """Reject gradients whose squares overflow: the running mean would stay infinite, and its weight never move."""
        for name, p in learning.items():
            limit, largest = float(xp.finfo(p.grad.dtype).max) ** 0.5, float(abs(p.grad).max())
            right = not limit < largest < xp.inf  # an infinite gradient passes, since it makes the next loss NaN
            expect(right, self, f"a gradient of {name} up to {limit:.2g}", f"{largest:.2g}", "clip it (clip_norm)")

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        """Update `data` and `state` in place: the t-th step of this Parameter."""
        raise NotImplementedError

    __repr__ = call_of


class GradientDescent(Optimizer):
    """Steps straight downhill: p -= lr * g."""

    def __init__(
        self, learning_rate: float = 0.1, clip_norm: float | None = None, weight_decay: float = 0.0,
        lr: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm, weight_decay, lr)

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

    def __init__(
        self, learning_rate: float = 0.1, momentum: float = 0.9, nesterov: bool = False,
        clip_norm: float | None = None, weight_decay: float = 0.0, lr: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm, weight_decay, lr)
        self.momentum, self.nesterov = momentum, nesterov
        expect(0 <= momentum < 1, self, "a momentum in [0, 1)", momentum)

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        (u,), mo = state, self.momentum
        u[...] = mo * u + (1 - mo) * grad
        if self.nesterov:
            data -= self.lr * (mo * u + (1 - mo) * grad)
        else:
            data -= self.lr * u


class RMSProp(Optimizer):
    """Divides each weight's step by the recent root mean square of its gradient.

        v = decay * v + (1 - decay) * g^2
        p -= lr * g / (sqrt(v) + epsilon)      epsilon prevents division by zero

    Source: Tieleman and Hinton 2012, lecture 6.5 of "Neural networks for machine learning".
    """

    slots, squares = ("v",), True

    def __init__(
        self, learning_rate: float = 0.001, decay: float = 0.9, epsilon: float = 1e-8,
        clip_norm: float | None = None, weight_decay: float = 0.0, lr: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm, weight_decay, lr)
        self.decay, self.epsilon = decay, epsilon
        expect(0 <= decay < 1 and 0 < epsilon < 1, self, "a decay in [0, 1), an epsilon in (0, 1)", (decay, epsilon))

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

    slots, squares = ("m", "v"), True

    def __init__(
        self, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
        clip_norm: float | None = None, weight_decay: float = 0.0, lr: float | None = None,
    ) -> None:
        super().__init__(learning_rate, clip_norm, weight_decay, lr)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        right = 0 <= beta1 < 1 and 0 <= beta2 < 1 and 0 < epsilon < 1
        expect(right, self, "betas in [0, 1) and an epsilon in (0, 1)", (beta1, beta2, epsilon))

    def update(self, data: Array, grad: Array, t: int, *state: Array) -> None:
        m, v = state
        m[...] = self.beta1 * m + (1 - self.beta1) * grad
        v[...] = self.beta2 * v + (1 - self.beta2) * grad**2
        m_corrected, v_corrected = m / (1 - self.beta1**t), v / (1 - self.beta2**t)
        data -= self.lr * m_corrected / (xp.sqrt(v_corrected) + self.epsilon)


class AdamW(Adam):
    """Adam with a weight decay of 0.01 by default; beta1, beta2 and epsilon are as in Adam.

    Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101, algorithm 2.
    """

    def __init__(
        self, learning_rate: float = 0.001, weight_decay: float = 0.01, beta1: float = 0.9, beta2: float = 0.999,
        epsilon: float = 1e-8, clip_norm: float | None = None, lr: float | None = None,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, clip_norm, weight_decay, lr)


def clip_by_norm(grads: list[Array], max_norm: float) -> None:
    """Scale `grads` in place, all by the same factor, if their joint norm exceeds `max_norm`."""
    # In float64: in float32 the square of 1e20 overflows, and an infinite norm would scale every gradient to zero.
    norm = float(sum((grad.astype("float64") ** 2).sum() for grad in grads)) ** 0.5
    if norm > max_norm:
        for grad in grads:
            grad[...] = grad.astype("float64") * (max_norm / norm)
