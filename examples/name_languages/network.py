"""Two networks that read a name: the PyTorch tutorial's, and one that reads it from both ends."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratch.activations import LogSoftmax
from scratch.backend import Array, to_device, xp
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.initial import generator, zeros
from scratch.layer import Layer
from scratch.recurrent import GRU, LSTM, Recurrent, add_gradients
from scratch.regular import Dropout
from scratch.tools.schema import SIZE, alphabet
from scratch.tools.weights import load_model, metadata_of

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "name_languages.npz"
LAYERS = {"gru": GRU, "lstm": LSTM}
LAST_STATE = {"return_sequences": False, "input_gradient": False}  # reads data, and only its last state is used


class LinearRnn(Recurrent):
    """A recurrent layer without an activation function.

        hidden[t] = w x[t] + u hidden[t-1] + b

    Source: the layer `i2h` of the PyTorch tutorial.
    """

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        (N, T, _), H = x.shape, self.hidden_dim
        (hidden,) = states
        before, outputs = zeros(N, T, H), zeros(N, T, H)
        for t in range(T):
            real = mask[:, t, None]  # (N, 1)
            before[:, t] = hidden
            hidden = xp.where(real, x[:, t] @ self.w.data.T + hidden @ self.u.data.T + self.b.data, hidden)
            outputs[:, t] = xp.where(real, hidden, 0)
        return outputs, [hidden], (x, mask, before)

    def read_back(self, output_grads: Array, last_grad: Array, *memory: Any) -> Array:
        x, mask, before = memory
        sum_grads = zeros(*before.shape)  # of w x + u hidden + b, which the new state is
        from_next = last_grad  # the carry: what step t + 1 passes back to the hidden state of step t
        for t in reversed(range(x.shape[1])):
            real = mask[:, t, None]
            sum_grads[:, t] = xp.where(real, output_grads[:, t] + from_next, 0)
            from_next = xp.where(real, sum_grads[:, t] @ self.u.data, from_next)
        add_gradients(self, x, before, sum_grads, sum_grads)
        return sum_grads @ self.w.data


class NameReader(Layer):
    """The base of both networks: a layer that knows its alphabet and the labels of its languages.

    Shapes: one-hot letters (N, T, len(alphabet)), with a mask (N, T) where the names have different lengths
        -> log-probabilities (N, len(labels)).
    """

    def __init__(self, alphabet: str, labels: Sequence[str]) -> None:
        self.alphabet, self.labels = alphabet, tuple(labels)


class TutorialNetwork(NameReader):
    """The PyTorch tutorial's network: two linear maps of [letter; hidden].

        hidden = i2h [letter; hidden]                   for every letter but the last
        output = log_softmax(i2o [last letter; hidden])
    """

    def __init__(self, alphabet: str, labels: Sequence[str], hidden_dim: int) -> None:
        super().__init__(alphabet, labels)
        self.i2h = LinearRnn(len(alphabet), hidden_dim, **LAST_STATE)
        self.i2o, self.log_softmax = Linear(len(alphabet) + hidden_dim, len(labels)), LogSoftmax()
        for p in self.parameters():  # PyTorch's initialisation: uniform in +-1 / sqrt(len(alphabet) + hidden_dim)
            p.data[...] = (2 * to_device(generator().random(p.data.shape)) - 1) / math.sqrt(self.i2o.input_dim)

    def forward(self, letters: Array, mask: Array | None = None) -> Array:
        if mask is None:
            last, earlier = letters[:, -1], None
        else:  # a letter is an earlier one when another follows it
            last, earlier = letters[xp.arange(len(letters)), mask.sum(axis=1) - 1], mask[:, 1:]
        hidden = self.i2h.forward(letters[:, :-1], mask=earlier)  # (N, hidden_dim)
        output = self.log_softmax.forward(self.i2o.forward(xp.concatenate([last, hidden], axis=1)))
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        combined_grad = self.i2o.backward(self.log_softmax.backward(gradient))
        self.i2h.backward(combined_grad[:, len(self.alphabet) :])  # the letters are data and need no gradient


class BothEnds(NameReader):
    """A recurrent layer reads the name from each end; a linear layer scores the languages from the two last states.

    While training, a share `letter_dropout` of the letters becomes unknown and Dropout acts on the last states, so that
    the network does not memorise names. And `adjustment` (nats for each language) is added to the scores: with larger
    values for common languages, the weights need not favour these, and without it, at prediction, rare languages
    are found more often.
    Source: Menon et al. 2020, Long-tail learning via logit adjustment, https://arxiv.org/abs/2007.07314, equation 10.
    """

    def __init__(
        self, alphabet: str, labels: Sequence[str], hidden_dim: int, layer: str = "gru",
        adjustment: Sequence[float] | None = None, dropout: float = 0.3, letter_dropout: float = 0.2,
    ) -> None:
        super().__init__(alphabet, labels)
        self.letter_dropout = Dropout(letter_dropout)
        ahead, back = (LAYERS[layer](len(alphabet), hidden_dim, **LAST_STATE) for _ in range(2))
        self.both, self.dropout = Bidirectional(ahead, back), Dropout(dropout)
        self.linear, self.log_softmax = Linear(2 * hidden_dim, len(labels)), LogSoftmax()
        self.adjustment = to_device(adjustment or [0.0] * len(labels))

    def forward(self, letters: Array, mask: Array | None = None) -> Array:
        N, T, _ = letters.shape
        known = self.letter_dropout.forward(xp.ones((N, T, 1))) > 0
        ends = self.dropout.forward(self.both.forward(letters * known, mask=mask))  # (N, 2 * hidden_dim)
        scores = self.linear.forward(ends)
        output = self.log_softmax.forward(scores + self.adjustment if self.train else scores)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        ends_grad = self.linear.backward(self.log_softmax.backward(gradient))
        self.both.backward(self.dropout.backward(ends_grad))  # the letters are data and need no gradient


class Committee(NameReader):
    """Several networks with different initial weights make different errors; their probabilities are averaged.

    Shapes: letters (N, T, L) -> log of the mean of the members' probabilities (N, K); while training, the
        log-probabilities of each member (N, members, K), since each is trained by itself.
    Source: Hansen and Salamon 1990, Neural network ensembles, https://doi.org/10.1109/34.58871
    """

    def __init__(self, members: Sequence[BothEnds]) -> None:
        super().__init__(members[0].alphabet, members[0].labels)
        self.members = list(members)

    def forward(self, letters: Array, mask: Array | None = None) -> Array:
        output = xp.stack([member.forward(letters, mask=mask) for member in self.members], axis=1)  # (N, members, K)
        if not self.train:  # relative to the largest, so that not all of the exponentials underflow
            largest = output.max(axis=1, keepdims=True)
            output = largest[:, 0] + xp.log(xp.exp(output - largest).mean(axis=1))  # (N, K)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        for k, member in enumerate(self.members):
            member.backward(gradient[:, k])


def build(
    recipe: str, alphabet: str, labels: Sequence[str], hidden_dim: int, layer: str, num_members: int = 1,
    adjustment: Sequence[float] | None = None,
) -> NameReader:
    """The network of a recipe, "tutorial" or "best"."""
    if recipe == "tutorial":
        return TutorialNetwork(alphabet, labels, hidden_dim)
    return Committee([BothEnds(alphabet, labels, hidden_dim, layer, adjustment) for _ in range(num_members)])


def load(path: Path) -> NameReader:
    """The network in a weights file, with the languages and the alphabet recorded there. Raises: ScratchError."""
    known = metadata_of(
        path, "name_languages", recipe=("best", "tutorial"), layer=("linear", *LAYERS), hidden=SIZE, members=SIZE,
        labels=[str], alphabet=alphabet,
    )
    if (known["layer"] == "linear") != (known["recipe"] == "tutorial"):
        raise ScratchError(f"{path}: the recipe {known['recipe']} has no layer {known['layer']}")
    sizes = (known[name] for name in ("recipe", "alphabet", "labels", "hidden", "layer", "members"))
    return load_model(path, lambda: build(*sizes))
