"""The functions that layers and losses are built from, safe for large inputs.

`exp(1000)` overflows and `log(0)` is minus infinity, so the textbook forms of softmax and cross-entropy fail on healthy
networks: for the scores 1000 and 0, softmax would compute inf / inf, which is NaN. The forms below are equal to them up
to rounding, and do not overflow:

    softmax(z)     = exp(z - max z) / sum exp(z - max z)
    log_softmax(z) = (z - max z) - log sum exp(z - max z)
    sigmoid(z)     = 0.5 tanh(0.5 z) + 0.5

    softmax([1000, 0])     = [1, 0]
    log_softmax([1000, 0]) = [0, -1000]

With a mask (True for data, False for padding), padding gets probability zero; a row that is all padding becomes all
zeros, never NaN.

Read next: `text.py`.
"""

import math
import random
from typing import Any

import numpy

from scratch.backend import Array, as_floats, float_type, to_device, to_host, xp
from scratch.checks import ScratchError, as_ids


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), elementwise, in a form that cannot overflow."""
    return 0.5 * xp.tanh(0.5 * z) + 0.5


def erf(z: Array) -> Array:
    """The error function, elementwise: the probability that a normal variable of variance 1/2 is between -z and z.

    NumPy lacks it, so Python's is called for one number at a time, on the host.
    """
    return to_device(numpy.vectorize(math.erf, otypes="d")(to_host(z)))


def softmax(z: Any, mask: Array | None = None) -> Array:
    """Turn scores into probabilities over the last axis; masked positions get exactly 0.

    Shapes: z (..., K), mask the same or one that broadcasts to it -> (..., K).
    """
    z = as_floats(z)
    if mask is None:
        e = xp.exp(minus_max(z))
        return e / e.sum(axis=-1, keepdims=True)
    # Padding is lowered so that it is never the maximum; its exp is set to 0 so that it adds nothing to the sum.
    e = xp.where(mask, xp.exp(minus_max(xp.where(mask, z, xp.finfo(z.dtype).min))), 0)
    total = e.sum(axis=-1, keepdims=True)
    return e / xp.where(total == 0, 1, total)


def minus_max(z: Array) -> Array:
    """z - max z over the last axis. A difference of finite numbers that would overflow becomes the lowest float."""
    half = 0.5 * z - 0.5 * z.max(axis=-1, keepdims=True)  # the whole difference could overflow
    lowest = xp.where(z == -xp.inf, z, 0.5 * xp.finfo(z.dtype).min)
    return 2 * xp.maximum(half, lowest)


def softmax_gradient(p: Array, gradient: Array) -> Array:
    """The gradient of the scores z, from the gradient of the probabilities p = softmax(z) over the last axis.

    dp[k]/dz[j] is p[k] (1 if j == k else 0) - p[k] p[j]; so the gradient of z[j] is gradient[j] * p[j], minus p[j]
    times the sum over k of gradient[k] * p[k]. Masked positions, where p is 0, get 0.
    """
    weighted = gradient * p
    return weighted - p * weighted.sum(axis=-1, keepdims=True)


def log_softmax(z: Any) -> Array:
    """The logarithm of `softmax(z)` over the last axis, finite even where the probability underflows to 0."""
    z = minus_max(as_floats(z))
    return z - xp.log(xp.exp(z).sum(axis=-1, keepdims=True))


def one_hot(ids: Any, num_ids: int) -> Array:
    """Rows that are 1 at their id and 0 elsewhere. The id -1 (unknown, or padding) gives a row of zeros.

    Shapes: ids (...) of integers in -1 .. num_ids - 1 -> (..., num_ids).
    """
    ids = as_ids("one_hot", to_device(ids), num_ids, lowest=-1)
    return (ids[..., None] == xp.arange(num_ids)).astype(float_type())


def sample_from(
    weights: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> int:
    """Draw an index at random, with probability proportional to its weight.

    `weights` need not sum to 1. Weight i counts as `weights[i] ** (1 / temperature)`: a `temperature` below 1 favours
    likely indices (0 always takes the likeliest), and one above 1 evens them out. With `top_k`, only the k largest
    weights take part; with `top_p`, only as many of the largest as make up at least this share of the sum (the
    "nucleus"; Holtzman et al. 2019, https://arxiv.org/abs/1904.09751), before the temperature changes them. Random
    numbers come from Python's `random`.

    Raises: ScratchError for weights that are negative, not finite or all zero, or an invalid option.
    """
    weights = numpy.array(to_host(weights), dtype=numpy.float64)
    largest = weights.max(initial=0) if weights.ndim == 1 else 0.0
    if not (0 < largest < numpy.inf and weights.min() >= 0):
        raise ScratchError("sample_from: expected a list of weights, all finite, none negative, at least one positive")
    if not 0 <= temperature < numpy.inf or (top_k is not None and top_k < 1):
        raise ScratchError(f"sample_from: expected temperature >= 0 and top_k >= 1, got {temperature} and {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ScratchError(f"sample_from: expected top_p above 0 and at most 1, got {top_p}")
    weights /= largest  # the largest is now 1, so a low temperature cannot underflow every weight to 0
    if top_k is not None and top_k < len(weights):
        weights[numpy.argsort(-weights, kind="stable")[top_k:]] = 0.0
    if top_p is not None:
        order = numpy.argsort(-weights, kind="stable")
        sums = weights[order].cumsum()
        weights[order[1:][sums[:-1] >= top_p * sums[-1]]] = 0.0  # the larger ones before them are enough
    if temperature == 0:
        return int(weights.argmax())
    if temperature != 1:
        # weights ** (1 / temperature), in logarithms. A quotient too negative for a float becomes -inf, like log(0);
        # exp(-inf) is 0.
        with numpy.errstate(divide="ignore", over="ignore"):
            weights = numpy.exp(numpy.log(weights) / temperature)
    cumulative = weights.cumsum()
    # random() < 1, so the number drawn is below the last sum; side="right" skips indices of weight zero.
    return int(cumulative.searchsorted(random.random() * cumulative[-1], side="right"))
