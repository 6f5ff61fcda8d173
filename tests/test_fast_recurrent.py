"""How the engine's recurrent layers work inside: gates, and the arrays that are kept from call to call."""

import time

import numpy as np
import pytest
from cases import D, H
from conftest import ON_A_DEVICE

from scratch.backend import precision, to_device, to_host, xp
from scratch.bidirectional import Bidirectional
from scratch.fast import bidirectional, fast
from scratch.fast.through_time import Recurrent
from scratch.gradient_check import gradient_errors, relative_error
from scratch.recurrent import GRU, LSTM, SimpleRnn

KINDS = pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
rng = np.random.default_rng(4)


class Doubled(Recurrent):
    """hidden = tanh(w x + b + 2 u h), each product in its own block."""

    num_blocks, first_u_block = 2, 1

    def gates(self, blocks, recurrent, previous, state):
        xp.multiply(recurrent, 2, out=blocks[1:])
        xp.tanh(blocks[0] + blocks[1], out=state[0])

    def gates_backward(self, state_grad, blocks, previous, state, grad):
        grad[0] = state_grad[0] * (1 - state[0] * state[0])
        grad[1] = 2 * grad[0]


class Keeps(Recurrent):
    """A SimpleRnn that keeps 1 - hidden^2 for backward."""

    num_blocks = 2

    def gates(self, blocks, recurrent, previous, state):
        xp.tanh(blocks[:1] + recurrent, out=state)
        xp.subtract(1, state * state, out=blocks[1:])

    def gates_backward(self, state_grad, blocks, previous, state, grad):
        xp.multiply(state_grad, blocks[1:], out=grad)


@pytest.mark.parametrize("kind", [Doubled, Keeps])
@pytest.mark.parametrize("both", [False, True])
def test_a_layer_of_gates_of_the_readers_own(kind, both, device):
    with precision("float64"):
        layer = fast(Bidirectional(kind(D, H), kind(D, H)) if both else kind(D, H), threads=1)
        mask = to_device(np.array([[True, True, False], [True, True, True]]))
        for options in ({}, {"mask": mask}):
            assert max(gradient_errors(layer, to_device(rng.normal(size=(2, 3, D))), **options).values()) < 1e-7


@KINDS
def test_a_forward_that_fails_leaves_nothing_to_go_back_from(kind, monkeypatch):
    layer, x = fast(kind(D, H), threads=1), to_device(rng.normal(size=(2, 3, D)))
    output = layer.forward(x)
    monkeypatch.setattr("scratch.fast.sequences._masked", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        layer.forward(x)
    with pytest.raises(RuntimeError, match="needs its own forward"):
        layer.backward(output)


@KINDS
def test_many_shapes_do_not_pile_up(kind):
    layer = fast(kind(D, H), threads=1)
    for T in range(1, 200):
        layer.forward(to_device(np.zeros((1, T, D))))
    assert len(layer._work.by_shape) <= 64


@pytest.mark.parametrize("other", ["forward", "backward", "another"])
def test_its_layers_may_be_used_alone_meanwhile(other):
    with precision("float64"):
        layer = fast(Bidirectional(LSTM(D, H), LSTM(D, H)), threads=1)
        another = bidirectional.Bidirectional(layer.directions["forward"], fast(LSTM(D, H), threads=1))
        between = layer.directions.get(other, another)
        x, gradient = to_device(rng.normal(size=(2, 5, D))), to_device(rng.normal(size=(2, 5, 2 * H)))
        results = []
        for disturbed in (False, True):
            layer.zero_grads()
            layer.forward(x)
            if disturbed:
                between.forward(x + 1)
            results.append([layer.backward(gradient), *(grad.copy() for grad in layer.grads())])
        for a, b in zip(*results, strict=True):
            assert np.array_equal(to_host(a), to_host(b))


@KINDS
@pytest.mark.skipif(ON_A_DEVICE, reason="a GPU has one thread")
def test_two_threads_take_turns_at_their_gates(kind, monkeypatch):
    monkeypatch.setattr("scratch.fast.sequences._TURNS", 1)
    inside, most = [], []
    with precision("float64"):
        plain, x = kind(D, H), to_device(rng.normal(size=(24, 5, D)))
        layer, gradient, results = fast(plain, threads=2), to_device(rng.normal(size=(24, 5, H))), []
        twin = type(layer.model)
        bind = twin.bind

        def counted(self, *arguments):
            gates = bind(self, *arguments)

            def alone():
                inside.append(0)
                most.append(len(inside))
                time.sleep(0.001)
                gates()
                inside.pop()

            return alone

        monkeypatch.setattr(twin, "bind", counted)
        for one in (plain, layer):
            one.zero_grads()
            results.append([one.forward(x), one.backward(gradient), *(grad.copy() for grad in one.grads())])
    assert most == [1] * 10
    assert all(relative_error(a, b) < 1e-10 for a, b in zip(*results, strict=True))
