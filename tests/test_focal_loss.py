"""The focal loss: its gradient, masks, class weights, and its values beside those of cross-entropy."""

import math

import numpy as np
import pytest
from cases import padding_changes_nothing
from char_cnn.losses import FocalLoss

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.gradient_check import numerical_gradient, relative_error
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam

rng = np.random.default_rng(8)
N, T, K = 2, 3, 5
MASK = np.array([[True, True, False], [True, False, False]])
IDS = rng.integers(0, K, (N, T))
WEIGHTS = [0.5, 3.0, 1.0, 0.0, 2.0]


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2])
def test_gradient(gamma, weights, mask, device):
    loss = FocalLoss(gamma, weights)
    with precision("float64"):
        predicted, actual = to_device(rng.normal(size=(N, T, K))), to_device(IDS)
        mask = None if mask is None else to_device(mask)
        assert type(loss.loss(predicted, actual, mask)) is float
        found = loss.gradient(predicted, actual, mask)
        expected = numerical_gradient(lambda: loss.loss(predicted, actual, mask), predicted)
        assert relative_error(found, expected) < 1e-8


def test_float32_stays_float32_and_padding_changes_nothing(device):
    loss, predicted = FocalLoss(), rng.normal(size=(N, T, K))
    predicted[~MASK] = -np.inf  # padding may hold anything
    predicted[~MASK, 0] = 0
    padding_changes_nothing(loss, predicted, IDS, MASK)


def test_it_is_cross_entropy_for_gamma_zero_and_ignores_rows_that_are_certainly_right(device):
    predicted, ids = to_device(rng.normal(size=(N, T, K))), to_device(IDS)
    for weights in (None, WEIGHTS):
        plain = SoftmaxCrossEntropy(weights)
        assert FocalLoss(0, weights).loss(predicted, ids) == pytest.approx(plain.loss(predicted, ids), rel=1e-6)
        assert relative_error(FocalLoss(0, weights).gradient(predicted, ids), plain.gradient(predicted, ids)) < 1e-6
    # p = 0.9 costs (1 - 0.9)^2 = a hundredth of its cross-entropy (Lin et al. 2017, section 3.2).
    scores = to_device(np.log([[0.9, 0.1]]))
    assert FocalLoss().loss(scores, [0]) == pytest.approx(-0.01 * math.log(0.9), rel=1e-5)
    certain = to_device([[100.0, 0.0]])
    for gamma in (0.5, 2):
        assert FocalLoss(gamma).loss(certain, [0]) == 0
        assert not to_host(FocalLoss(gamma).gradient(certain, [0])).any()


def test_its_values():
    """Worked out by hand: rows with p = 0.9, 0.5 and 0.1 of the truth, class weights 1, 2 and 0.5."""
    p = np.array([[0.9, 0.05, 0.05], [0.25, 0.5, 0.25], [0.6, 0.3, 0.1]])
    rows = [0.1**2 * math.log(0.9), 0.5**2 * math.log(0.5), 0.9**2 * math.log(0.1)]
    scores, ids = to_device(np.log(p) + np.array([[3.0], [-1.0], [0.0]])), to_device([0, 1, 2])
    assert FocalLoss().loss(scores, ids) == pytest.approx(-sum(rows) / 3, rel=1e-5)
    weighted = FocalLoss(2.0, [1.0, 2.0, 0.5]).loss(scores, ids)
    assert weighted == pytest.approx(-(rows[0] + 2 * rows[1] + 0.5 * rows[2]) / 3.5, rel=1e-5)


def test_a_classifier_memorises_with_it():
    x, ids = to_device(rng.normal(size=(12, 20))), rng.integers(0, 3, 12)
    model, loss, optimizer = Linear(20, 3), FocalLoss(), Adam(0.05)
    for _ in range(100):
        model.backward(loss.gradient(model.forward(x), to_device(ids)))
        optimizer.step(model)
    assert np.array_equal(to_host(model.forward(x)).argmax(axis=1), ids)


def test_what_does_not_fit_is_refused():
    predicted = to_device(rng.normal(size=(N, T, K)))
    for wrong in (np.eye(K)[IDS], IDS[:, :2], np.full((N, T), K)):
        for method in (FocalLoss().loss, FocalLoss().gradient):
            with pytest.raises(ScratchError, match=r"FocalLoss\(\): expected ids"):
                method(predicted, to_device(wrong))
    with pytest.raises(ScratchError, match="a gamma of at least 0"):
        FocalLoss(-1)
