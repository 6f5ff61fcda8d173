"""The fast twin of Bidirectional: both directions go through time in one loop, which takes half as many steps.

Forward and backward of two LSTMs of 100, batch of 32, 200 steps: 62 ms instead of the plain layer's 98.
"""

from typing import Any

from scratch import bidirectional
from scratch.backend import Array, to_device
from scratch.checks import expect
from scratch.fast.sequences import read, read_back
from scratch.fast.through_time import Recurrent
from scratch.fast.workspaces import Workspaces


class Bidirectional(bidirectional.Bidirectional):
    """As `bidirectional.Bidirectional`. Layers that have no fast twin are read one after the other, as there."""

    working = (*bidirectional.Bidirectional.working, "_work")
    _work: Workspaces | None = None

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if not hasattr(input, "dtype") or input.dtype.kind != "f":
            input = to_device(input)
        layers: Any = list(self.directions.values())
        if not isinstance(layers[0], Recurrent):
            return super().forward(input, mask=mask)
        expect(input.ndim >= 2, self, "sequences (N, T, {input_dim}) or ids (N, T)", input)
        self._work = self._work or Workspaces()  # its own: either layer may be used alone as well
        input, mask = layers[0].sequences(input, mask)
        self._memory = None  # its arrays are overwritten from here on
        output, memory = read(layers, self._work, input, mask)
        self.remember(output.shape, memory)
        return output

    def backward(self, gradient: Array) -> Array | None:
        if not isinstance(self.directions["forward"], Recurrent):
            return super().backward(gradient)
        (memory,) = self.recall(gradient)
        return read_back(list(self.directions.values()), gradient, *memory)


TWINS = {bidirectional.Bidirectional: Bidirectional}
