"""SpanLoss: the cross-entropy of where an answer begins and ends."""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import as_ids, expect, expect_mask
from scratch.functions import log_softmax, one_hot
from scratch.losses import Loss


class SpanLoss(Loss):
    """The cross-entropy of the first word of a span, plus that of its last word.

        loss = mean over rows of -log softmax(begin scores)[begin] - log softmax(end scores)[end]     (nats)

    A uniform guess among the T words of a text costs 2 log T: for 100 words, 9.21 nats.

    Shapes: predicted (N, 2, T), the scores of each word to be the first and the last; actual ids (N, 2); mask (N, T),
        True where a word is real: padding has probability 0.
    Source: Seo et al. 2016, https://arxiv.org/abs/1611.01603, equation 3.
    Raises: ScratchError for a truth of another shape, outside 0 .. T - 1, or at a masked word.
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        log_p, truth = self._log_p(predicted, actual, mask)
        at_truth = xp.take_along_axis(log_p, truth[:, :, None], axis=2)
        return 0.0 - float(at_truth.sum(dtype="float64")) / max(len(log_p), 1)

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        log_p, truth = self._log_p(predicted, actual, mask)
        # As in SoftmaxCrossEntropy, for the begin and for the end: the probabilities, minus 1 at the truth.
        return (xp.exp(log_p) - one_hot(truth, log_p.shape[2])) / max(len(log_p), 1)

    def _log_p(self, predicted: Any, actual: Any, mask: Array | None) -> tuple[Array, Array]:
        """The log-probabilities (N, 2, T), and the truth (N, 2), after validation."""
        scores, truth = as_floats(predicted), to_device(actual)
        expect(scores.ndim == 3 and scores.shape[1] == 2, self, "scores (N, 2, T)", scores)
        N, _, T = scores.shape
        expect(truth.shape == (N, 2), self, f"starts and ends {(N, 2)}", truth)
        truth = as_ids(self, truth, T)
        if mask is not None:
            mask = to_device(mask)
            expect_mask(self, mask, (N, T))
            at_words = bool(xp.take_along_axis(mask, truth, axis=1).all())
            expect(at_words, self, "starts and ends at real words", "one at padding")
            scores = xp.where(mask[:, None], scores, xp.finfo(scores.dtype).min / 2)
        return log_softmax(scores), truth
