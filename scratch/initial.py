"""The numbers that a network starts from, and the one seed behind all chance.

A network whose weights are all equal learns the same thing in every unit, so weights start at random. How large
matters: when each layer makes numbers larger by a constant factor, the tenth layer overflows; when smaller, its
gradient vanishes. Xavier's and He's rules choose the spread that keeps the variance as it is:

    xavier:  variance = 2 / (fan_in + fan_out)      he:  variance = 2 / fan_in

All chance comes from Python's own `random`: `random.seed(0)` makes a whole run repeatable to the bit, and
`random.getstate()` is the whole state of chance, which is what a checkpoint saves. Arrays are drawn on the host
by a NumPy generator that is seeded from `random`, so a network starts equal on the CPU and on the GPU. (Only what
Dropout draws at each step is drawn where it is used.)

    random.seed(0)
    w = random_tensor(10, 784, init="he")      # (output_dim, input_dim)

Read next: `functions.py`.
"""

import math
import random
from contextvars import ContextVar
from typing import Any

import numpy

from scratch.backend import Array, ScratchError, float_type, random_on_device, to_device, xp

INITS = ("normal", "uniform", "xavier", "he", "orthogonal")


chance: ContextVar[Any] = ContextVar("chance", default=random)  # a thread that shares a batch has its own


def generator() -> numpy.random.Generator:
    """A generator of random arrays, seeded by the next 64 bits of Python's `random`."""
    return numpy.random.Generator(numpy.random.SFC64(chance.get().getrandbits(64)))


def uniform(*dims: int) -> Array:
    """Numbers from 0 to below 1 on the device, float32. A GPU draws its own: so many would take long to cross."""
    if xp.device == "cpu":
        return generator().random(dims, dtype=numpy.float32)
    return random_on_device(chance.get().getrandbits(64), dims)


def random_tensor(*dims: int, init: str = "normal") -> Array:
    """A random array of shape `dims` on the device.

    `init` is one of

    - `normal`: mean 0, standard deviation 1;
    - `uniform`: between 0 and 1;
    - `xavier`: normal with variance 2 / (fan_in + fan_out), for tanh and sigmoid (Glorot and Bengio 2010,
      https://proceedings.mlr.press/v9/glorot10a.html, equation 12);
    - `he`: normal with variance 2 / fan_in, for relu (He et al. 2015, https://arxiv.org/abs/1502.01852,
      equation 10);
    - `orthogonal`: for two dims, rows (or columns, whichever are fewer) of length one at right angles, so that a
      square one keeps the length of what it is multiplied with (Saxe et al. 2013, https://arxiv.org/abs/1312.6120).

    The first axis is the output; all others are the input (`fan_in` is their product).

    Differs: the book's "xavier" takes 2 / (fan_in + fan_out) for the standard deviation; here it is the variance.

    Raises: ScratchError for an unknown `init` or a size below one.
    """
    if not dims or min(dims) < 1:
        raise ScratchError(f"random_tensor: every size must be at least 1, got {dims}")
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
        raise ScratchError(f"init 'orthogonal' is for two dims, got {values.shape}")
    tall = values if len(values) >= values.shape[1] else values.T
    q, r = numpy.linalg.qr(tall)
    q *= numpy.sign(numpy.diagonal(r))  # makes the answer unique, and every such matrix equally likely
    return q if tall is values else q.T


def zeros(*dims: int) -> Array:
    """An array of zeros of shape `dims` on the device: where biases start."""
    return xp.zeros(dims, dtype=float_type())
