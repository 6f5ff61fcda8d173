"""Reading from both ends, and the last state only: what the contract's tests do not cover, plain and fast."""

import numpy as np
import pytest
from cases import EACH_WAY, D, H
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch.backend import precision, to_device, to_host
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.gradient_check import relative_error
from scratch.recurrent import GRU, LSTM, SimpleRnn

rng = np.random.default_rng(11)


@EACH_WAY
@pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
def test_each_row_is_read_from_its_own_end(kind, how, device):
    layer, x = how(Bidirectional(kind(D, H), kind(D, H))), rng.normal(size=(3, 5, D))
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


@EACH_WAY
def test_the_last_step_changes_the_first_output_and_padding_does_not(how):
    layer, x = how(Bidirectional(LSTM(D, H), LSTM(D, H))), rng.normal(size=(1, 4, D))
    mask = to_device(np.array([[True, True, True, False]]))
    first = to_host(layer.forward(to_device(x), mask=mask))[0, 0].copy()
    x[0, 3] += 1
    assert np.array_equal(first, to_host(layer.forward(to_device(x), mask=mask))[0, 0])
    x[0, 2] += 1
    assert not np.allclose(first[H:], to_host(layer.forward(to_device(x), mask=mask))[0, 0, H:])


def both(return_sequences):
    return Bidirectional(GRU(D, H, return_sequences=return_sequences), GRU(D, H, return_sequences=return_sequences))


@EACH_WAY
@pytest.mark.parametrize("return_sequences", [True, False])
@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4), extra=st.integers(0, 3), garbage=st.floats(-9, 9)
)
def test_padding_changes_nothing(how, return_sequences, lengths, extra, garbage):
    with precision("float64"):
        layer, local = how(both(return_sequences)), np.random.default_rng(6)
        N, T = len(lengths), max(lengths) + 1
        x, weights = local.normal(size=(N, T, D)), local.normal(size=(N, T + 3, 2 * H))
        results = []
        for more in (0, extra):
            mask = np.arange(T + more) < np.array(lengths)[:, None]
            padded = np.full((N, T + more, D), garbage)
            padded[:, :T][mask[:, :T]] = x[mask[:, :T]]
            layer.zero_grads()
            output = to_host(layer.forward(to_device(padded), mask=to_device(mask)))
            gradient = weights[:, : T + more] if return_sequences else weights[:, 0]
            input_grad = to_host(layer.backward(to_device(gradient)))
            assert not input_grad[~mask].any()
            grads = [to_host(grad).copy() for grad in layer.grads()]
            results.append([output[:, :T] if return_sequences else output, input_grad[:, :T], *grads])
        for a, b in zip(*results, strict=True):
            assert relative_error(a, b) < 1e-12


@EACH_WAY
@pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
def test_the_last_state_is_the_last_real_output(kind, how, device):
    whole = how(kind(D, H))
    last = how(kind(D, H, return_sequences=False))
    for mine, its in zip(last.parameters(), whole.parameters(), strict=True):
        mine.data[...] = its.data
    x, mask = to_device(rng.normal(size=(3, 4, D))), np.arange(4) < np.array([[4], [2], [0]])
    outputs, found = to_host(whole.forward(x, mask=to_device(mask))), to_host(last.forward(x, mask=to_device(mask)))
    assert np.array_equal(found, [outputs[0, 3], outputs[1, 1], np.zeros(H)])
    assert np.array_equal(to_host(last.forward(x)), to_host(whole.forward(x))[:, 3])
    assert not to_host(last.forward(x[:, :0])).any()  # nothing was read


@EACH_WAY
@pytest.mark.parametrize("make", [lambda: LSTM(D, H), lambda: Bidirectional(GRU(D, H), GRU(D, H))])
def test_no_step_and_no_row_are_read_with_a_mask_too(make, how):
    layer = how(make())
    for shape in ((2, 0), (0, 3), (0, 0)):
        x, mask = np.zeros((*shape, D)), np.zeros(shape, dtype=bool)
        output = layer.forward(to_device(x), mask=to_device(mask))
        assert output.shape[:2] == shape and layer.backward(output).shape == (*shape, D)


@EACH_WAY
def test_what_makes_no_sense_is_refused(how):
    one = LSTM(D, H)
    for pair in ((Linear(D, H), Linear(D, H)), (one, Linear(D, H)), (one, one)):
        with pytest.raises(ScratchError, match="Bidirectional: expected two different recurrent layers"):
            Bidirectional(*pair)
    options = {"stateful": True}, {"return_sequences": False}, {"input_gradient": False}
    others = [GRU(D, H), LSTM(D, H + 1), LSTM(D + 1, H), *(LSTM(D, H, **option) for option in options)]
    both_stateful = LSTM(D, H, stateful=True), LSTM(D, H, stateful=True)
    for pair in [*((one, other) for other in others), both_stateful]:
        with pytest.raises(ScratchError, match="Bidirectional: expected two layers"):
            Bidirectional(*pair)
    layer = how(Bidirectional(one, LSTM(D, H)))
    for step in (np.zeros(D), 3):
        with pytest.raises(ScratchError, match="expected sequences"):
            layer.forward(to_device(step))
    with pytest.raises(ScratchError, match="a mask"):
        layer.forward(to_device(np.zeros((2, 3, D))), mask=to_device(np.array([True, False])))
