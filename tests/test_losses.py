import math

import numpy as np
import pytest
from bidaf.losses import SpanLoss
from cases import EACH_WAY, padding_changes_nothing
from char_cnn.losses import FocalLoss

from scratch.backend import precision, to_device
from scratch.checks import ScratchError
from scratch.functions import log_softmax
from scratch.gradient_check import numerical_gradient, relative_error
from scratch.losses import MSE, SSE, NegativeLogLikelihood, SoftmaxCrossEntropy

rng = np.random.default_rng(8)
N, T, K = 2, 3, 5
MASK = np.array([[True, True, False], [True, False, False]])
IDS = rng.integers(0, K, (N, T))
WEIGHTS = [0.5, 3.0, 1.0, 0.0, 2.0]
ROWS = rng.dirichlet(np.ones(K), (N, T)) * 1.5  # need not sum to one


def cases():
    for loss in (SSE(), MSE()):
        yield loss, rng.normal(size=(N, T, K)), None
        yield loss, rng.normal(size=(N, T, K)), MASK
        yield loss, rng.normal(size=(N, T)), MASK
    for loss in (SoftmaxCrossEntropy(), NegativeLogLikelihood()):
        for actual in (IDS, ROWS, np.eye(K)[IDS]):
            yield loss, actual, None
            yield loss, actual, MASK
    for kind in (SoftmaxCrossEntropy, NegativeLogLikelihood):
        yield kind(WEIGHTS), IDS, None
        yield kind(WEIGHTS), IDS, MASK


@EACH_WAY
@pytest.mark.parametrize(("loss", "actual", "mask"), list(cases()), ids=str)
def test_gradient(loss, actual, mask, how, device):
    loss = how(loss)
    with precision("float64"):
        shape = actual.shape if isinstance(loss, SSE) else (N, T, K)
        predicted = to_device(rng.normal(size=shape))
        actual, mask = to_device(actual), None if mask is None else to_device(mask)
        value = loss.loss(predicted, actual, mask)
        assert type(value) is float
        found = loss.gradient(predicted, actual, mask)
        expected = numerical_gradient(lambda: loss.loss(predicted, actual, mask), predicted)
        assert relative_error(found, expected) < 1e-8


@EACH_WAY
@pytest.mark.parametrize("loss", [SSE(), MSE(), SoftmaxCrossEntropy(), NegativeLogLikelihood()], ids=str)
def test_float32_stays_float32_and_padding_changes_nothing(loss, how, device):
    loss = how(loss)
    predicted = rng.normal(size=(N, T, K))
    actual = rng.normal(size=(N, T, K)) if isinstance(loss, SSE) else IDS
    padding_changes_nothing(loss, predicted, actual, MASK)


@EACH_WAY
def test_one_id_is_a_batch_of_one_and_a_one_hot_list(how):
    loss, scores = how(SoftmaxCrossEntropy()), to_device(rng.normal(size=K))
    one_hot = [0.0, 0.0, 1.0, 0.0, 0.0]
    assert loss.loss(scores, 2) == pytest.approx(loss.loss(scores, one_hot))
    assert loss.loss(scores, 2) == pytest.approx(loss.loss(scores[None], to_device([2])))
    assert relative_error(loss.gradient(scores, 2), loss.gradient(scores, one_hot)) < 1e-6
    assert loss.loss(to_device([0.0] * K), 1) == pytest.approx(math.log(K))  # chance


@EACH_WAY
def test_the_two_forms_of_cross_entropy_agree(how):
    scores, ids = to_device(rng.normal(size=(N, T, K))), to_device(IDS)
    direct = how(SoftmaxCrossEntropy()).loss(scores, ids)
    assert how(NegativeLogLikelihood()).loss(log_softmax(scores), ids) == pytest.approx(direct)


@EACH_WAY
def test_the_loss_is_finite_where_a_probability_underflows(how):
    assert how(SoftmaxCrossEntropy()).loss(to_device([0.0, 5000.0]), 0) == 5000


@EACH_WAY
def test_a_truth_that_does_not_fit_is_refused(how):
    scores, cross_entropy, sse = to_device(np.zeros((N, T, K))), how(SoftmaxCrossEntropy()), how(SSE())
    for wrong in (IDS[:, :2], IDS.astype(float), np.full((N, T), K), np.full((N, T), -1)):
        for method in (cross_entropy.loss, cross_entropy.gradient):
            with pytest.raises(ScratchError, match="SoftmaxCrossEntropy"):
                method(scores, to_device(wrong))
    with pytest.raises(ScratchError, match="ids from 0 to 4"):
        cross_entropy.gradient(scores[0, 0], -1)
    with pytest.raises(ScratchError, match=r"SSE\(\): expected targets"):
        sse.loss(to_device(np.zeros((3, 1))), to_device(np.zeros(3)))
    with pytest.raises(ScratchError, match="a mask"):
        sse.loss(to_device(np.zeros((3, 2))), to_device(np.zeros((3, 2))), to_device(np.ones((2, 2), dtype=bool)))


@EACH_WAY
def test_class_weights_that_do_not_fit_are_refused(how):
    scores, ids = to_device(rng.normal(size=(4, K))), to_device([0, 1, 2, 1])
    for weights in ([1.0, 2.0, 3.0], [1.0] * (K + 1)):
        with pytest.raises(ScratchError, match="5 class weights"):
            how(SoftmaxCrossEntropy(weights)).loss(scores, ids)
    with pytest.raises(ScratchError, match="class weights of at least 0"):
        SoftmaxCrossEntropy([1.0, -1.0])
    with pytest.raises(ScratchError, match="targets as ids"):
        how(SoftmaxCrossEntropy([1.0] * K)).loss(scores, to_device(np.eye(K)[[0, 1, 2, 1]]))


@EACH_WAY
def test_a_perfect_prediction_costs_zero_not_minus_zero(how):
    scores, ids = to_device([[1000.0, 0.0], [1000.0, 0.0]]), to_device([0, 0])
    spans = to_device([[[1000.0, 0.0], [1000.0, 0.0]]])
    for value in (
        how(SSE()).loss(scores, scores), how(MSE()).loss(scores, scores), how(SoftmaxCrossEntropy()).loss(scores, ids),
        how(SoftmaxCrossEntropy()).loss(scores[0], 0), how(SoftmaxCrossEntropy([1, 2])).loss(scores, ids),
        how(NegativeLogLikelihood()).loss(0 * scores, ids), how(NegativeLogLikelihood()).loss(0 * scores[0], 0),
        how(FocalLoss()).loss(scores, ids), how(SpanLoss()).loss(spans, to_device([[0, 0]])),
        how(SoftmaxCrossEntropy()).loss(scores[0], [1.0, 0.0]),
    ):
        assert value == 0 and math.copysign(1, value) == 1
