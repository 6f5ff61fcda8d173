"""A whole sequence as one row: MaxOverTime and MeanOverTime.

A classifier needs a fixed number of features, whatever the length of its text. So of every feature it takes the largest
value over all steps, or the mean. Of x = [1, 7, 3, 2], MaxOverTime keeps 7 and MeanOverTime 3.25; for the gradient 4 of
the output, x receives [0, 4, 0, 0] from the first and [1, 1, 1, 1] from the second.

    model = Sequential([Conv1d(70, 256, 7), MaxOverTime()])      # (N, T, 70) -> (N, 256)

Read next: `regular.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect, expect_mask
from scratch.layer import Layer


class MaxOverTime(Layer):
    """The largest value over all steps, per channel.

        y[n, c] = max over t of x[n, t, c]

    Shapes: (N, T, C), with an optional mask (N, T), True at real steps -> (N, C); zeros if no step is real.
    Source: Collobert et al. 2011, https://jmlr.org/papers/v12/collobert11a.html, section 3.3.2.
    Differs: of equal numbers, the first is taken.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= 1, self, "sequences (N, T, C), T >= 1", input)
        real = _real(self, mask, input)
        some = real.any(axis=1, keepdims=True)  # (N, 1): False for a row that is all padding
        x = xp.where(real[:, :, None], input, -xp.inf)
        output = xp.where(some, x.max(axis=1), 0)
        self.remember(output.shape, input.shape[1], x.argmax(axis=1), some)
        return output

    def backward(self, gradient: Array) -> Array:
        T, places, some = self.recall(gradient)
        # Only the step with the largest value affected the output.
        return (xp.arange(T)[:, None] == places[:, None]) * (gradient * some)[:, None]


class MeanOverTime(Layer):
    """The mean over all steps, per channel.

        y[n, c] = mean over t of x[n, t, c]

    Shapes: (N, T, C), with an optional mask (N, T), True at real steps -> (N, C); zeros if no step is real.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input = as_floats(input)
        expect(input.ndim == 3 and input.shape[1] >= 1, self, "sequences (N, T, C), T >= 1", input)
        real = _real(self, mask, input)
        # The weight of each step; the weights sum to 1 if any step is real.
        shares = (real / xp.maximum(real.sum(axis=1, keepdims=True), 1)).astype(input.dtype)
        weighted = xp.where(real[:, :, None], input, 0) * shares[:, :, None]  # padding may be inf
        output = weighted.sum(axis=1, dtype="float64").astype(input.dtype)
        self.remember(output.shape, shares)
        return output

    def backward(self, gradient: Array) -> Array:
        (shares,) = self.recall(gradient)
        # Each step had this weight in the output, so it gets this share of the gradient.
        return shares[:, :, None] * gradient[:, None]


def _real(layer: Layer, mask: Any, input: Array) -> Array:
    mask = xp.ones(input.shape[:2], dtype=bool) if mask is None else to_device(mask)
    expect_mask(layer, mask, input.shape[:2])
    return mask
