"""All Parameters in one vector, and optimizer states that plain and fast optimizers exchange."""

import copy

import numpy as np
import pytest
from test_optimizers import EACH_KIND, model, push

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.fast.vector import in_one_vector
from scratch.layer import Parameter


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
    with precision("float64"):
        wide = Parameter(to_device([1.0]))
    with pytest.raises(ScratchError, match="dtype"):
        in_one_vector([wide, Parameter(to_device([1.0]))])


@EACH_KIND
@pytest.mark.parametrize("first_is_fast", [False, True])
def test_a_fast_optimizer_goes_on_from_a_plain_ones_state_and_the_other_way_round(make, first_is_fast, device):
    layer, optimizer, other = model(), make(), fast(make())
    if first_is_fast:
        optimizer, other = other, optimizer
    for seed in range(2):
        push(layer, seed)
        optimizer.step(layer)
    twin = copy.deepcopy(layer)
    other.load_state(twin, optimizer.state_dict(layer))
    for seed in range(2, 7):
        for one, its in ((layer, optimizer), (twin, other)):
            push(one, seed)
            its.step(one)
    for a, b in zip(layer.params(), twin.params(), strict=True):
        assert np.allclose(to_host(a), to_host(b), atol=1e-6)


@EACH_KIND
def test_the_plain_optimizer_is_left_as_it_is(make):
    layer, optimizer = model(), make()
    push(layer, 1)
    optimizer.step(layer)
    twin, expected = fast(optimizer), optimizer.state_dict(layer)
    push(layer, 2)
    twin.step(layer)
    found = optimizer.state_dict(layer)
    assert found["steps"] == expected["steps"] and found["arrays"].keys() == expected["arrays"].keys()
    for name, array in expected["arrays"].items():
        assert np.array_equal(found["arrays"][name], array), name
    assert set(twin.state_dict(layer)["steps"].values()) == {2}
