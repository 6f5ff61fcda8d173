"""How wrong a prediction is, and in which direction to move it: SSE, MSE, cross-entropy in three forms, spans.

A loss turns a prediction and the truth into one number to make small, and its gradient starts the way back:

    loss = SoftmaxCrossEntropy()
    loss.loss(scores, ids)          # a Python float, in nats
    model.backward(loss.gradient(scores, ids))

Cross-entropy is the surprise at the truth: -log p(truth), in nats. A uniform guess among K costs log K, and every
example prints that chance level beside its loss. A mask is True where a row counts, and False where it is padding.

A mean is over the whole batch, also where this process has only some of its rows (`parallel.py`): so it asks how many
there are.

Read next: `optimizers.py`.
"""

import math
from collections.abc import Sequence
from typing import Any

from scratch.backend import Array, as_floats, as_mask, expect, expect_ids, to_device, xp
from scratch.functions import log_softmax, one_hot, softmax
from scratch.layer import batch


class Loss:
    """The contract: `loss` is a Python float, `gradient` has the shape of `predicted`."""

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        """How wrong `predicted` is."""
        raise NotImplementedError

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        """How the loss changes with each number of `predicted`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__


class SSE(Loss):
    """The sum of squared errors.

        loss = sum of (predicted - actual)^2

    Shapes: predicted and actual the same; mask (N, T) for (N, T, ...), True where an error counts.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        error = self._error(predicted, actual, mask)
        return batch.get().sum(float((error * error).sum()))

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        return 2 * self._error(predicted, actual, mask)

    def _error(self, predicted: Any, actual: Any, mask: Array | None) -> Array:
        predicted, actual = as_floats(predicted), as_floats(actual)
        # Not left to broadcasting: (N, 1) - (N,) would be a matrix of N * N wrong errors.
        expect(predicted.shape == actual.shape, self, f"a truth of shape {predicted.shape}", actual)
        if mask is None:
            return predicted - actual
        mask = as_mask(self, mask, predicted.shape[:2])
        return xp.where(mask.reshape(mask.shape + (1,) * (predicted.ndim - 2)), predicted - actual, 0)


