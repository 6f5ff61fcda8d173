"""Two networks that read names: the tutorial's, and one that reads them from both ends."""

import math
from collections.abc import Sequence

from scratch.through_time import Recurrent

from scratch.activations import LogSoftmax
from scratch.backend import Array, to_device, xp
from scratch.bidirectional import Bidirectional
from scratch.dense import Linear
from scratch.initial import generator, random_tensor, zeros
from scratch.layer import Layer, in_one_vector
from scratch.recurrent import GRU, LSTM
from scratch.regular import Dropout

LAYERS = {"gru": GRU, "lstm": LSTM}
LAST_STATE = {"return_sequences": False, "input_gradient": False}  # of a layer that reads letters, and sums them up


class LinearRnn(Recurrent):
    """hidden = w input + u previous + b: a recurrent layer that squashes nothing."""

    def gates(self, blocks: Array, recurrent: Array, previous: Array, state: Array) -> None:
        xp.add(blocks, recurrent, out=state)

    def gates_backward(self, state_grad: Array, blocks: Array, previous: Array, state: Array, grad: Array) -> None:
        grad[...] = state_grad


class NameReader(Layer):
    """What both networks are: a layer that knows what its letters and its languages are.

    Shapes: one-hot letters (N, T, len(alphabet)), with a mask (N, T) where the names are of different lengths
        -> log-probabilities (N, len(labels)).
    """

    def __init__(self, alphabet: str, labels: Sequence[str]) -> None:
        self.alphabet, self.labels = alphabet, tuple(labels)


class TutorialNetwork(NameReader):
    """The tutorial's network: two linear maps of [letter; hidden], one to the next hidden, one to the languages.

        hidden = i2h [letter; hidden]                   for every letter but the last
        output = log_softmax(i2o [last letter; hidden])
    """

    def __init__(self, alphabet: str, labels: Sequence[str], hidden_dim: int) -> None:
        super().__init__(alphabet, labels)
        self.i2h = LinearRnn(len(alphabet), hidden_dim, **LAST_STATE)
        self.i2o, self.log_softmax = Linear(len(alphabet) + hidden_dim, len(labels)), LogSoftmax()
        for p in self.parameters():  # all numbers start as in PyTorch, which takes one width for all of them
            p.data[...] = (2 * random_tensor(*p.data.shape, init="uniform") - 1) / math.sqrt(self.i2o.input_dim)
        in_one_vector(self.parameters())

    def forward(self, letters: Array, mask: Array | None = None) -> Array:
        if mask is None:
            last, past_mask = letters[:, -1], None
        else:  # a letter is past when another comes after it
            last, past_mask = letters[xp.arange(len(letters)), mask.sum(axis=1) - 1], mask[:, 1:]
        hidden = self.i2h.forward(letters[:, :-1], mask=past_mask)
        output = self.log_softmax.forward(self.i2o.forward(xp.concatenate([last, hidden], axis=1)))
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        combined_grad = self.i2o.backward(self.log_softmax.backward(gradient))
        self.i2h.backward(combined_grad[:, len(self.alphabet) :])  # the rest is of the letter, which does not learn


class BothEnds(NameReader):
    """A recurrent layer from each end of the name; what each has when it is through says the language.

    Three things happen while it trains, and only then. Of the letters, `letter_dropout` are made unknown, and of what
    the layers say, `dropout` is left out, so that no name is known by heart. And the scores are handicapped: a common
    language gets a head start of `handicap` nats on a rare one, so that it need not be favoured by the weights; when
    the network predicts, the head start is gone.
    Source: of the handicap, Menon et al. 2020, https://arxiv.org/abs/2007.07314, equation 10.
    """

    def __init__(
        self, alphabet: str, labels: Sequence[str], hidden_dim: int, layer: str = "gru", dropout: float = 0.3,
        letter_dropout: float = 0.2,
    ) -> None:
        super().__init__(alphabet, labels)
        self.letter_dropout = letter_dropout
        ahead, back = (LAYERS[layer](len(alphabet), hidden_dim, **LAST_STATE) for _ in range(2))
        self.both, self.dropout = Bidirectional(ahead, back), Dropout(dropout)
        self.linear, self.log_softmax = Linear(2 * hidden_dim, len(labels)), LogSoftmax()
        self.handicap = zeros(len(labels))
        in_one_vector(self.parameters())

    def forward(self, letters: Array, mask: Array | None = None) -> Array:
        if self.train:
            letters = letters * to_device(generator().random((*letters.shape[:2], 1)) >= self.letter_dropout)
        ends = self.dropout.forward(self.both.forward(letters, mask=mask))  # (N, 2 * hidden_dim)
        scores = self.linear.forward(ends)
        output = self.log_softmax.forward(scores + self.handicap if self.train else scores)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        ends_grad = self.linear.backward(self.log_softmax.backward(gradient))
        self.both.backward(self.dropout.backward(ends_grad))


class Committee(NameReader):
    """Several networks that start differently, and so err differently: what they say is averaged.

    Shapes: letters (N, T, L) -> log of the mean of the members' probabilities (N, K); while training, each member's
        own log-probabilities (N, members, K), since each learns by itself.
    Source: Hansen and Salamon 1990, Neural network ensembles, https://doi.org/10.1109/34.58871
    """

    def __init__(self, members: Sequence[BothEnds]) -> None:
        super().__init__(members[0].alphabet, members[0].labels)
        self.members = list(members)
        in_one_vector(self.parameters())

    def forward(self, letters: Array, mask: Array | None = None) -> Array:
        output = xp.stack([member.forward(letters, mask=mask) for member in self.members], axis=1)
        if not self.train:  # with the largest taken out, so that not all can underflow
            largest = output.max(axis=1, keepdims=True)
            output = largest[:, 0] + xp.log(xp.exp(output - largest).mean(axis=1))
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        for k, member in enumerate(self.members):
            member.backward(gradient[:, k])


def build(
    recipe: str, alphabet: str, labels: Sequence[str], hidden_dim: int, layer: str, num_members: int = 1
) -> NameReader:
    """The network of a recipe: "tutorial", or "best"."""
    if recipe == "tutorial":
        return TutorialNetwork(alphabet, labels, hidden_dim)
    return Committee([BothEnds(alphabet, labels, hidden_dim, layer) for _ in range(num_members)])
