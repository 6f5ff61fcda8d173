"""The engine's transformers where they go ways of their own: texts in pieces, single letters, states put back."""

import numpy as np
import pytest
from conftest import ON_THREADS
from fast_cases import TOLERANCE, V, floats, ids

from scratch.backend import float_type, precision, to_device, to_host
from scratch.fast import fast
from scratch.fast.parts import InParts
from scratch.gradient_check import relative_error
from scratch.layer import evaluating
from scratch.regular import LayerNorm
from scratch.self_attention import SelfAttention
from scratch.transformer import Transformer


def close(found, expected):
    return relative_error(found, expected) < TOLERANCE[float_type().name]


@pytest.mark.parametrize("num_texts", [1, 3])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_text_in_pieces_is_the_whole_text(dtype, num_texts):
    with precision(dtype):
        plain, text = Transformer(V, 8, 2, 2, 100, stateful=True), ids(num_texts, 100)
        model = fast(plain, 1)
        with evaluating(plain), evaluating(model):
            whole = to_host(plain.forward(text))
            for lengths in ([100], [1] * 100, [3, 1, 1, 70, 1, 24], [64, 1, 35]):
                model.reset_hidden_state()
                pieces = np.split(np.arange(100), np.cumsum(lengths)[:-1])
                found = [to_host(model.forward(text[:, piece[0] : piece[-1] + 1])) for piece in pieces]
                assert close(np.concatenate(found, axis=1), whole)


@pytest.mark.parametrize("causal", [True, False])
def test_padding_is_carried_on(causal):
    plain, x = SelfAttention(6, 2, causal=causal, stateful=True), floats(3, 9, 6)
    mask = to_device(np.arange(9) < np.array([[9], [4], [0]]))
    quick = fast(plain, 1)
    with evaluating(plain), evaluating(quick):
        for start, stop, masked in ((0, 1, False), (1, 2, True), (2, 7, True), (7, 8, False), (8, 9, True)):
            given = mask[:, start:stop] if masked else None
            expected, found = (layer.forward(x[:, start:stop], given) for layer in (plain, quick))
            assert close(found, expected)
            assert [array.shape for array in quick.state] == [array.shape for array in plain.state]
            assert np.array_equal(to_host(plain.state[2]), to_host(quick.state[2]))


def test_a_state_that_was_taken_may_be_put_back():
    layer, x = fast(SelfAttention(6, 2, stateful=True), 1), floats(1, 8, 6)
    with evaluating(layer):
        for t in range(4):
            layer.forward(x[:, t : t + 1])
        taken = layer.state
        values = [to_host(array).copy() for array in taken]
        after = [to_host(layer.forward(x[:, t : t + 1])).copy() for t in (4, 5)]
        first = layer.state
        kept = [to_host(array).copy() for array in first]
        layer.state = taken
        layer.forward(x[:, 7:8])
        layer.state = taken
        for t, value in zip((4, 5), after, strict=True):
            assert np.array_equal(to_host(layer.forward(x[:, t : t + 1])), value)
    assert all(np.array_equal(to_host(a), b) for a, b in zip((*taken, *first), (*values, *kept), strict=True))


@pytest.mark.parametrize("size", [1e-30, 1, 1e4, 1e18, 1e25, 1e34])
@pytest.mark.parametrize("rows", [1, 5])
def test_layer_norm_of_any_size_and_of_a_large_mean(rows, size):
    layer = LayerNorm(8)
    layer.b.data += 0.5
    quick = fast(layer, 1)
    for mean in (0, 3, 1000):
        x = (floats(rows, 8) + mean) * np.float32(size)
        with evaluating(layer), evaluating(quick):
            assert close(quick.forward(x), layer.forward(x))
        if mean < 1000:
            gradient = floats(rows, 8)
            assert close(quick.forward(x), layer.forward(x))
            assert close(quick.backward(gradient), layer.backward(gradient))


@ON_THREADS
def test_two_texts_suffice_for_a_thread():
    model = fast(Transformer(V, 8, 1, 2, 4), threads=2)
    model.least_rows = InParts(model.model).least_rows  # as where nobody says how many threads there are to be
    for num_texts, num_parts in ((3, 1), (4, 2)):
        model.forward(ids(num_texts, 4))
        assert [part._memory is not None for part in model.parts].count(True) == num_parts
        model.backward(floats(num_texts, 4, V))