class MSE(SSE):
    """The mean of squared errors, over every number that is not masked.

        loss = mean of (predicted - actual)^2

    Shapes: as SSE.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        return super().loss(predicted, actual, mask) / self._count(predicted, mask)

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        return super().gradient(predicted, actual, mask) / self._count(predicted, mask)

    def _count(self, predicted: Any, mask: Array | None) -> int:
        predicted = as_floats(predicted)
        count = predicted.size
        if mask is not None:
            count = int(to_device(mask).sum()) * math.prod(predicted.shape[2:])
        return max(batch.get().sum(count), 1)


class NegativeLogLikelihood(Loss):
    """The surprise at the truth, when the prediction is in log-probabilities (after LogSoftmax).

        loss = mean over rows of -predicted[row, truth of the row]     (nats)

    With `class_weights`, K numbers from 0 on, a row counts as much as its truth's number says, and the mean is the
    weighted one: where some classes are rare, larger numbers for them keep the common ones from drowning them. (A
    row alone, or rows of one class, are their own mean, whatever they weigh.)

    Shapes: predicted (..., K); actual ids (...), or (without class weights) one-hot rows or probabilities (..., K);
        mask (...).
    Raises: ScratchError when the truth has another shape or an id outside 0 .. K - 1, or there are not K weights.
    """

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        self.class_weights = class_weights
        expect(class_weights is None or min(class_weights) >= 0, self, "class weights from 0 on", class_weights)

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        log_p = self._log_p(as_floats(predicted))
        actual = self._truth(log_p, actual, mask)
        if isinstance(actual, int):
            return -float(log_p[actual])
        if actual.ndim == log_p.ndim:
            # An impossible class that is not the truth costs nothing, but 0 * -inf would be NaN.
            at_truth = (xp.where(actual == 0, 0, log_p) * actual).sum(axis=-1).reshape(-1)
        else:
            rows = log_p.reshape(-1, log_p.shape[-1])
            at_truth = rows[xp.arange(len(rows)), actual.reshape(-1)]
        whole = batch.get()
        if mask is None and self.class_weights is None:
            return -whole.sum(float(at_truth.sum())) / max(whole.sum(at_truth.size), 1)
        weights, total = self._row_weights(log_p, actual, mask)
        # Padding may hold anything: minus infinity too, of which zero times is NaN.
        return -whole.sum(float((xp.where(weights > 0, at_truth, 0) * weights).sum())) / total

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
            gradient /= max(batch.get().sum(predicted.size // predicted.shape[-1]), 1)
            return gradient
        weights, total = self._row_weights(predicted, actual, mask)
        weights = weights.reshape(*predicted.shape[:-1], 1) / total
        return xp.where(weights > 0, gradient, 0) * weights

    def _row_weights(self, predicted: Array, actual: Array, mask: Array | None) -> tuple[Array, float]:
        """How much each row counts, in a row, and the sum of that over the whole batch (1 where it is zero)."""
        if self.class_weights is None:
            weights = xp.ones(predicted.size // predicted.shape[-1], dtype=predicted.dtype)
        else:
            expect(actual.ndim < predicted.ndim, self, "ids for the truth, where there are class weights", actual)
            table = as_floats(list(self.class_weights))
            expect(table.shape == predicted.shape[-1:], self, f"{predicted.shape[-1]} class weights", table)
            weights = table[actual.reshape(-1)]
        if mask is not None:
            weights = weights * as_mask(self, mask, predicted.shape[:-1]).reshape(-1)
        return weights, batch.get().sum(float(weights.sum())) or 1.0

    def _log_p(self, predicted: Array) -> Array:
        return predicted

    def _softmax_part(self, predicted: Array, actual: Any) -> Array:
        # d(-predicted[truth])/d predicted is -1 at the truth and 0 elsewhere: there is no softmax in it.
        return xp.zeros_like(predicted)

    def _truth(self, predicted: Array, actual: Any, mask: Array | None) -> Any:
        """`actual` as one Python id, an array of ids, or rows of the same shape as `predicted`."""
        num_classes = predicted.shape[-1]
        if isinstance(actual, int) and predicted.ndim == 1 and mask is None:
            expect(0 <= actual < num_classes, self, f"an id from 0 to {num_classes - 1}", actual)
            return actual
        if not isinstance(actual, xp.ndarray):
            actual = to_device(actual)
        if actual.shape == predicted.shape:
            return as_floats(actual)
        if actual.shape != predicted.shape[:-1]:
            expect(False, self, f"ids {predicted.shape[:-1]} or rows {predicted.shape}", actual)
        expect_ids(self, actual, num_classes)
        return actual


class SoftmaxCrossEntropy(NegativeLogLikelihood):
    """The surprise at the truth, when the prediction is in scores: softmax and logarithm are part of the loss.

        loss = mean over rows of -log softmax(predicted)[row, truth of the row]     (nats)

    With `label_smoothing` the truth, where it is an id, is only mostly that: each class gets the share
    label_smoothing / K, and the id what is left, so that no score gains by growing without end (Szegedy et al. 2015,
    https://arxiv.org/abs/1512.00567, section 7).

    Shapes: as NegativeLogLikelihood.
    Source: Grus, Data Science from Scratch, chapter 19 ("isn't this a pleasant equation?", of its gradient).
    Differs: from the book, the mean over rows, not their sum: one row gives the same. The book adds 1e-30 to each
        probability; here the logarithm is taken before anything can underflow.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__(class_weights)
        right = 0 <= label_smoothing < 1 and (class_weights is None or not label_smoothing)
        expect(right, self, "a label_smoothing from 0 to below 1, and 0 with class weights", label_smoothing)
        self.label_smoothing = label_smoothing

    def _truth(self, predicted: Array, actual: Any, mask: Array | None) -> Any:
        actual = super()._truth(predicted, actual, mask)
        num_classes = predicted.shape[-1]
        if self.label_smoothing and (isinstance(actual, int) or actual.ndim < predicted.ndim):
            actual = one_hot(actual, num_classes)
            actual *= 1 - self.label_smoothing
            actual += self.label_smoothing / num_classes
        return actual

    def _log_p(self, predicted: Array) -> Array:
        return log_softmax(predicted)

    def _softmax_part(self, predicted: Array, actual: Any) -> Array:
        # d log(sum exp z)/dz is softmax(z); the truth's own -z[truth] gives the -1 at the truth. When `actual`
        # holds weights for all classes, there is one such term for each, so the softmax counts as often as they sum to.
        probabilities = softmax(predicted)
        if not isinstance(actual, int) and actual.ndim == predicted.ndim:
            probabilities *= actual.sum(axis=-1, keepdims=True)
        return probabilities


class SpanLoss(Loss):
    """The surprise at where a span of steps begins, plus that at where it ends.

        loss = mean over rows of -log softmax(begin scores)[begin] - log softmax(end scores)[end]     (nats)

    Shapes: predicted (N, 2, T), scores of each step to be the first and the last; actual ids (N, 2); mask (N, T), True
        where a step is real: the others have no chance.
    Source: Seo et al. 2016, https://arxiv.org/abs/1611.01603, equation 3.
    Raises: ScratchError for a truth of another shape, or outside 0 .. T - 1, or at a masked step.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        predicted, actual = self._right(predicted, actual, mask)
        at_truth = xp.take_along_axis(log_softmax(self._real(predicted, mask)), actual[:, :, None], axis=2)
        whole = batch.get()
        return -whole.sum(float(at_truth.sum())) / max(whole.sum(len(predicted)), 1)

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        predicted, actual = self._right(predicted, actual, mask)
        # As in SoftmaxCrossEntropy, for begin and end each: the probabilities, less 1 at the truth.
        gradient = softmax(self._real(predicted, mask))
        gradient -= xp.arange(predicted.shape[2]) == actual[:, :, None]
        gradient /= max(batch.get().sum(len(predicted)), 1)
        return gradient

    def _real(self, predicted: Array, mask: Array | None) -> Array:
        if mask is None:
            return predicted
        return xp.where(to_device(mask)[:, None], predicted, xp.finfo(predicted.dtype).min / 2)

    def _right(self, predicted: Any, actual: Any, mask: Array | None) -> tuple[Array, Array]:
        predicted, actual = as_floats(predicted), to_device(actual)
        expect(predicted.ndim == 3 and predicted.shape[1] == 2, self, "scores (N, 2, T)", predicted)
        expect(actual.shape == predicted.shape[:2], self, f"begins and ends {predicted.shape[:2]}", actual)
        expect_ids(self, actual, predicted.shape[2])
        if mask is not None:
            mask = as_mask(self, mask, (len(predicted), predicted.shape[2]))
            there = bool(xp.take_along_axis(mask, actual, axis=1).all())
            expect(there, self, "begins and ends at steps that are real", "one that is padding")
        return predicted, actual


_TINY = 1e-30  # where p is 1, log p is 0


class FocalLoss(SoftmaxCrossEntropy):
    """The surprise at the truth, less for rows that are nearly right already: what is left counts the hard ones.

        loss = mean over rows of -(1 - p)^gamma log p,   p = softmax(predicted)[row, truth of the row]

    Shapes: as NegativeLogLikelihood, with ids for the truth.
    Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 5; its alpha is `class_weights`, 2 its gamma.
    Differs: from the paper, a mean, not a sum; with class weights the weighted one.
    """

    def __init__(self, gamma: float = 2.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(class_weights)
        expect(gamma >= 0, self, "a gamma from 0 on", gamma)
        self.gamma = gamma

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        log_p, p, weights, total = self._rows(predicted, actual, mask)
        return -batch.get().sum(float(((1 - p) ** self.gamma * log_p * weights).sum())) / total

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        log_p, p, *_ = self._rows(predicted, actual, mask)
        # By the chain rule through log p: cross-entropy's gradient, times d(-(1 - p)^gamma log p)/d(-log p).
        slope = (1 - p) ** self.gamma * (1 - self.gamma * p * log_p / xp.maximum(1 - p, _TINY))
        gradient = super().gradient(predicted, actual, mask)
        return gradient * slope.reshape(*gradient.shape[:-1], 1)

    def _rows(self, predicted: Any, actual: Any, mask: Array | None) -> tuple[Array, Array, Array, float]:
        """log p and p of each row's truth, how much the row counts, and the sum of that."""
        predicted = as_floats(predicted)
        actual = to_device(actual)
        expect(actual.shape == predicted.shape[:-1], self, f"ids {predicted.shape[:-1]}", actual)
        expect_ids(self, actual, predicted.shape[-1])
        rows = log_softmax(predicted).reshape(-1, predicted.shape[-1])
        weights, total = self._row_weights(predicted, actual, mask)
        # Padding may hold anything, and counts nothing: as if it were right.
        log_p = xp.where(weights > 0, rows[xp.arange(len(rows)), actual.reshape(-1)], 0)
        return log_p, xp.exp(log_p), weights, total
