import copy
import math
import random

import numpy as np
import pytest

from scratch.averages import Lookahead, MovingAverage
from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.layer import Layer, Parameter, Sequential, in_one_vector
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
EACH = pytest.mark.parametrize("make", KINDS, ids=lambda make: str(make()))


def model():
    return Sequential([Linear(3, 4), Linear(4, 2)])


def push(layer, seed):
    rng = np.random.default_rng(seed)
    for parameter in layer.parameters():
        parameter.grad[...] = to_device(rng.normal(size=parameter.data.shape))


@EACH
def test_it_goes_downhill(make, device):
    layer, optimizer = model(), make()
    for _ in range(2000):
        for parameter in layer.parameters():
            parameter.grad[...] = 2 * (parameter.data - 1)
        optimizer.lr *= 0.998  # a step of fixed length never comes to rest
        optimizer.step(layer)
    for parameter in layer.parameters():
        assert parameter.data.dtype == np.float32
        # AdamW settles below 1, where its decay and the gradient are in balance.
        assert abs(to_host(parameter.data) - 1).max() < (0.15 if isinstance(optimizer, AdamW) else 0.02)


@EACH
def test_the_step_spends_the_gradient(make, device):
    layer, optimizer = model(), make()
    arrays, gradients = layer.params(), layer.grads()
    push(layer, 1)
    before = [to_host(array).copy() for array in arrays]
    optimizer.step(layer)
    assert not any(to_host(gradient).any() for gradient in gradients)
    assert all((to_host(array) != old).any() for array, old in zip(arrays, before, strict=True))


@EACH
def test_a_step_on_parts_is_a_step_on_the_whole(make):
    whole = model()
    parts, optimizer, other = copy.deepcopy(whole), make(), make()
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


@EACH
def test_state_goes_on(make, device):
    layer, optimizer = model(), make()
    push(layer, 1)
    optimizer.step(layer)
    twin, other = copy.deepcopy(layer), make()
    other.load_state(twin, optimizer.state(layer))
    for seed in (2, 3):
        for one, its in ((layer, optimizer), (twin, other)):
            push(one, seed)
            its.step(one)
    for a, b in zip(layer.params(), twin.params(), strict=True):
        assert np.array_equal(to_host(a), to_host(b))


def test_state_of_another_model_is_refused():
    layer, optimizer = model(), Adam()
    push(layer, 1)
    optimizer.step(layer)
    for other in (Sequential([Linear(3, 4)]), Sequential([Linear(3, 5), Linear(5, 2)])):
        with pytest.raises(ScratchError, match="saved state"):
            Adam().load_state(other, optimizer.state(layer))


def test_state_of_another_kind_or_a_part_of_it_is_refused():
    layer = model()
    for first, second in ((RMSProp(), Adam()), (GradientDescent(), Adam()), (Momentum(0.1), Adam())):
        push(layer, 1)
        first.step(layer)
        with pytest.raises(ScratchError, match="saved state is of"):
            second.load_state(layer, first.state(layer))
    adam = Adam()
    push(layer, 1)
    adam.step(layer)
    state = adam.state(layer)
    del state["arrays"]["m/layers.0.w"]
    with pytest.raises(ScratchError, match="another model"):
        Adam().load_state(layer, state)


def test_a_shared_parameter_is_stepped_once():
    layer = Linear(3, 3)
    shared = Sequential([layer, layer.sibling()])
    layer.w.grad[...] = 1
    before = to_host(layer.w.data).copy()
    GradientDescent(0.5).step(shared)
    assert np.allclose(to_host(layer.w.data), before - 0.5)


def test_an_array_put_in_place_of_another_is_seen():
    layer, optimizer = model(), GradientDescent(1.0)
    push(layer, 1)
    optimizer.step(layer)
    first = layer.layers[0]
    first.w.data = to_device(np.zeros((4, 3)))
    first.w.grad = to_device(np.ones((4, 3)))
    optimizer.step(layer)
    assert (to_host(first.w.data) == -1).all()


def test_clipping_is_by_the_norm_of_the_whole():
    grad = to_device([3.0, 4.0])
    clip_by_norm(grad, 10)
    assert to_host(grad).tolist() == [3, 4]
    clip_by_norm(grad, 1)
    assert np.allclose(to_host(grad), [0.6, 0.8])
    zero = to_device([0.0, 0.0])
    clip_by_norm(zero, 1)
    assert to_host(zero).tolist() == [0, 0]
    layer = model()
    push(layer, 1)
    before = np.concatenate([to_host(p).ravel() for p in layer.params()])
    GradientDescent(1.0, clip_norm=0.1).step(layer)
    after = np.concatenate([to_host(p).ravel() for p in layer.params()])
    assert np.linalg.norm(after - before) == pytest.approx(0.1, rel=1e-4)


