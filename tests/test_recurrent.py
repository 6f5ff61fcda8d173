"""The recurrent layers: what the contract's tests do not cover, plain and fast."""

import numpy as np
import pytest
from cases import EACH_WAY, D, H
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch.backend import precision, to_device, to_host, xp
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.gradient_check import gradient_errors, relative_error
from scratch.initial import zeros
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam
from scratch.recurrent import GRU, LSTM, Recurrent, SimpleRnn, add_gradients

KINDS = pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
rng = np.random.default_rng(4)


@EACH_WAY
@KINDS
def test_steps_carry_the_state_and_give_what_a_sequence_gives(kind, how, device):
    layer, x = how(kind(D, H)), to_device(rng.normal(size=(1, 6, D)))
    whole = to_host(layer.forward(x))[0]
    steps = [to_host(layer.forward(x[0, t])) for t in range(6)]
    assert relative_error(np.stack(steps), whole) < 1e-6
    assert relative_error(layer.hidden, whole[-1]) < 1e-6
    layer.reset_hidden_state()
    assert not to_host(layer.hidden).any()
    assert relative_error(layer.forward(x[0, 0]), whole[0]) < 1e-6


class Sums(Recurrent):
    """hidden[t] = hidden[t-1] / 2 + tanh(w x[t] + u hidden[t-1] + b), for unmasked sequences."""

    def read(self, x, mask, *states):
        (N, T, _), H, (hidden,) = x.shape, self.hidden_dim, states
        before, added, outputs = zeros(N, T, H), zeros(N, T, H), zeros(N, T, H)
        for t in range(T):
            before[:, t] = hidden
            added[:, t] = xp.tanh(x[:, t] @ self.w.data.T + hidden @ self.u.data.T + self.b.data)
            hidden = hidden / 2 + added[:, t]
            outputs[:, t] = hidden
        return outputs, [hidden], (x, before, added)

    def read_back(self, output_grads, last_grad, *memory):
        x, before, added = memory
        z_grads, from_next = zeros(*before.shape), last_grad
        for t in reversed(range(x.shape[1])):
            hidden_grad = output_grads[:, t] + from_next
            z_grads[:, t] = hidden_grad * (1 - added[:, t] ** 2)
            from_next = hidden_grad / 2 + z_grads[:, t] @ self.u.data
        add_gradients(self, x, before, z_grads, z_grads)
        return z_grads @ self.w.data


@EACH_WAY
@pytest.mark.parametrize("make", [lambda: Sums(D, H), lambda: Bidirectional(Sums(D, H), Sums(D, H))])
def test_a_readers_own_layer(make, how, device):
    with precision("float64"):
        layer = how(make())
        assert max(gradient_errors(layer, to_device(rng.normal(size=(2, 3, D)))).values()) < 1e-7


@EACH_WAY
@KINDS
def test_an_id_is_its_one_hot_row(kind, how, device):
    with precision("float64"):
        layer, ids = how(kind(D, H)), rng.integers(0, D, (2, 3))
        gradient = to_device(rng.normal(size=(2, 3, H)))
        results = []
        for input in (to_device(ids), to_device(np.eye(D)[ids])):
            layer.zero_grads()
            output = layer.forward(input)
            layer.backward(gradient)
            results.append([to_host(output)] + [to_host(g).copy() for g in layer.grads()])
        for a, b in zip(*results, strict=True):
            assert relative_error(a, b) < 1e-12


@EACH_WAY
@KINDS
def test_stateful_sequences_go_on_where_the_last_batch_stopped(kind, how):
    layer, x = how(kind(D, H, stateful=True)), to_device(rng.normal(size=(2, 6, D)))
    whole = to_host(layer.forward(x))
    layer.reset_hidden_state()
    halves = np.concatenate([to_host(layer.forward(x[:, :3])), to_host(layer.forward(x[:, 3:]))], axis=1)
    assert relative_error(halves, whole) < 1e-6
    with pytest.raises(ScratchError, match="reset_hidden_state"):
        layer.forward(x[:1])


@EACH_WAY
@KINDS
def test_outputs_may_be_kept(kind, how):
    layer = how(kind(D, H))
    first = layer.forward(to_device(rng.normal(size=(2, 3, D))))
    before = to_host(first).copy()
    layer.forward(to_device(rng.normal(size=(2, 3, D))))
    layer.backward(first)
    assert np.array_equal(to_host(first), before)


@EACH_WAY
@KINDS
def test_batches_of_other_shapes_do_not_disturb(kind, how):
    with precision("float64"):
        layer = how(kind(D, H))
        x, gradient = to_device(rng.normal(size=(2, 3, D))), to_device(rng.normal(size=(2, 3, H)))
        layer.forward(x)
        expected = to_host(layer.backward(gradient)).copy()
        for shape in ((4, 9, D), (1, 1, D), (2, 3, D)):
            layer.backward(layer.forward(to_device(rng.normal(size=shape))))
        layer.forward(x)
        assert np.array_equal(to_host(layer.backward(gradient)), expected)


