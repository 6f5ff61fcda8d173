"""The optimizers, plain and fast, the averages of weights, and the schedules."""

import copy
import math
import random

import numpy as np
import pytest
from cases import EACH_WAY

from scratch.averages import Lookahead, MovingAverage
from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.layer import Layer, Parameter, Sequential
from scratch.optimizers import (
    Adam,
    AdamW,
    GradientDescent,
    Momentum,
    Optimizer,
    RMSProp,
    clip_by_norm,
)
from scratch.schedules import cosine_decay, step_decay, triangle

KINDS = [
    lambda: GradientDescent(0.1), lambda: Momentum(0.1), lambda: RMSProp(0.01), lambda: Adam(0.01),
    lambda: AdamW(0.01, weight_decay=0.1), lambda: Adam(0.01, clip_norm=0.5), lambda: Momentum(0.1, nesterov=True),
    lambda: Lookahead(Adam(0.02)), lambda: MovingAverage(Adam(0.01)),
]
EACH_KIND = pytest.mark.parametrize("make", KINDS, ids=lambda make: str(make()))


def model():
    return Sequential([Linear(3, 4), Linear(4, 2)])


def push(layer, seed):
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.grad[...] = to_device(rng.normal(size=parameter.data.shape))


@EACH_WAY
@EACH_KIND
def test_it_goes_downhill(make, how, device):
    layer, optimizer = how(model()), how(make())
    for _ in range(2000):
        for parameter in layer.parameters():
            parameter.grad[...] = 2 * (parameter.data - 1)
        optimizer.lr *= 0.998  # a step of fixed length never comes to rest
        optimizer.step(layer)
    for parameter in layer.parameters():
        assert parameter.data.dtype == np.float32
        # AdamW settles below 1, where its decay and the gradient are in balance.
        assert abs(to_host(parameter.data) - 1).max() < (0.15 if isinstance(optimizer, AdamW) else 0.02)


@EACH_WAY
@EACH_KIND
def test_the_step_spends_the_gradient(make, how, device):
    layer, optimizer = how(model()), how(make())
    arrays, gradients = layer.params(), layer.grads()
    push(layer, 1)
    before = [to_host(array).copy() for array in arrays]
    optimizer.step(layer)
    assert not any(to_host(gradient).any() for gradient in gradients)
    assert all((to_host(array) != old).any() for array, old in zip(arrays, before, strict=True))


@EACH_WAY
@EACH_KIND
def test_a_step_on_parts_is_a_step_on_the_whole(make, how):
    whole = how(model())
    parts, optimizer, other = copy.deepcopy(whole), how(make()), how(make())
    for seed in range(3):
        push(whole, seed)
        push(parts, seed)
        optimizer.step(whole)
        if other.clip_norm is not None:
            return
        for layer in parts.layers:
            other.step(layer)
    for a, b in zip(whole.params(), parts.params(), strict=True):
        assert np.allclose(to_host(a), to_host(b), atol=1e-6)


@EACH_WAY
@EACH_KIND
def test_state_goes_on(make, how, device):
    layer, optimizer = how(model()), how(make())
    push(layer, 1)
    optimizer.step(layer)
    twin, other = copy.deepcopy(layer), how(make())
    other.load_state(twin, optimizer.state_dict(layer))
    for seed in (2, 3):
        for one, its in ((layer, optimizer), (twin, other)):
            push(one, seed)
            its.step(one)
    for a, b in zip(layer.params(), twin.params(), strict=True):
        assert np.array_equal(to_host(a), to_host(b))


@EACH_WAY
@pytest.mark.parametrize("kind", [Adam, GradientDescent])
def test_state_of_another_model_is_refused(kind, how):
    layer, optimizer = how(model()), how(kind())
    push(layer, 1)
    optimizer.step(layer)
    others = [Sequential([Linear(3, 4)])]
    if kind is Adam:  # GradientDescent has no arrays that could be of another size
        others.append(Sequential([Linear(3, 5), Linear(5, 2)]))
    for other in others:
        with pytest.raises(ScratchError, match="saved state"):
            how(kind()).load_state(how(other), optimizer.state_dict(layer))


