"""The arguments of the optimizers, and what they remember: refused where they do not fit."""

import copy
import inspect
import json
import math

import numpy as np
import pytest
from cases import EACH_WAY
from test_optimizers import EACH_KIND, model, push

from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.optimizers import Adam, AdamW, GradientDescent, Momentum, Optimizer, RMSProp


@EACH_WAY
@EACH_KIND
def test_state_of_other_arguments_is_refused_by_name_and_changes_nothing(make, how):
    layer, optimizer = how(model()), how(make())
    push(layer, 1)
    optimizer.step(layer)
    saved = optimizer.state_dict(layer)
    json.dumps(saved["arguments"], allow_nan=False)
    for name, value in saved["arguments"].items():
        other = how(make())
        before = (copy.copy(other.state), copy.copy(other.steps), other.arguments())
        if name in other.changing:
            changed = [-1, math.nan, math.inf, "x", None]
        elif name == "inner":
            changed = [{"kind": "SGD"}, value | {"beta1": 0.5}]
        else:
            changed = [not value if isinstance(value, bool) else (value or 0) + 1]
        for wrong in changed:
            with pytest.raises(ScratchError, match=name):
                other.load_state(layer, saved | {"arguments": saved["arguments"] | {name: wrong}})
            assert (other.state, other.steps, other.arguments()) == before
        if name in other.changing:
            other.load_state(layer, saved | {"arguments": saved["arguments"] | {name: 0.25}})
            assert getattr(other, name) == 0.25


@pytest.mark.parametrize("kind", [GradientDescent, Momentum, RMSProp, Adam, AdamW])
def test_arguments_out_of_their_range_are_refused(kind):
    assert kind(lr=0.5).lr == kind(learning_rate=0.5).lr == kind(0.5).lr == 0.5
    fractions = {"momentum", "decay", "beta1", "beta2"}
    for name in set(inspect.signature(kind).parameters) - {"nesterov"}:
        for wrong in (-0.1, math.nan, math.inf, *([1.0] if name in fractions else ())):
            with pytest.raises(ScratchError, match=kind.__name__):
                kind(**{name: wrong})


@EACH_WAY
@pytest.mark.parametrize("kind", [GradientDescent, Momentum, RMSProp, Adam, AdamW])
def test_a_gradient_whose_square_overflows_stops_the_run_with_its_name(kind, how):
    """Otherwise a running mean of squares would stay infinite, and the Parameter never move again."""
    layer, optimizer = how(model()), how(kind(lr=0.1))
    push(layer, 1)
    layer.layers[1].w.grad[0, 0] = 1e21
    before = [to_host(array).copy() for array in layer.params()]
    if optimizer.squares:
        with pytest.raises(ScratchError, match=r"layers\.1\.w up to 1\.8e\+19, got 1e\+21; clip it"):
            optimizer.step(layer)
        assert all(np.array_equal(to_host(a), b) for a, b in zip(layer.params(), before, strict=True))
        layer.zero_grads()
    else:
        optimizer.step(layer)
    for clip_norm in (None, 1.0):  # smaller, or clipped, it is a step like any other
        layer, optimizer = how(model()), how(kind(lr=0.1, clip_norm=clip_norm))
        push(layer, 1)
        layer.layers[1].w.grad[0, 0] = 1e21 if clip_norm else 1e18
        optimizer.step(layer)
        for _ in range(3):
            before = to_host(layer.layers[1].b.data).copy()
            push(layer, 2)
            optimizer.step(layer)
            assert np.all(to_host(layer.layers[1].b.data) != before)


class Grus(Optimizer):
    """As in the book: no super().__init__(), another name for the rate, and gradients left as they are."""

    def __init__(self, learning_rate=0.1, betas=(0.5, 0.25)):
        self.lr, self.betas = learning_rate, betas

    def step(self, layer):
        for param, grad in zip(layer.params(), layer.grads(), strict=True):
            param -= self.lr * grad


def test_an_optimizer_of_ones_own_is_saved_and_made_fast():
    layer, optimizer = model(), Grus()
    push(layer, 1)
    fast(optimizer).step(layer)
    assert not any(to_host(grad).any() for grad in layer.grads())
    optimizer.lr = np.float64(0.25)  # as a schedule may leave it
    saved = json.loads(json.dumps(optimizer.state_dict(layer)))
    other = Grus()
    other.load_state(layer, saved)
    assert other.lr == 0.25
    with pytest.raises(ScratchError, match="betas"):
        Grus(betas=(0.5, 0.5)).load_state(layer, saved)


@EACH_WAY
def test_a_step_that_calls_the_one_it_overrides_decides_when_gradients_are_cleared(how):
    """Gradients of several batches may be added up before they are used."""

    class EveryThird(GradientDescent):
        count = 0

        def step(self, layer, more=0):
            self.count += 1
            if self.count % 3 == 0:
                super().step(layer)
            return self.count + more

    layer, optimizer = how(model()), how(EveryThird(1.0))
    before = [to_host(array).copy() for array in layer.params()]
    for k in range(3):
        for p in layer.parameters():
            p.grad += 1
        assert optimizer.step(layer, more=1) == k + 2
    for a, b in zip(layer.params(), before, strict=True):
        assert np.allclose(to_host(a), b - 3, atol=1e-6)
    assert not any(to_host(grad).any() for grad in layer.grads())