def test_a_readers_own_optimizer():
    class Sign(Optimizer):
        def step(self, layer):
            for param, grad in zip(layer.params(), layer.grads(), strict=True):
                param -= self.lr * (grad > 0)
            layer.zero_grads()

    layer = Linear(2, 2)
    layer.b.grad[...] = 3
    Sign(0.25).step(layer)
    assert to_host(layer.b.data).tolist() == [-0.25, -0.25]


def test_one_vector_is_made_once():
    layer = model()
    vector, _ = in_one_vector(layer.parameters())
    again, _ = in_one_vector(layer.parameters())
    again += 1
    assert np.array_equal(to_host(again), to_host(vector))
    part, _ = in_one_vector(layer.layers[1].parameters())
    part += 1
    assert np.array_equal(to_host(vector[-len(part) :]), to_host(part))
    w = layer.layers[0].w
    in_one_vector([w, layer.layers[1].b])  # not side by side: they move
    w.data[...] = 7
    assert not (to_host(vector) == 7).any()
    assert in_one_vector([])[0].size == 0


def test_parameters_of_two_precisions_do_not_mix():
    from scratch.backend import precision

    with precision("float64"):
        wide = Parameter(to_device([1.0]))
    with pytest.raises(ScratchError, match="dtype"):
        in_one_vector([wide, Parameter(to_device([1.0]))])


def test_schedules():
    assert [step_decay(epoch, at=[2, 4]) for epoch in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert cosine_decay(0, 10) == 1
    assert cosine_decay(5, 10) == pytest.approx(0.5)
    assert cosine_decay(10, 10) == pytest.approx(0)
    assert [cosine_decay(step, 10, warmup=3) for step in range(4)] == [0.25, 0.5, 0.75, 1]
    assert math.isfinite(cosine_decay(random.randrange(99), 0))
    up_and_down = [triangle(step, 8, start=0.2, top=0.5, end=0.1) for step in range(9)]
    assert up_and_down == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 0.775, 0.55, 0.325, 0.1])


def test_lookahead_goes_back_part_of_the_way(device):
    layer, optimizer = Layer(), Lookahead(GradientDescent(1.0), every=2, decay=0.75)
    layer.p = Parameter(to_device([8.0]))
    seen = []
    for _ in range(4):
        layer.p.grad[...] = 2
        optimizer.step(layer)
        seen.append(float(to_host(layer.p.data)[0]))
    # 8 -> 6 -> 4, and back to 0.75 * 8 + 0.25 * 4 = 7; then 5, 3, and 0.75 * 7 + 0.25 * 3 = 6.
    assert seen == [6, 7, 5, 6]


def test_lookahead_uses_the_other_optimizers_state_and_goes_on_from_its_own(device):
    make = lambda: Lookahead(Momentum(0.1, nesterov=True, weight_decay=0.01), every=3)  # noqa: E731
    layer, optimizer = model(), make()
    for k in range(4):
        push(layer, k)
        optimizer.step(layer)
    twin, other = copy.deepcopy(layer), make()
    other.load_state(twin, optimizer.state(layer))
    for k in range(4, 8):
        push(layer, k)
        push(twin, k)
        optimizer.step(layer)
        other.step(twin)
    for a, b in zip(layer.params(), twin.params(), strict=True):
        assert np.array_equal(to_host(a), to_host(b))


def test_the_moving_average_is_in_place_only_where_it_is_asked_for(device):
    layer, optimizer = Layer(), MovingAverage(GradientDescent(1.0), decay=0.5)
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
    twin, other = copy.deepcopy(layer), MovingAverage(GradientDescent(1.0), decay=0.5)
    other.load_state(twin, optimizer.state(layer))
    with other.averaged(twin):
        assert float(to_host(twin.p.data)[0]) == pytest.approx(first / 4 + 4 * 3 / 4)


def test_what_is_fixed_is_not_moved(device):
    for optimizer in (Adam(0.1), AdamW(0.1, weight_decay=0.5), Momentum(0.1, clip_norm=1.0, weight_decay=0.5)):
        layer = model()
        layer.layers[0].w.fixed = True
        before = [to_host(array).copy() for array in layer.params()]
        for other in (layer, layer.sibling(own_grad=True), copy.deepcopy(layer)):
            assert [p.fixed for p in other.parameters()] == [True] + [False] * (len(before) - 1)
        for k in range(2):
            push(layer, k)
            optimizer.step(layer)
        moved = [not np.array_equal(to_host(p), old) for p, old in zip(layer.params(), before, strict=True)]
        assert moved == [False] + [True] * (len(before) - 1)
