"""Reading a sequence from both ends: Bidirectional.

At step t, a recurrent layer knows nothing of the steps that follow. A second layer, which reads from the end, has
already seen them. So the outputs of the two are concatenated:

    output[t] = [first layer's hidden after steps 0 .. t ; second layer's hidden after steps T-1 .. t]

In "the bank of the river", the second layer has seen "river" by the time it reaches "bank"; the first has not.

    layer = Bidirectional(LSTM(56, 128), LSTM(56, 128))
    layer.forward(names, mask=mask)      # (N, T, 56) -> (N, T, 256)

Sequences in a batch have different lengths, and each must be read backwards from its own last step, not from the
padding after it. No bookkeeping is needed: a reversed padded row begins with masked steps, and a masked step copies the
state, so the second layer is still in its zero state when it reaches the row's last real step.

Read next: `convolution.py`.
"""

from typing import Any

from scratch.backend import Array, to_device, xp
from scratch.checks import expect
from scratch.layer import Layer
from scratch.recurrent import Recurrent


class Bidirectional(Layer):
    """Two recurrent layers side by side: `forward`, and `backward`, which reads each row from its last real step.

    Shapes: sequences (N, T, input_dim) or ids (N, T), with an optional mask (N, T), True at real steps
        -> (N, T, output_dim), the first layer's hidden_dim numbers and then the second's; a masked step outputs zeros.
        With `return_sequences=False` -> (N, output_dim), the last state of each layer.
    Parameters: those of the two layers, "directions.forward.w" and so on.
    Source: Schuster and Paliwal 1997, https://doi.org/10.1109/78.650093, section II.C.
    Raises: ScratchError for the same layer twice, layers of different kinds or sizes, or stateful ones (a stream cannot
        be read from its end until it has ended); and for a single step.
    """

    def __init__(self, forward: Recurrent, backward: Recurrent) -> None:
        both = isinstance(forward, Recurrent) and isinstance(backward, Recurrent) and forward is not backward
        expect(both, "Bidirectional", "two different recurrent layers", (forward, backward))
        for name in ("__class__", "input_dim", "hidden_dim", "return_sequences", "input_gradient", "stateful"):
            values = getattr(forward, name), getattr(backward, name)
            expect(values[0] == values[1], "Bidirectional", f"two layers with the same {name}", values)
        expect(not forward.stateful, "Bidirectional", "two layers with stateful=False", forward)
        self.input_dim, self.output_dim = forward.input_dim, forward.hidden_dim + backward.hidden_dim
        self.directions = {"forward": forward, "backward": backward}  # of reading; each layer has both passes

    def __repr__(self) -> str:
        return f"Bidirectional({self.directions['forward']}, {self.directions['backward']})"

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if not hasattr(input, "dtype") or input.dtype.kind != "f":
            input = to_device(input)
        expect(input.ndim >= 2, self, "sequences (N, T, {input_dim}) or ids (N, T)", input)
        mask = xp.ones(input.shape[:2], dtype=bool) if mask is None else to_device(mask)
        first = self.directions["forward"].forward(input, mask=mask)
        second = self.directions["backward"].forward(input[:, ::-1], mask=mask[:, ::-1])
        if second.ndim == 3:  # (N, T, hidden_dim), in the order of reading
            second = second[:, ::-1]
        output = xp.concatenate([first, second], axis=-1)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> Array | None:
        self.recall(gradient)  # only checks the shape: the two layers hold the memory
        first_grad, second_grad = gradient[..., : self.output_dim // 2], gradient[..., self.output_dim // 2 :]
        if gradient.ndim == 3:
            second_grad = second_grad[:, ::-1]
        x_grad = self.directions["forward"].backward(first_grad)
        reversed_grad = self.directions["backward"].backward(second_grad)
        # Both layers read the input, so their gradients are added; the second layer's is in reverse order.
        return None if x_grad is None or reversed_grad is None else x_grad + reversed_grad[:, ::-1]