@EACH_WAY
def test_state_of_another_kind_or_a_part_of_it_is_refused(how):
    layer = how(model())
    for kind in (RMSProp(), GradientDescent(), Momentum(0.1)):
        first, second = how(kind), how(Adam())
        push(layer, 1)
        first.step(layer)
        with pytest.raises(ScratchError, match="saved state is from"):
            second.load_state(layer, first.state_dict(layer))
    adam = how(Adam())
    push(layer, 1)
    adam.step(layer)
    state = adam.state_dict(layer)
    del state["arrays"]["m/layers.0.w"]
    with pytest.raises(ScratchError, match="another model"):
        how(Adam()).load_state(layer, state)


@EACH_WAY
def test_each_parameter_counts_its_own_steps(how, device):
    layer, optimizer = how(model()), how(Adam(0.25))
    first, second = layer.layers
    for seed in range(3):
        push(first, seed)
        optimizer.step(first)
    before = [to_host(array).copy() for array in second.params()]
    push(layer, 3)
    optimizer.step(layer)
    for array, old in zip(second.params(), before, strict=True):
        assert np.allclose(abs(to_host(array) - old), 0.25, atol=1e-5)  # Adam's first step is always lr
    steps = optimizer.state_dict(layer)["steps"]
    assert steps == {"layers.0.w": 4, "layers.0.b": 4, "layers.1.w": 1, "layers.1.b": 1}


@EACH_WAY
def test_a_shared_parameter_is_stepped_once(how):
    layer = Linear(3, 3)
    shared = how(Sequential([layer, layer.sibling()]))
    layer.w.grad[...] = 1
    before = to_host(layer.w.data).copy()
    how(GradientDescent(0.5)).step(shared)
    assert np.allclose(to_host(layer.w.data), before - 0.5)


@EACH_WAY
def test_an_array_put_in_place_of_another_is_seen(how):
    layer, optimizer = how(model()), how(GradientDescent(1.0))
    push(layer, 1)
    optimizer.step(layer)
    first = layer.layers[0]
    first.w.data = to_device(np.zeros((4, 3)))
    first.w.grad = to_device(np.ones((4, 3)))
    optimizer.step(layer)
    assert (to_host(first.w.data) == -1).all()


def test_clipping_is_by_the_norm_of_all_gradients_together(device):
    grads = [to_device([3.0]), to_device([[0.0], [4.0]])]
    clip_by_norm(grads, 10)
    assert [to_host(grad).tolist() for grad in grads] == [[3], [[0], [4]]]
    clip_by_norm(grads, 1)
    assert np.allclose(to_host(grads[0]), [0.6]) and np.allclose(to_host(grads[1]), [[0], [0.8]])
    zero = to_device([0.0, 0.0])
    clip_by_norm([zero], 1)
    assert to_host(zero).tolist() == [0, 0]


@EACH_WAY
def test_a_clipped_step_is_as_long_as_the_clipped_gradient(how, device):
    layer = how(model())
    push(layer, 1)
    before = np.concatenate([to_host(p).ravel() for p in layer.params()])
    how(GradientDescent(1.0, clip_norm=0.1)).step(layer)
    after = np.concatenate([to_host(p).ravel() for p in layer.params()])
    assert np.linalg.norm(after - before) == pytest.approx(0.1, rel=1e-4)


@EACH_WAY
def test_a_readers_own_optimizer(how):
    class Sign(Optimizer):
        def step(self, layer):
            for param, grad in zip(layer.params(), layer.grads(), strict=True):
                param -= self.lr * (grad > 0)
            layer.zero_grads()

    layer = how(Linear(2, 2))
    layer.b.grad[...] = 3
    how(Sign(0.25)).step(layer)
    assert to_host(layer.b.data).tolist() == [-0.25, -0.25]


def test_schedules():
    assert [step_decay(epoch, at=[2, 4]) for epoch in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert cosine_decay(0, 10) == 1
    assert cosine_decay(5, 10) == pytest.approx(0.5)
    assert cosine_decay(10, 10) == pytest.approx(0)
    assert [cosine_decay(step, 10, warmup=3) for step in range(4)] == [0.25, 0.5, 0.75, 1]
    assert math.isfinite(cosine_decay(random.randrange(99), 0))
    up_and_down = [triangle(step, 8, start=0.2, top=0.5, end=0.1) for step in range(9)]
    assert up_and_down == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 0.775, 0.55, 0.325, 0.1])


