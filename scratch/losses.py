"""How wrong a prediction is, and in which direction to change it: SSE, MSE, NegativeLogLikelihood, SoftmaxCrossEntropy.

A loss turns a prediction and the truth into one number to minimise; its gradient is where the backward pass starts:

    loss = SoftmaxCrossEntropy()
    loss.loss(scores, ids)          # a Python float
    model.backward(loss.gradient(scores, ids))

Cross-entropy is the surprise at the truth, -log p(truth), in nats, the unit of the natural logarithm. Where the true
class has probability 0.25 it is log 4 = 1.386. A uniform guess among K classes costs log K: that is chance, and every
example prints it beside its loss. A mask is True where a row counts, and False where it is padding: filler that gives
sequences of different lengths one shape.

Read next: `optimizers.py`.
"""

from collections.abc import Sequence
from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect, expect_ids, expect_mask
from scratch.functions import log_softmax, one_hot, softmax


class Loss:
    """The contract: `loss` is a Python float, `gradient` has the shape of `predicted`."""

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        """How wrong `predicted` is."""
        raise NotImplementedError

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        """The derivative of the loss with respect to each number of `predicted`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return type(self).__name__


class SSE(Loss):
    """The sum of squared errors.

        loss = sum of (predicted - actual)^2

    Shapes: predicted and actual the same; mask of their first two axes, True where an error counts.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        error, _ = self._errors(predicted, actual, mask)
        return float((error * error).sum())

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        error, _ = self._errors(predicted, actual, mask)
        return 2 * error

    def _errors(self, predicted: Any, actual: Any, mask: Array | None) -> tuple[Array, int]:
        """The errors, zero where they are masked, and how many are not."""
        predicted, actual = as_floats(predicted), as_floats(actual)
        # Broadcasting would make N * N wrong errors of shapes (N, 1) and (N,).
        expect(predicted.shape == actual.shape, self, f"a truth of shape {predicted.shape}", actual)
        error = predicted - actual
        if mask is None:
            return error, error.size
        mask = to_device(mask)
        expect_mask(self, mask, error.shape[:2])
        counts = xp.broadcast_to(mask.reshape(mask.shape + (1,) * (error.ndim - 2)), error.shape)  # (N, T, ...)
        return xp.where(counts, error, 0), int(counts.sum())


class MSE(SSE):
    """The mean of squared errors, over every number that is not masked.

        loss = mean of (predicted - actual)^2

    Shapes: as SSE.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        error, count = self._errors(predicted, actual, mask)
        return float((error * error).sum()) / max(count, 1)  # 0 where all is masked

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        error, count = self._errors(predicted, actual, mask)
        return 2 * error / max(count, 1)


class NegativeLogLikelihood(Loss):
    """The surprise at the truth, when the prediction is in log-probabilities (after LogSoftmax).

        loss = mean over rows of -predicted[row, truth of the row]     (nats)

    With `class_weights`, K numbers of at least 0, each row is weighted by its truth's number, and the mean is the
    weighted mean: larger numbers for rare classes keep the common ones from dominating. (A single row, or rows of one
    class, have the same loss with any positive weights.)

    Shapes: predicted (..., K); actual ids (...), or (without class weights) rows of probabilities that sum to 1, such
        as one-hot rows, (..., K); mask (...).
    Raises: ScratchError when the truth has another shape or an id outside 0 .. K - 1, or there are not K weights.
    """

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        self.class_weights = class_weights
        expect(class_weights is None or min(class_weights) >= 0, self, "class weights of at least 0", class_weights)

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        predicted = as_floats(predicted)
        truth, shares = self._truth(predicted, actual, mask)
        # A class that is not the truth, or a masked row, may have log p = -inf, and 0 * -inf would be NaN.
        counted = xp.where(truth * shares > 0, self._log_p(predicted), 0)
        return 0.0 - float((counted * truth * shares).sum())  # 0.0, not -0.0, for a perfect prediction

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        truth, shares = self._truth(as_floats(predicted), actual, mask)
        # The loss is -sum(shares * truth * predicted).
        return -truth * shares

    def _truth(self, predicted: Array, actual: Any, mask: Array | None) -> tuple[Array, Array]:
        """The truth as probabilities (..., K), and the share of each row in the mean, (..., 1), zero if masked."""
        actual = to_device(actual)
        rows, K = predicted.shape[:-1], predicted.shape[-1]
        row_weights = xp.ones(rows, dtype=predicted.dtype)
        if actual.shape == predicted.shape:
            expect(self.class_weights is None, self, "ids for the truth, where there are class weights", actual)
            truth = as_floats(actual)
        else:
            expect(actual.shape == rows, self, f"ids {rows} or rows {predicted.shape}", actual)
            expect_ids(self, actual, K)
            truth = self._smoothed(one_hot(actual, K))
        if self.class_weights is not None:
            table = as_floats(list(self.class_weights))
            expect(table.shape == (K,), self, f"{K} class weights", table)
            row_weights = table[actual]
        if mask is not None:
            mask = to_device(mask)
            expect_mask(self, mask, rows)
            row_weights = row_weights * mask
        total = float(row_weights.sum())
        return truth, row_weights[..., None] / (total or 1.0)  # where all is masked, every share is 0

    def _log_p(self, predicted: Array) -> Array:
        """The log-probabilities. SoftmaxCrossEntropy computes them from scores."""
        return predicted

    def _smoothed(self, truth: Array) -> Array:
        """The truth, smoothed. SoftmaxCrossEntropy can do so."""
        return truth


class SoftmaxCrossEntropy(NegativeLogLikelihood):
    """The surprise at the truth, when the prediction is in scores: softmax and logarithm are part of the loss.

        loss = mean over rows of -log softmax(predicted)[row, truth of the row]     (nats)

    With `label_smoothing` s, an id stands for probabilities: 1 - s for that class, plus s / K for every class, so that
    no score gains by growing without bound (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, section 7).

    Shapes: as NegativeLogLikelihood.
    Source: Grus, Data Science from Scratch, chapter 19 ("isn't this a pleasant equation?", of its gradient).
    Differs: from the book, the mean over rows, not their sum; one row gives the same. The book adds 1e-30 to each
        probability; here the logarithm is taken before anything can underflow.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__(class_weights)
        right = 0 <= label_smoothing < 1 and (class_weights is None or not label_smoothing)
        expect(right, self, "a label_smoothing from 0 to below 1, and 0 with class weights", label_smoothing)
        self.label_smoothing = label_smoothing

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        predicted = as_floats(predicted)
        truth, shares = self._truth(predicted, actual, mask)
        # -log softmax(z)[k] = log(sum of exp z) - z[k]. The derivative of the logarithm is softmax(z), counted as often
        # as the truth sums to, which is once; that of -z[k] is -1 at the truth.
        gradient = softmax(predicted) * truth.sum(axis=-1, keepdims=True) - truth
        return xp.where(shares > 0, gradient, 0) * shares  # a masked row may hold NaN, and 0 * NaN is NaN

    def _log_p(self, predicted: Array) -> Array:
        return log_softmax(predicted)

    def _smoothed(self, truth: Array) -> Array:
        return truth * (1 - self.label_smoothing) + self.label_smoothing / truth.shape[-1]
