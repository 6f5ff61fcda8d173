"""The focal loss: cross-entropy that pays little attention to rows the network already gets right.

A row whose truth has the probability p = 0.9 costs -log 0.9 = 0.105 nats. With gamma = 2 it costs only (1 - 0.9)^2 =
1/100 of that, while a row with p = 0.1 still costs 0.81 of its 2.303 nats: training concentrates on the hard rows.
"""

from collections.abc import Sequence
from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect
from scratch.functions import log_softmax
from scratch.losses import SoftmaxCrossEntropy


class FocalLoss(SoftmaxCrossEntropy):
    """Cross-entropy in which each row is scaled down by how probable its truth already is.

        loss = mean over rows of -(1 - p)^gamma log p,   p = softmax(predicted)[row, truth of the row]

    Shapes: predicted (..., K); actual ids (...); mask (...).
    Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 5; its alpha is `class_weights`, 2 its gamma.
    Differs: from the paper, the mean over rows, not their sum; with class weights the weighted mean.
    Raises: as SoftmaxCrossEntropy, and for a truth that is not ids.
    """

    def __init__(self, gamma: float = 2.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(class_weights)
        expect(gamma >= 0, self, "a gamma of at least 0", gamma)
        self.gamma = gamma

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        log_p, shares = self._at_truth(predicted, actual, mask)
        return 0.0 - float(((1 - xp.exp(log_p)) ** self.gamma * log_p * shares).sum(dtype="float64"))

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        log_p, _ = self._at_truth(predicted, actual, mask)
        p = xp.exp(log_p)
        # The chain rule through c = -log p: cross-entropy's gradient is dc/d predicted, and this is
        # d((1 - p)^gamma c)/dc, since dp/dc = -p. Where p = 1, log p = 0, and 1e-30 avoids 0 / 0.
        slope = (1 - p) ** self.gamma * (1 - self.gamma * p * log_p / xp.maximum(1 - p, 1e-30))
        return super().gradient(predicted, actual, mask) * slope

    def _at_truth(self, predicted: Any, actual: Any, mask: Array | None) -> tuple[Array, Array]:
        """log p of each row's truth, and the row's share in the mean; both (..., 1), zero for a masked row."""
        predicted, actual = as_floats(predicted), to_device(actual)
        expect(actual.shape == predicted.shape[:-1], self, f"ids {predicted.shape[:-1]}", actual)
        truth, shares = self._truth(predicted, actual, mask)
        log_p = xp.where(truth * shares > 0, log_softmax(predicted), 0)  # 0 * -inf would be NaN
        return log_p.sum(axis=-1, keepdims=True), shares