@EACH_WAY
def test_lookahead_goes_back_part_of_the_way(how, device):
    layer, optimizer = Layer(), how(Lookahead(GradientDescent(1.0), every=2, decay=0.75))
    layer.p = Parameter(to_device([8.0]))
    seen = []
    for _ in range(4):
        layer.p.grad[...] = 2
        optimizer.step(layer)
        seen.append(float(to_host(layer.p.data)[0]))
    # 8 -> 6 -> 4, and back to 0.75 * 8 + 0.25 * 4 = 7; then 5, 3, and 0.75 * 7 + 0.25 * 3 = 6.
    assert seen == [6, 7, 5, 6]


@EACH_WAY
def test_lookahead_uses_the_other_optimizers_state_and_goes_on_from_its_own(how, device):
    make = lambda: Lookahead(Momentum(0.1, nesterov=True, weight_decay=0.01), every=3)  # noqa: E731
    layer, optimizer = how(model()), how(make())
    for k in range(4):
        push(layer, k)
        optimizer.step(layer)
    twin, other = copy.deepcopy(layer), how(make())
    other.load_state(twin, optimizer.state_dict(layer))
    for k in range(4, 8):
        push(layer, k)
        push(twin, k)
        optimizer.step(layer)
        other.step(twin)
    for a, b in zip(layer.params(), twin.params(), strict=True):
        assert np.array_equal(to_host(a), to_host(b))


@EACH_WAY
def test_the_moving_average_is_in_place_only_where_it_is_asked_for(how, device):
    layer, optimizer = Layer(), how(MovingAverage(GradientDescent(1.0), decay=0.5))
    layer.p = Parameter(to_device([8.0]))
    value = lambda: float(to_host(layer.p.data)[0])  # noqa: E731
    with optimizer.averaged(layer):
        assert value() == 8
    for _ in range(2):
        layer.p.grad[...] = 2
        optimizer.step(layer)
    # 8 -> 6 -> 4; decays 2 / 11 and 3 / 12.
    first = 8 * 2 / 11 + 6 * 9 / 11
    with optimizer.averaged(layer):
        assert value() == pytest.approx(first / 4 + 4 * 3 / 4)
    assert value() == 4
    twin, other = copy.deepcopy(layer), how(MovingAverage(GradientDescent(1.0), decay=0.5))
    other.load_state(twin, optimizer.state_dict(layer))
    with other.averaged(twin):
        assert float(to_host(twin.p.data)[0]) == pytest.approx(first / 4 + 4 * 3 / 4)


@EACH_WAY
def test_what_is_fixed_is_not_moved(how, device):
    for kind in (Adam(0.1), AdamW(0.1, weight_decay=0.5), Momentum(0.1, clip_norm=1.0, weight_decay=0.5)):
        layer, optimizer = how(model()), how(kind)
        layer.layers[0].w.fixed = True
        before = [to_host(array).copy() for array in layer.params()]
        for other in (layer, layer.sibling(), copy.deepcopy(layer)):
            assert [p.fixed for p in other.parameters()] == [True] + [False] * (len(before) - 1)
        for k in range(2):
            push(layer, k)
            optimizer.step(layer)
        moved = [not np.array_equal(to_host(p), old) for p, old in zip(layer.params(), before, strict=True)]
        assert moved == [False] + [True] * (len(before) - 1)
        assert list(optimizer.state_dict(layer)["steps"]) == list(layer.named_parameters())[1:]


@EACH_WAY
def test_a_parameter_may_be_fixed_between_two_steps_and_freed_again(how, device):
    layer, optimizer = how(model()), how(Momentum(0.1))
    w = layer.layers[0].w
    moved = []
    for fixed in (False, True, False):
        w.fixed = fixed
        before = to_host(w.data).copy()
        push(layer, 1)
        optimizer.step(layer)
        assert not any(to_host(grad).any() for grad in layer.grads())
        moved.append(not np.array_equal(to_host(w.data), before))
    assert moved == [True, False, True]
    assert optimizer.state_dict(layer)["steps"] == {
        "layers.0.w": 2, "layers.0.b": 3, "layers.1.w": 3, "layers.1.b": 3
    }