@EACH_WAY
@KINDS
@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4), extra=st.integers(0, 3), garbage=st.floats(-9, 9)
)
def test_padding_changes_nothing(kind, how, lengths, extra, garbage):
    with precision("float64"):
        layer, loss = how(kind(D, H)), SoftmaxCrossEntropy()
        N, T = len(lengths), max(lengths) + 1
        local = np.random.default_rng(6)
        x, actual = local.normal(size=(N, T, D)), local.integers(0, H, (N, T))
        results = []
        for more in (0, extra):
            padded = np.full((N, T + more, D), garbage)
            padded[:, :T] = x
            mask = np.arange(T + more) < np.array(lengths)[:, None]
            if more:
                padded[~mask] = garbage
            targets = np.zeros((N, T + more), dtype=int)
            targets[:, :T] = actual
            layer.zero_grads()
            output = layer.forward(to_device(padded), mask=to_device(mask))
            value = loss.loss(output, to_device(targets), to_device(mask))
            input_grad = layer.backward(loss.gradient(output, to_device(targets), to_device(mask)))
            assert not to_host(output)[~mask].any()
            assert not to_host(input_grad)[~mask].any()
            results.append([to_host(output)[:, :T], value, to_host(input_grad)[:, :T]]
                           + [to_host(g).copy() for g in layer.grads()])
        for a, b in zip(*results, strict=True):
            assert relative_error(a, b) < 1e-12


@EACH_WAY
@KINDS
def test_what_cannot_be_read_is_refused(kind, how):
    layer = how(kind(D, H))
    for wrong in (np.zeros((3, D)), np.zeros((2, 3, D + 1)), np.zeros((1, 2, 3, D)), np.zeros(D + 1)):
        with pytest.raises(ScratchError, match=f"{kind.__name__}\\(input_dim=5"):
            layer.forward(to_device(wrong))
    for wrong in (np.array([[0, D]]), np.array([[-1, 0]])):
        with pytest.raises(ScratchError, match="ids from"):
            layer.forward(to_device(wrong))
    for wrong in (-1, D):
        with pytest.raises(ScratchError, match="ids from 0 to 4"):
            layer.forward(wrong)
    with pytest.raises(ScratchError, match="a mask"):
        layer.forward(to_device(np.zeros((2, 3, D))), mask=to_device(np.ones((3, 2), dtype=bool)))
    with pytest.raises(ScratchError, match="a mask"):
        layer.forward(to_device(np.zeros((2, 3, D))), mask=to_device(np.ones((2, 3))))


@EACH_WAY
@KINDS
def test_it_remembers_what_it_saw_first(kind, how):
    """The class of a sequence is its first id, which only a gradient through all of time can teach."""
    layer = how(kind(3, 12))
    optimizer, loss = how(Adam(0.02)), how(SoftmaxCrossEntropy())
    ids = rng.integers(0, 3, (30, 8))
    x, y = to_device(ids), to_device(ids[:, 0])
    for _ in range(150):
        output = layer.forward(x)
        gradient = output * 0
        gradient[:, -1, :3] = loss.gradient(4 * output[:, -1, :3], y) * 4
        layer.backward(gradient)
        optimizer.step(layer)
    assert loss.loss(4 * layer.forward(x)[:, -1, :3], y) < 0.1


@EACH_WAY
@KINDS
def test_a_refused_batch_leaves_the_one_before_intact(kind, how):
    layer = how(kind(D, H, stateful=True))
    x, gradient = to_device(rng.normal(size=(2, 3, D))), to_device(rng.normal(size=(2, 3, H)))
    layer.forward(x)
    layer.backward(gradient)
    expected = [to_host(g).copy() for g in layer.grads()]
    layer.zero_grads()
    layer.reset_hidden_state()
    layer.forward(x)
    with pytest.raises(ScratchError, match="reset_hidden_state"):
        layer.forward(x[:1])
    layer.backward(gradient)
    assert all(np.array_equal(to_host(g), e) for g, e in zip(layer.grads(), expected, strict=True))


@EACH_WAY
@KINDS
def test_nothing_to_read_is_read(kind, how):
    layer = how(kind(D, H))
    for shape in ((0, 3, D), (2, 0, D)):
        output = layer.forward(to_device(np.zeros(shape)))
        assert layer.backward(output).shape == shape


@EACH_WAY
@KINDS
def test_changing_a_step_s_output_does_not_change_the_state(kind, how):
    layer = how(kind(D, H))
    output = layer.forward(to_device(np.ones(D)))
    state = to_host(layer.hidden).copy()
    output *= 0
    assert np.array_equal(to_host(layer.hidden), state)


@EACH_WAY
@KINDS
def test_without_the_input_s_gradient_the_rest_is_the_same(kind, how, device):
    layer, first = how(kind(D, H)), how(kind(D, H, input_gradient=False))
    x, gradient = to_device(rng.normal(size=(2, 3, D))), to_device(rng.normal(size=(2, 3, H)))
    for mine, its in zip(first.parameters(), layer.parameters(), strict=True):
        mine.data[...] = its.data
    layer.forward(x)
    first.forward(x)
    assert layer.backward(gradient).shape == x.shape
    assert first.backward(gradient) is None
    assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(layer.grads(), first.grads(), strict=True))
