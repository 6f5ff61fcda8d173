"""Layers that keep a network from learning its examples by heart.

Dropout switches off a random part of its input at each step, so that no unit can rely on another being there:

    training:   y = x * keep / (1 - p)       where keep is 0 with chance p, else 1
    otherwise:  y = x

    layer = Dropout(0.1)
    with evaluating(layer): ...              # lets everything through

Read next: `losses.py`.
"""

from typing import Any

import numpy

from scratch.backend import Array, ScratchError, as_floats, float_type, to_device
from scratch.initial import generator
from scratch.layer import Layer


class Dropout(Layer):
    """While training, each number becomes zero with chance p, and the others grow to make up for it.

        y = x * keep / (1 - p)

    Shapes: any -> the same.
    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
    Differs: from the book, which scales by (1 - p) when not training; scaling while training instead leaves
        nothing to do at prediction. PyTorch does the same.
    Raises: ScratchError unless 0 <= p < 1.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ScratchError(f"Dropout: expected a chance 0 <= p < 1, got {p}")
        self.p = p

    def forward(self, input: Any) -> Array:
        input = as_floats(input)
        if not self.train:
            self.remember(input.shape)
            return input
        keep = generator().random(input.shape, dtype=numpy.float32) >= self.p
        scale = to_device(keep.astype(float_type()) / (1 - self.p))
        self.remember(input.shape, scale)
        return input * scale

    def backward(self, gradient: Array) -> Array:
        (scale,) = self.recall(gradient)
        # What was switched off had no part in the output; what was scaled up passes its gradient scaled up.
        return gradient * scale

    def __repr__(self) -> str:
        return f"Dropout(p={self.p})"
