"""How wrong a prediction is, and in which direction to change it: SSE, MSE, NegativeLogLikelihood, SoftmaxCrossEntropy.

A loss reduces a prediction and the truth to one number to minimise; the backward pass starts from its gradient:

    loss = SoftmaxCrossEntropy()
    loss.loss(scores, ids)          # a Python float
    model.backward(loss.gradient(scores, ids))

Cross-entropy measures surprise: -log p, where p is the predicted probability of the true class. Its unit is the nat,
because the logarithm is natural. At p = 0.25 it is log 4 = 1.386 nats. A uniform guess among K classes costs log K:
this is chance, which every example prints beside its loss. A mask is True where a row counts, and False where it is
padding: filler that gives sequences of different lengths one shape.

Read next: `optimizer_state.py`.
"""

from collections.abc import Sequence
from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import as_ids, call_of, expect, expect_mask
from scratch.functions import log_softmax, one_hot, softmax


class Loss:
    """The contract: `loss` returns a Python float, `gradient` an array of the shape of `predicted`."""

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        """How wrong `predicted` is."""
        raise NotImplementedError

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        """The derivative of the loss with respect to each number in `predicted`."""
        raise NotImplementedError

    __repr__ = call_of


class SSE(Loss):
    """The sum of squared errors.

        loss = sum of (predicted - actual)^2

    Shapes: predicted and actual have the same shape; mask covers its first two axes, True where an error counts.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        error, _ = self._errors(predicted, actual, mask)
        return float((error.astype("float64") ** 2).sum())  # in float32, the square of 1e20 overflows

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        error, _ = self._errors(predicted, actual, mask)
        return 2 * error

    def _errors(self, predicted: Any, actual: Any, mask: Array | None) -> tuple[Array, int]:
        """The errors, with masked ones set to zero, and the number of unmasked ones."""
        predicted, actual = as_floats(predicted), as_floats(actual)
        # Unchecked, shapes (N, 1) and (N,) would broadcast to N * N meaningless errors.
        expect(predicted.shape == actual.shape, self, f"targets of shape {predicted.shape}", actual)
        error = predicted - actual
        if mask is None:
            return error, error.size
        mask = to_device(mask)
        expect_mask(self, mask, error.shape[:2])
        counts = xp.broadcast_to(mask.reshape(mask.shape + (1,) * (error.ndim - 2)), error.shape)  # (N, T, ...)
        return xp.where(counts, error, 0), int(counts.sum())


class MSE(SSE):
    """The mean squared error, over all unmasked numbers.

        loss = mean of (predicted - actual)^2

    Shapes: as SSE.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        error, count = self._errors(predicted, actual, mask)
        return float((error.astype("float64") ** 2).sum()) / max(count, 1)  # 0 if everything is masked

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        error, count = self._errors(predicted, actual, mask)
        return error * (2 / max(count, 1))


class NegativeLogLikelihood(Loss):
    """Cross-entropy of predicted log-probabilities, such as the output of LogSoftmax.

        loss = mean over rows of -predicted[row, actual[row]]     (nats)

    `class_weights`, K non-negative numbers, turn the mean into a weighted mean: each row has the weight of its true
    class. Larger weights for rare classes keep the common ones from dominating. (For a single row, or rows all of one
    class, any positive weights give the same loss.)

    Shapes: predicted (..., K); actual ids (...), or (without class weights) rows of probabilities (..., K) that sum
        to 1, such as one-hot rows; mask (...).
    Raises: ScratchError when `actual` has another shape or an id outside 0 .. K - 1, or there are not K weights.
    """

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        self.class_weights = class_weights
        expect(class_weights is None or min(class_weights) >= 0, self, "class weights of at least 0", class_weights)

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        predicted = as_floats(predicted)
        truth, shares = self._truth(predicted, actual, mask)
        # A wrong class or a masked row may have log p = -inf, and 0 * -inf would be NaN.
        counted = xp.where(truth * shares > 0, self._log_p(predicted), 0)
        return 0.0 - float((counted * truth * shares).sum(dtype="float64"))  # 0.0, not -0.0, for a perfect prediction

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        truth, shares = self._truth(as_floats(predicted), actual, mask)
        # The loss is -sum(shares * truth * predicted).
        return -truth * shares

    def _truth(self, predicted: Array, actual: Any, mask: Array | None) -> tuple[Array, Array]:
        """The truth as probabilities (..., K), and each row's share of the mean (..., 1), zero if masked."""
        actual = to_device(actual)
        rows, K = predicted.shape[:-1], predicted.shape[-1]
        row_weights = xp.ones(rows, dtype=predicted.dtype)
        if actual.shape == predicted.shape:
            expect(self.class_weights is None, self, "targets as ids, since class weights are given", actual)
            truth = as_floats(actual)
        else:
            expect(actual.shape == rows, self, f"target ids {rows} or rows {predicted.shape}", actual)
            actual = as_ids(self, actual, K)
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
        return truth, row_weights[..., None] / (total or 1.0)  # if everything is masked, every share is 0

    def _log_p(self, predicted: Array) -> Array:
        """The log-probabilities. SoftmaxCrossEntropy computes them from scores."""
        return predicted

    def _smoothed(self, truth: Array) -> Array:
        """The truth, unchanged here. SoftmaxCrossEntropy overrides this for label smoothing."""
        return truth


class SoftmaxCrossEntropy(NegativeLogLikelihood):
    """Cross-entropy of predicted scores: softmax and logarithm are part of the loss.

        loss = mean over rows of -log softmax(predicted)[row, actual[row]]     (nats)

    With `label_smoothing` s, an id becomes probabilities: 1 - s for its class, plus s / K for every class. Scores that
    grow without bound then no longer lower the loss (Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, section 7).

    Shapes, masks and `class_weights`: as in NegativeLogLikelihood: predicted (..., K); ids (...) or rows (..., K).
    Source: Grus, Data Science from Scratch, chapter 19 ("isn't this a pleasant equation?", he asks of its gradient).
    Differs: the loss is the mean over rows, not the book's sum; for one row they agree. The book adds 1e-30 to each
        probability; here the log-probabilities are computed directly, without underflow.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__(class_weights)
        right = 0 <= label_smoothing < 1 and (class_weights is None or not label_smoothing)
        expect(right, self, "a label_smoothing in [0, 1), and 0 with class weights", label_smoothing)
        self.label_smoothing = label_smoothing

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        predicted = as_floats(predicted)
        truth, shares = self._truth(predicted, actual, mask)
        # A row's loss is -sum(truth * log softmax(z)) = sum(truth) * log(sum(exp z)) - sum(truth * z). The derivative
        # of log(sum(exp z)) is softmax(z). sum(truth) is 1, unless a caller's rows sum to something else.
        gradient = softmax(predicted) * truth.sum(axis=-1, keepdims=True) - truth
        return xp.where(shares > 0, gradient, 0) * shares  # a masked row may hold NaN, and 0 * NaN is NaN

    def _log_p(self, predicted: Array) -> Array:
        return log_softmax(predicted)

    def _smoothed(self, truth: Array) -> Array:
        return truth * (1 - self.label_smoothing) + self.label_smoothing / truth.shape[-1]
