"""The fast twins of the cross-entropies: the truth is looked up by its id, not multiplied as a one-hot row."""

import math
from typing import Any

import numpy

from scratch import losses
from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect
from scratch.fast.arrays import as_ids, as_mask, minus_max
from scratch.functions import one_hot

_LARGEST = float(numpy.finfo(numpy.float32).max)


class NegativeLogLikelihood(losses.NegativeLogLikelihood):
    """As `losses.NegativeLogLikelihood`."""

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        log_p = self._log_p(as_floats(predicted))
        actual = self._truth(log_p, actual, mask)
        if isinstance(actual, int):
            loss = 0.0 - float(log_p[actual])
            return min(loss, _LARGEST) if math.isfinite(loss) else loss  # float64 could hold more, the book's cannot
        if actual.ndim == log_p.ndim:
            # An impossible class that is not the truth costs nothing, but 0 * -inf would be NaN.
            at_truth = (xp.where(actual == 0, 0, log_p) * actual).sum(axis=-1).reshape(-1)
        else:
            rows = log_p.reshape(-1, log_p.shape[-1])
            at_truth = rows[xp.arange(len(rows)), actual.reshape(-1)]
        if mask is None and self.class_weights is None:
            return 0.0 - float(at_truth.sum(dtype=numpy.float64)) / max(at_truth.size, 1)
        weights, total = self._row_weights(log_p, actual, mask)
        # Padding may hold anything: minus infinity too, of which zero times is NaN.
        return 0.0 - float((xp.where(weights > 0, at_truth, 0) * (weights / total)).sum(dtype=numpy.float64))

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        predicted = as_floats(predicted)
        actual = self._truth(predicted, actual, mask)
        gradient = self._softmax_part(predicted, actual)
        if isinstance(actual, int):
            gradient[actual] -= 1
            return gradient
        if actual.ndim == predicted.ndim:
            gradient -= actual
        else:
            rows = gradient.reshape(-1, predicted.shape[-1])  # a view: `gradient` is a fresh array
            rows[xp.arange(len(rows)), actual.reshape(-1)] -= 1
        # The mean over rows divides each row's gradient by their number, or by the sum of their weights.
        if mask is None and self.class_weights is None:
            gradient /= max(predicted.size // predicted.shape[-1], 1)
            return gradient
        weights, total = self._row_weights(predicted, actual, mask)
        weights = weights.reshape(*predicted.shape[:-1], 1) / total
        return xp.where(weights > 0, gradient, 0) * weights

    def _row_weights(self, predicted: Array, actual: Array, mask: Array | None) -> tuple[Array, float]:
        """How much each row counts, in a row, and the sum of that over the whole batch (1 where it is zero)."""
        if self.class_weights is None:
            weights = xp.ones(predicted.size // predicted.shape[-1], dtype=predicted.dtype)
        else:
            expect(actual.ndim < predicted.ndim, self, "targets as ids, since class weights are given", actual)
            table = as_floats(list(self.class_weights))
            expect(table.shape == predicted.shape[-1:], self, f"{predicted.shape[-1]} class weights", table)
            weights = table[actual.reshape(-1)]
        if mask is not None:
            weights = weights * as_mask(self, mask, predicted.shape[:-1]).reshape(-1)
        return weights, float(weights.sum()) or 1.0

    def _log_p(self, predicted: Array) -> Array:
        return predicted

    def _softmax_part(self, predicted: Array, actual: Any) -> Array:
        # d(-predicted[truth])/d predicted is -1 at the truth and 0 elsewhere: there is no softmax in it.
        return xp.zeros_like(predicted)

    def _truth(self, predicted: Array, actual: Any, mask: Array | None) -> Any:
        """`actual` as one Python id, an array of ids, or rows of the same shape as `predicted`."""
        num_classes = predicted.shape[-1]
        alone = isinstance(actual, int) and predicted.ndim == 1 and mask is None and self.class_weights is None
        if alone and 0 <= actual < num_classes:
            return actual
        if not isinstance(actual, xp.ndarray):
            actual = to_device(actual)
        if actual.shape == predicted.shape:
            return as_floats(actual)
        if actual.shape != predicted.shape[:-1]:
            expect(False, self, f"target ids {predicted.shape[:-1]} or rows {predicted.shape}", actual)
        return as_ids(self, actual, num_classes, hint="")


class SoftmaxCrossEntropy(NegativeLogLikelihood, losses.SoftmaxCrossEntropy):
    """As `losses.SoftmaxCrossEntropy`."""

    loss, gradient = NegativeLogLikelihood.loss, NegativeLogLikelihood.gradient

    def _truth(self, predicted: Array, actual: Any, mask: Array | None) -> Any:
        actual = super()._truth(predicted, actual, mask)
        num_classes = predicted.shape[-1]
        if self.label_smoothing and (isinstance(actual, int) or actual.ndim < predicted.ndim):
            actual = one_hot(actual, num_classes)
            actual *= 1 - self.label_smoothing
            actual += self.label_smoothing / num_classes
        return actual

    def _log_p(self, predicted: Array) -> Array:
        z = _minus_max(predicted)
        z -= xp.log(xp.exp(z).sum(axis=-1, keepdims=True))
        return z

    def _softmax_part(self, predicted: Array, actual: Any) -> Array:
        # d log(sum exp z)/dz is softmax(z); the truth's own -z[truth] gives the -1 at the truth. When `actual`
        # holds weights for all classes, there is one such term for each, so the softmax counts as often as they sum to.
        probabilities = xp.exp(_minus_max(predicted))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        probabilities = probabilities.astype(predicted.dtype, copy=False)
        if not isinstance(actual, int) and actual.ndim == predicted.ndim:
            probabilities *= actual.sum(axis=-1, keepdims=True)
        return probabilities


def _minus_max(z: Array) -> Array:
    """As `functions.minus_max`. For a single row it is quicker to compute in float64, which holds every difference."""
    if z.ndim > 1:
        return minus_max(z)
    z = z.astype(numpy.float64)
    z -= z.max()
    return z


TWINS: dict[type, type] = {
    losses.NegativeLogLikelihood: NegativeLogLikelihood, losses.SoftmaxCrossEntropy: SoftmaxCrossEntropy,
}
