"""Ids of every integer type that can hold them give the same results, in every layer and loss that reads ids."""

import random

import numpy as np
import pytest
from bidaf.losses import SpanLoss
from cases import EACH_WAY
from char_cnn.losses import FocalLoss

from scratch.backend import to_device, to_host
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.convolution import Conv1d
from scratch.dense import Embedding
from scratch.functions import one_hot
from scratch.losses import NegativeLogLikelihood, SoftmaxCrossEntropy
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.text import NgramModel
from scratch.tools.scores import count_confusions

TYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
READERS = {
    "Embedding": lambda num: Embedding(num, 3), "Conv1d": lambda num: Conv1d(num, 3, 2),
    "Conv1d, same": lambda num: Conv1d(num, 3, 2, padding="same"),
    "Bidirectional": lambda num: Bidirectional(LSTM(num, 3), LSTM(num, 3)),
    **{kind.__name__: lambda num, k=kind: k(num, 3) for kind in (SimpleRnn, GRU, LSTM)},
}
LOSSES = [
    NegativeLogLikelihood(), SoftmaxCrossEntropy(), SoftmaxCrossEntropy(label_smoothing=0.1), FocalLoss(),
]


def sizes(dtype):
    """A small vocabulary, and the largest whose ids the type holds, up to 300."""
    return [5, min(int(np.iinfo(dtype).max) + 1, 300)]


@EACH_WAY
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("name", READERS)
def test_layers(name, dtype, how):
    for num_ids in sizes(dtype):
        layer = how(READERS[name](num_ids))
        ids = np.array([[0, num_ids - 1, 2], [num_ids - 2, 1, num_ids - 1]])
        results = []
        for given in (ids, ids.astype(dtype)):
            output = layer.forward(to_device(given))
            layer.zero_grads()
            layer.backward(output)
            results.append([to_host(array).copy() for array in (output, *layer.grads())])
        for a, b in zip(*results, strict=True):
            assert np.array_equal(a, b)
        with pytest.raises(ScratchError, match=f"ids from .* to {num_ids - 1}, got"):
            layer.forward(to_device(np.array([[num_ids, 0]])))


@EACH_WAY
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_losses(loss, dtype, how):
    for num_ids in sizes(dtype):
        predicted = to_device(np.log(np.random.default_rng(0).dirichlet(np.ones(num_ids), size=3)))
        ids = np.array([0, num_ids - 1, 2])
        found = [(how(loss).loss(predicted, to_device(i)), how(loss).gradient(predicted, to_device(i)))
                 for i in (ids, ids.astype(dtype))]
        assert found[0][0] == found[1][0]
        assert np.array_equal(to_host(found[0][1]), to_host(found[1][1]))


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
def test_functions(dtype):
    for num_ids in sizes(dtype):
        ids = np.array([0, num_ids - 1, 2, 1, 0], dtype=dtype)
        assert to_host(one_hot(ids, num_ids)).argmax(axis=1).tolist() == ids.tolist()
        assert count_confusions(ids, ids, num_ids).trace() == 5
        assert np.array_equal(
            NgramModel(ids, num_ids, 3).log_probabilities(ids),
            NgramModel(ids.tolist(), num_ids, 3).log_probabilities(ids.tolist()),
        )
        scores = to_device(np.random.default_rng(0).normal(size=(2, 2, num_ids)))
        spans = np.array([[0, num_ids - 1], [1, 2]])
        assert SpanLoss().loss(scores, to_device(spans.astype(dtype))) == SpanLoss().loss(scores, to_device(spans))


@EACH_WAY
@pytest.mark.parametrize("name", READERS)
def test_the_caller_may_change_the_ids_before_the_backward(name, how):
    grads = []
    for change in (False, True):
        random.seed(1)
        layer, ids = how(READERS[name](5)), np.array([[0, 4, 2]])
        given = to_device(ids.copy())
        output = layer.forward(given)
        if change:
            given[...] = 1
        layer.backward(output)
        grads.append([to_host(grad).copy() for grad in layer.grads()])
    for a, b in zip(*grads, strict=True):
        assert np.array_equal(a, b)


@EACH_WAY
def test_the_largest_unsigned_id_is_no_padding(how):
    with pytest.raises(ScratchError, match="ids from"):
        how(Conv1d(5, 3, 2)).forward(to_device(np.array([[2**64 - 1, 0, 1]], dtype=np.uint64)))
