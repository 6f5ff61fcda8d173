"""Reading a sequence from both ends: Bidirectional.

A recurrent layer that has read as far as step t knows nothing of what comes after. A second one, which reads from the
end, does; so the two are put side by side:

    output[t] = [first layer's hidden after steps 0 .. t ; second layer's hidden after steps T-1 .. t]

    layer = Bidirectional(LSTM(56, 128), LSTM(56, 128))
    layer.forward(names, mask=mask)      # (N, T, 56) -> (N, T, 256)

The rows of a batch are of different lengths, and each must be read from its own last step, not from the padding
behind it. That needs no bookkeeping: turned around, a padded row begins with masked steps, and a masked step keeps the
state, so the second layer is still at its zero state when it comes to the row's last real step.

Neither waits for the other, so they go through the loop over time together (`sequences.py`).

Read next: `windows.py`.
"""

from typing import Any

from scratch.backend import Array, ScratchError, expect, to_device
from scratch.layer import Layer
from scratch.sequences import read, read_back
from scratch.through_time import Recurrent
from scratch.workspaces import Workspaces


class Bidirectional(Layer):
    """Two recurrent layers side by side; the second reads each row from its last real step to its first.

    Shapes: sequences (N, T, input_dim) or ids (N, T), with an optional mask (N, T), True where a step is real
        -> (N, T, output_dim), the first layer's hidden_dim numbers and then the second's; a masked step outputs zero.
        Of layers with `return_sequences=False`, the state of each when it is through -> (N, output_dim).
    Parameters: those of the two layers, "directions.forward.w" and so on.
    Source: Schuster and Paliwal 1997, https://doi.org/10.1109/78.650093, section II.C.
    Raises: ScratchError for layers that are one and the same, or of another kind or size, or are stateful (of a stream
        that goes on, nobody has the end to begin with); and for a single step.
    """

    working = ("_memory", "_work")
    _work: Workspaces | None = None

    def __init__(self, forward: Recurrent, backward: Recurrent) -> None:
        both = isinstance(forward, Recurrent) and isinstance(backward, Recurrent) and forward is not backward
        expect(both, "Bidirectional", "two layers, which are recurrent", (forward, backward))
        for name in ("__class__", "input_dim", "hidden_dim", "return_sequences", "input_gradient", "stateful"):
            values = getattr(forward, name), getattr(backward, name)
            expect(values[0] == values[1], "Bidirectional", f"two layers with the same {name}", values)
        expect(not forward.stateful, "Bidirectional", "two layers, not stateful", forward)
        self.input_dim, self.output_dim = forward.input_dim, forward.hidden_dim + backward.hidden_dim
        self.directions = {"forward": forward, "backward": backward}

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if not hasattr(input, "dtype") or input.dtype.kind != "f":
            input = to_device(input)
        if input.ndim < 2:
            raise ScratchError(f"{self}: expected sequences (N, T, {self.input_dim}) or ids (N, T), got {input.shape}")
        layers = list(self.directions.values())
        self._work = self._work or Workspaces()  # of its own: either layer may be used alone as well
        input, mask = layers[0].sequences(input, mask)
        self._memory = None  # whose arrays are overwritten from here on
        output, memory = read(layers, self._work, input, mask)
        self.remember(output.shape, memory)
        return output

    def backward(self, gradient: Array) -> Array | None:
        (memory,) = self.recall(gradient)
        return read_back(list(self.directions.values()), gradient, *memory)
