"""The values that a network's weights start from, and the one seed behind all randomness.

If all weights were equal, every unit would learn the same thing, so weights start at random. Their spread matters: if
each layer makes numbers twice as large, ten layers make them a thousand times as large; if each halves them, ten layers
leave a thousandth. A sum of fan_in products has fan_in times the variance of one, so Xavier's and He's rules divide by
that, and keep the variance about the same from layer to layer, forward and (fan_out) backward:

    xavier:  variance = 2 / (fan_in + fan_out)      he:  variance = 2 / fan_in

All randomness comes from Python's own `random`: `random.seed(0)` makes a whole run on a CPU repeatable to the bit, and
`random.getstate()` is all that a checkpoint has to save. Arrays are drawn on the host, by a NumPy generator seeded from
`random`, so a network starts the same on the CPU and on a GPU.

    random.seed(0)
    w = random_tensor(10, 784, init="he")      # (output_dim, input_dim); standard deviation sqrt(2 / 784) = 0.05

Read next: `functions.py`.
"""

import math
import random
from typing import Any

import numpy

from scratch.backend import Array, float_type, to_device, xp
from scratch.checks import ScratchError

INITS = ("normal", "uniform", "xavier", "he", "orthogonal")

chance: Any = random  # the source of random bits: Python's module, or an object with its `getrandbits`


def generator() -> numpy.random.Generator:
    """A NumPy generator of random arrays, seeded with the next 64 bits of `chance`."""
    return numpy.random.Generator(numpy.random.SFC64(chance.getrandbits(64)))


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
      square matrix keeps the length of the vectors it multiplies (Saxe et al. 2013, https://arxiv.org/abs/1312.6120).

    The first axis is the output; all others are the input (`fan_in` is their product).

    Differs: the book's "xavier" uses 2 / (fan_in + fan_out) as the standard deviation; here it is the variance.

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
    q *= numpy.sign(numpy.diagonal(r))  # qr may flip any column's sign; so the result is unique, and all equally likely
    return q if tall is values else q.T


def uniform(*dims: int) -> Array:
    """Random numbers from 0 to below 1, on the device, in float32: to be compared with a probability."""
    draw = numpy.random.Generator(numpy.random.PCG64(chance.getrandbits(64)))  # PCG64 can skip numbers, as `fast` does
    return xp.asarray(draw.random(dims, dtype=numpy.float32))


def zeros(*dims: int) -> Array:
    """An array of zeros of shape `dims` on the device: the start of every bias."""
    return xp.zeros(dims, dtype=float_type())
