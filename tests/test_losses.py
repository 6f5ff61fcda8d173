import math

import numpy as np
import pytest
from conftest import ON_A_DEVICE

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.functions import log_softmax
from scratch.gradient_check import numerical_gradient, relative_error
from scratch.losses import MSE, SSE, FocalLoss, NegativeLogLikelihood, SoftmaxCrossEntropy

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
    for gamma in (0, 0.5, 1, 2):
        yield FocalLoss(gamma), IDS, None
        yield FocalLoss(gamma), IDS, MASK
        yield FocalLoss(gamma, WEIGHTS), IDS, MASK


@pytest.mark.parametrize(("loss", "actual", "mask"), list(cases()), ids=str)
def test_gradient(loss, actual, mask, device):
    with precision("float64"):
        shape = actual.shape if isinstance(loss, SSE) else (N, T, K)
        predicted = to_device(rng.normal(size=shape))
        actual, mask = to_device(actual), None if mask is None else to_device(mask)
        value = loss.loss(predicted, actual, mask)
        assert type(value) is float
        found = loss.gradient(predicted, actual, mask)
        expected = numerical_gradient(lambda: loss.loss(predicted, actual, mask), predicted)
        assert relative_error(found, expected) < 1e-8


@pytest.mark.parametrize("loss", [SSE(), MSE(), SoftmaxCrossEntropy(), NegativeLogLikelihood(), FocalLoss()], ids=str)
def test_float32_stays_float32_and_padding_changes_nothing(loss, device):
    predicted = rng.normal(size=(N, T, K))
    actual = rng.normal(size=(N, T, K)) if isinstance(loss, SSE) else IDS
    short = [to_device(a[:, :2]) for a in (predicted, actual, MASK)]
    long = [to_device(a) for a in (predicted, actual, MASK)]
    assert loss.loss(*short) == pytest.approx(loss.loss(*long), rel=1e-5 if ON_A_DEVICE else None)  # in another order
    gradient = loss.gradient(*long)
    assert gradient.dtype == np.float32
    assert relative_error(gradient[:, :2], loss.gradient(*short)) < 1e-6
    assert not to_host(gradient)[~MASK].any()
    nothing = to_device(np.zeros((N, T), dtype=bool))
    assert loss.loss(long[0], long[1], nothing) == 0
    assert not to_host(loss.gradient(long[0], long[1], nothing)).any()


def test_one_id_is_a_batch_of_one_and_a_one_hot_list():
    loss, scores = SoftmaxCrossEntropy(), to_device(rng.normal(size=K))
    one_hot = [0.0, 0.0, 1.0, 0.0, 0.0]
    assert loss.loss(scores, 2) == pytest.approx(loss.loss(scores, one_hot))
    assert loss.loss(scores, 2) == pytest.approx(loss.loss(scores[None], to_device([2])))
    assert relative_error(loss.gradient(scores, 2), loss.gradient(scores, one_hot)) < 1e-6
    assert loss.loss(to_device([0.0] * K), 1) == pytest.approx(math.log(K))  # chance


def test_the_two_forms_of_cross_entropy_agree():
    scores, ids = to_device(rng.normal(size=(N, T, K))), to_device(IDS)
    direct = SoftmaxCrossEntropy().loss(scores, ids)
    assert NegativeLogLikelihood().loss(log_softmax(scores), ids) == pytest.approx(direct)


def test_the_loss_is_finite_where_a_probability_underflows():
    assert SoftmaxCrossEntropy().loss(to_device([0.0, 5000.0]), 0) == 5000


def test_a_truth_that_does_not_fit_is_refused():
    scores = to_device(np.zeros((N, T, K)))
    for wrong in (IDS[:, :2], IDS.astype(float), np.full((N, T), K), np.full((N, T), -1)):
        for method in (SoftmaxCrossEntropy().loss, SoftmaxCrossEntropy().gradient):
            with pytest.raises(ScratchError, match="SoftmaxCrossEntropy"):
                method(scores, to_device(wrong))
    with pytest.raises(ScratchError, match="an id from 0 to 4"):
        SoftmaxCrossEntropy().gradient(scores[0, 0], -1)
    with pytest.raises(ScratchError, match="SSE: expected a truth"):
        SSE().loss(to_device(np.zeros((3, 1))), to_device(np.zeros(3)))
    with pytest.raises(ScratchError, match="a mask"):
        SSE().loss(to_device(np.zeros((3, 2))), to_device(np.zeros((3, 2))), to_device(np.ones((2, 2), dtype=bool)))


def test_class_weights_that_do_not_fit_are_refused():
    scores, ids = to_device(rng.normal(size=(4, K))), to_device([0, 1, 2, 1])
    for weights in ([1.0, 2.0, 3.0], [1.0] * (K + 1)):
        with pytest.raises(ScratchError, match="5 class weights"):
            SoftmaxCrossEntropy(weights).loss(scores, ids)
    with pytest.raises(ScratchError, match="class weights from 0 on"):
        SoftmaxCrossEntropy([1.0, -1.0])
    with pytest.raises(ScratchError, match="ids for the truth"):
        SoftmaxCrossEntropy([1.0] * K).loss(scores, to_device(np.eye(K)[[0, 1, 2, 1]]))


def test_focal_loss_is_cross_entropy_for_gamma_zero_and_leaves_out_what_is_right():
    predicted = to_device(rng.normal(size=(N, T, K)))
    assert FocalLoss(0).loss(predicted, IDS) == pytest.approx(SoftmaxCrossEntropy().loss(predicted, IDS), rel=1e-6)
    # p = 0.9 costs (1 - 0.9)^2 = a hundredth of its cross-entropy (Lin et al. 2017, section 3.2).
    scores = to_device(np.log([[0.9, 0.1]]))
    assert FocalLoss().loss(scores, [0]) == pytest.approx(-0.01 * math.log(0.9), rel=1e-5)
    certain = to_device([[100.0, 0.0]])
    for gamma in (0.5, 2):
        assert FocalLoss(gamma).loss(certain, [0]) == 0
        assert not to_host(FocalLoss(gamma).gradient(certain, [0])).any()
    with pytest.raises(ScratchError, match="ids"):
        FocalLoss().loss(predicted, np.eye(K)[IDS])
