"""The initial values of a network's weights, and the one seed behind all randomness.

If all weights of a hidden layer were equal, all its units would learn the same thing, so weights start at random. Their
spread matters: if each layer doubles its input, ten layers make it a thousand times as large; if each halves it, ten
layers leave a thousandth. An output is a sum of fan_in products, one for each input, and has fan_in times the variance
of one. So the rules of Xavier and He divide the weights' variance by fan_in, to preserve the scale of the values (and
Xavier's by fan_out, the number of outputs, for that of the gradients; He's 2 is for relu, which drops half of them):

    xavier:  variance = 2 / (fan_in + fan_out)      he:  variance = 2 / fan_in

All randomness comes from Python's `random`: `random.seed(0)` makes a whole run on a CPU repeatable bit for bit, and
`random.getstate()` is all that a checkpoint has to save. Arrays are drawn on the host, by a NumPy generator seeded from
`random`, so a network has the same initial weights on the CPU and on a GPU.

    random.seed(0)
    w = random_tensor(10, 784, init="he")      # (output_dim, input_dim); standard deviation sqrt(2 / 784) = 0.05

Read next: `functions.py`.
"""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from scratch.backend import Array, float_type, to_device, xp
from scratch.checks import ScratchError

INITS = ("normal", "uniform", "xavier", "he", "orthogonal")

# The source of random bits. The engine puts an object in its place that gives each part of a batch bits of its own.
chance: Any = random


_left: list[int] | None = None  # how many arrays and numbers may still be created; None: no limit


@contextmanager
def at_most(arrays: int, numbers: int) -> Iterator[None]:
    """Within this context, `random_tensor` and `zeros` may create at most `arrays` arrays of `numbers` numbers in all.

    A small file may claim a network of a billion weights, or of a billion layers without any. Built in this context,
    such a network fails before its first large array is allocated, or soon.
    Raises: ScratchError when either limit is exceeded.
    """
    global _left
    before, _left = _left, [arrays, numbers]
    try:
        yield
    finally:
        _left = before


def _count(dims: tuple[int, ...]) -> None:
    if _left is not None:
        _left[0] -= 1
        _left[1] -= math.prod(dims)
        if min(_left) < 0:
            raise ScratchError(f"an array of shape {dims} would exceed the allowed number of weights")


def generator() -> numpy.random.Generator:
    """A NumPy generator of random arrays, seeded with the next 64 bits of `chance`."""
    return numpy.random.Generator(numpy.random.SFC64(chance.getrandbits(64)))  # SFC64 is NumPy's fastest


def random_tensor(*dims: int, init: str = "normal") -> Array:
    """A random array of shape `dims` on the device.

    `init` is one of

    - `normal`: mean 0, standard deviation 1;
    - `uniform`: between 0 and 1;
    - `xavier`: normal with variance 2 / (fan_in + fan_out), for tanh and sigmoid (Glorot and Bengio 2010,
      https://proceedings.mlr.press/v9/glorot10a.html, equation 12);
    - `he`: normal with variance 2 / fan_in, for relu (He et al. 2015, https://arxiv.org/abs/1502.01852,
      equation 10);
    - `orthogonal`: two dims only; orthonormal rows (or columns, whichever are fewer), so that a square matrix
      preserves the length of the vectors it multiplies (Saxe et al. 2013, https://arxiv.org/abs/1312.6120).

    The first axis is the output (`fan_out`); `fan_in` is the product of the others.

    Differs: Grus's "xavier" uses 2 / (fan_in + fan_out) as the standard deviation; here it is the variance.

    Raises: ScratchError for an unknown `init` or a size below one.
    """
    if not dims or min(dims) < 1:
        raise ScratchError(f"random_tensor: every size must be at least 1, got {dims}")
    _count(dims)
    fan_out, fan_in = dims[0], math.prod(dims[1:])
    draw = generator()
    if init == "uniform":
        return to_device(draw.random(dims))
    values = draw.standard_normal(dims)
    if init == "xavier":
        values *= math.sqrt(2 / (fan_in + fan_out))
    elif init == "he":
        values *= math.sqrt(2 / fan_in)
    elif init == "orthogonal":
        values = _orthogonal(values)
    elif init != "normal":
        raise ScratchError(f"unknown init {init!r}; choose one of: {', '.join(INITS)}")
    return to_device(values)


def _orthogonal(values: numpy.ndarray) -> numpy.ndarray:
    if values.ndim != 2:
        raise ScratchError(f"init 'orthogonal' needs two dimensions, got {values.shape}")
    tall = values if len(values) >= values.shape[1] else values.T
    q, r = numpy.linalg.qr(tall)
    q *= numpy.sign(numpy.diagonal(r))  # qr leaves signs arbitrary; with this choice all results are equally likely
    return q if tall is values else q.T


def uniform(*dims: int) -> Array:
    """Random float32 numbers on the device, from 0 to below 1, for comparison with a probability."""
    # PCG64 can skip ahead: in the engine, a part of a batch skips to the numbers of its own rows.
    draw = numpy.random.Generator(numpy.random.PCG64(chance.getrandbits(64)))
    return xp.asarray(draw.random(dims, dtype=numpy.float32))


def zeros(*dims: int) -> Array:
    """An array of zeros of shape `dims` on the device: the initial value of every bias."""
    _count(dims)
    return xp.zeros(dims, dtype=float_type())
