"""From a sequence of any length to one vector: LastStep, MaxOverTime.

A classifier wants the same number of numbers from every row, however long the row is. Either the state after its last
real step is taken to have kept what matters, or each feature's largest value over the real steps is:

    LastStep:     output[n] = input[n, last real step of row n]
    MaxOverTime:  output[n, d] = max over real t of input[n, t, d]

    MaxOverTime().forward(hidden, mask=mask)      # (N, T, D) -> (N, D)

Both choose; so on the way back the gradient goes to what was chosen, and the rest gets none.

Read next: `text.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, as_mask, expect, xp
from scratch.layer import Layer


class LastStep(Layer):
    """The last real step of each row.

        output[n] = input[n, number of real steps in row n - 1]

    Shapes: (N, T, D), with an optional mask (N, T), True where a step is real, padding to the right -> (N, D).
        A row without a real step gives zeros.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input, mask = _sequences(self, input, mask)
        if mask is None:
            output = input[:, -1:].sum(axis=1)  # of one step, or of none where T is 0
            self.remember(output.shape, input.shape, None, None)
            return output
        lengths = mask.sum(axis=1)
        rows = xp.flatnonzero(lengths)  # those that have a real step
        places = rows, lengths[rows] - 1
        output = xp.zeros((len(input), input.shape[2]), dtype=input.dtype)
        output[rows] = input[places]
        self.remember(output.shape, input.shape, rows, places)
        return output

    def backward(self, gradient: Array) -> Array:
        shape, rows, places = self.recall(gradient)
        input_grad = xp.zeros(shape, dtype=gradient.dtype)
        # output[n] is a copy of input[n, last], and no other step has a part in it.
        if rows is None:
            input_grad[:, -1:] = gradient[:, None]
        else:
            input_grad[places] = gradient[rows]
        return input_grad


class MaxOverTime(Layer):
    """Each feature's largest value over the real steps of a row.

        output[n, d] = max over real t of input[n, t, d]

    Shapes: (N, T, D), with an optional mask (N, T), True where a step is real -> (N, D). A row without a real step
        gives zeros.
    Source: Collobert et al. 2011, https://jmlr.org/papers/v12/collobert11a.html, equation 11.
    """

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        input, mask = _sequences(self, input, mask)
        N, T, D = input.shape
        expect(T > 0, self, "at least one step", input)
        # Padding must not win, so it is lowered first.
        lowered = input if mask is None else xp.where(mask[:, :, None], input, xp.finfo(input.dtype).min)
        winners = lowered.argmax(axis=1)  # (N, D): at which step
        places = xp.arange(N)[:, None], winners, xp.arange(D)
        real = xp.ones((N, 1), dtype=bool) if mask is None else mask.sum(axis=1).reshape(N, 1) > 0
        output = input[places] * real
        self.remember(output.shape, input.shape, places, real)
        return output

    def backward(self, gradient: Array) -> Array:
        shape, places, real = self.recall(gradient)
        input_grad = xp.zeros(shape, dtype=gradient.dtype)
        # output[n, d] is a copy of input[n, winner, d], and no other step has a part in it.
        input_grad[places] = gradient * real
        return input_grad


def _sequences(who: Layer, input: Any, mask: Any) -> tuple[Array, Array | None]:
    input = as_floats(input)
    expect(input.ndim == 3, who, "sequences (N, T, D)", input)
    return input, None if mask is None else as_mask(who, mask, input.shape[:2])
