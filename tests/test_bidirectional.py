"""Reading from both ends, and pooling over time: what the tests of every layer do not say of them."""

import numpy as np
import pytest
from cases import D, H
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch.backend import ScratchError, precision, to_device, to_host
from scratch.bidirectional import Bidirectional
from scratch.gradient_check import gradient_errors, relative_error
from scratch.layer import Layer
from scratch.pooling import LastStep, MaxOverTime
from scratch.recurrent import GRU, LSTM, SimpleRnn

rng = np.random.default_rng(11)


@pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
def test_each_row_is_read_from_its_own_end(kind, device):
    layer, x = Bidirectional(kind(D, H), kind(D, H)), rng.normal(size=(3, 5, D))
    lengths = [5, 2, 0]
    mask = np.arange(5) < np.array(lengths)[:, None]
    found = to_host(layer.forward(to_device(x), mask=to_device(mask)))
    assert not found[~mask].any()
    for n, length in enumerate(lengths):
        alone = to_device(x[n : n + 1, :length])
        turned = to_device(x[n : n + 1, :length][:, ::-1])
        assert relative_error(found[n, :length, :H], to_host(layer.directions["forward"].forward(alone))[0]) < 1e-6
        backwards = to_host(layer.directions["backward"].forward(turned))[0, ::-1]
        assert relative_error(found[n, :length, H:], backwards) < 1e-6


def test_the_last_step_changes_the_first_output_and_padding_does_not():
    layer, x = Bidirectional(LSTM(D, H), LSTM(D, H)), rng.normal(size=(1, 4, D))
    mask = to_device(np.array([[True, True, True, False]]))
    first = to_host(layer.forward(to_device(x), mask=mask))[0, 0].copy()
    x[0, 3] += 1
    assert np.array_equal(first, to_host(layer.forward(to_device(x), mask=mask))[0, 0])
    x[0, 2] += 1
    assert not np.allclose(first[H:], to_host(layer.forward(to_device(x), mask=mask))[0, 0, H:])


class Classifier(Layer):
    """What the examples build of these layers, with every way of pooling."""

    def __init__(self):
        self.both, self.last, self.most = Bidirectional(GRU(D, H), GRU(D, 3)), LastStep(), MaxOverTime()

    def forward(self, input, mask=None):
        hidden = self.both.forward(input, mask=mask)
        self.remember((len(hidden), H + 3))
        return self.last.forward(hidden, mask=mask) + self.most.forward(hidden, mask=mask)

    def backward(self, gradient):
        self.recall(gradient)
        return self.both.backward(self.last.backward(gradient) + self.most.backward(gradient))


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4), extra=st.integers(0, 3), garbage=st.floats(-9, 9)
)
def test_padding_changes_nothing(lengths, extra, garbage):
    with precision("float64"):
        layer, local = Classifier(), np.random.default_rng(6)
        N, T = len(lengths), max(lengths) + 1
        x, gradient = local.normal(size=(N, T, D)), to_device(local.normal(size=(N, H + 3)))
        results = []
        for more in (0, extra):
            mask = np.arange(T + more) < np.array(lengths)[:, None]
            padded = np.full((N, T + more, D), garbage)
            padded[:, :T][mask[:, :T]] = x[mask[:, :T]]
            layer.zero_grads()
            output = to_host(layer.forward(to_device(padded), mask=to_device(mask)))
            input_grad = to_host(layer.backward(gradient))
            assert not input_grad[~mask].any()
            results.append([output, input_grad[:, :T]] + [to_host(g).copy() for g in layer.grads()])
        for a, b in zip(*results, strict=True):
            assert relative_error(a, b) < 1e-12


def test_a_classifier_s_gradients():
    with precision("float64"):
        mask = to_device(np.array([[True, True, True], [True, False, False]]))
        errors = gradient_errors(Classifier(), to_device(rng.normal(size=(2, 3, D))), mask=mask)
        assert max(errors.values()) < 1e-7


def test_pooling_takes_the_last_and_the_largest_of_what_is_real(device):
    x = to_device(np.array([[[1.0, 5], [3, -4], [9, 9]], [[-7, -8], [2, 2], [3, 3]]]))
    mask = to_device(np.array([[True, True, False], [True, False, False]]))
    assert to_host(LastStep().forward(x, mask=mask)).tolist() == [[3, -4], [-7, -8]]
    assert to_host(MaxOverTime().forward(x, mask=mask)).tolist() == [[3, 5], [-7, -8]]
    assert to_host(LastStep().forward(x)).tolist() == [[9, 9], [3, 3]]
    nothing = to_device(np.zeros((2, 3), dtype=bool))
    for pool in (LastStep(), MaxOverTime()):
        assert not to_host(pool.forward(x, mask=nothing)).any()
        assert not to_host(pool.backward(to_device(np.ones((2, 2))))).any()


def test_what_makes_no_sense_is_refused():
    one = LSTM(D, H)
    for pair in ((one, one), (one, LSTM(D + 1, H)), (one, LSTM(D, H, stateful=True))):
        with pytest.raises(ScratchError, match="Bidirectional: expected two layers"):
            Bidirectional(*pair)
    layer = Bidirectional(one, LSTM(D, H))
    for step in (np.zeros(D), 3):
        with pytest.raises(ScratchError, match="expected sequences"):
            layer.forward(to_device(step))
    with pytest.raises(ScratchError, match="at least one step"):
        MaxOverTime().forward(to_device(np.zeros((2, 0, D))))
