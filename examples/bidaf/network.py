"""BiDAF: a network that finds the answer to a question in a paragraph.

The input is two texts: a paragraph, the context, and a question. The output is two scores for each word of the context:
to be the first word of the answer, and to be its last. For a context of 100 words and a question of 10, `Reader` turns
word ids (N, 100) and (N, 10) into scores (N, 2, 100).

`Reader` looks up the word vectors, and `Bidaf` is the network on top of them. Neither is a chain of layers: forward is
a list of numbered steps, and backward repeats the numbers in reverse. A value that was used in several places has one
sum of gradients, to which each use adds its own line.

Source: Seo et al. 2016, https://arxiv.org/abs/1611.01603.
"""

from bidaf.highway import Highway
from bidaf.words import WordVectors

from scratch.activations import Relu
from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import Array, xp
from scratch.bidirectional import Bidirectional
from scratch.dense import Linear
from scratch.functions import softmax
from scratch.layer import Layer, Sequential
from scratch.recurrent import LSTM
from scratch.regular import Dropout

ATTENTIONS = {"dot": DotAttention, "bidaf": BidirectionalAttention}


class Bidaf(Layer):
    """From word vectors to the scores of where an answer begins and ends.

        1.  words = both texts, through two highways
        2.  h, u  = the context and the question, each read in both directions by the same LSTMs
        3.  g     = attention(h, u)
        4.  scores of g: `ModellingScores`, or `PlainScores` if num_modelling is 0

    Shapes: context (N, T, input_dim), question (N, J, input_dim), masks (N, T) and (N, J) -> (N, 2, T).
    Source: Seo et al. 2016, section 2, layers 2 to 6. With `attention="dot"` and `num_modelling=0` it is the simplest
        network of this kind, a baseline for the others.
    """

    def __init__(
        self, input_dim: int, hidden_dim: int, num_modelling: int = 2, dropout: float = 0.2, attention: str = "bidaf"
    ) -> None:
        self.input_dim, self.hidden_dim = input_dim, hidden_dim
        self.highways = [Highway(input_dim), Highway(input_dim)]
        self.read_context = both_directions(input_dim, hidden_dim)
        self.read_question = self.read_context.sibling()
        self.attention = ATTENTIONS[attention](2 * hidden_dim)
        found_dim = self.attention.output_dim
        self.scores = (
            ModellingScores(found_dim, hidden_dim, num_modelling, dropout) if num_modelling
            else PlainScores(found_dim, hidden_dim)
        )
        self.words_dropout, self.found_dropout = Dropout(dropout), Dropout(dropout)

    def forward(
        self, context: Array, question: Array, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> Array:
        # 1. and 2.
        h, u = self._read(context, question, context_mask, question_mask)  # (N, T, 2H), (N, J, 2H)
        # 3.
        g = self.attention.forward(h, u, context_mask, question_mask)  # (N, T, found_dim)
        g = self.found_dropout.forward(g)
        # 4.
        scores = self.scores.forward(g, mask=context_mask).swapaxes(1, 2)  # (N, 2, T)
        self.remember(scores.shape, context.shape[1])
        return scores

    def _read(
        self, context: Array, question: Array, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> tuple[Array, Array]:
        # 1. A highway transforms each word by itself, so both texts go through it as one.
        T, words = context.shape[1], xp.concatenate([context, question], axis=1)  # (N, T + J, input_dim)
        for highway in self.highways:
            words = highway.forward(words)
        words = self.words_dropout.forward(words)
        # 2. The two texts are read by siblings: the same weights, each with the memory of its own text.
        h = self.read_context.forward(words[:, :T], mask=context_mask)
        u = self.read_question.forward(words[:, T:], mask=question_mask)
        return h, u

    def backward(self, gradient: Array) -> tuple[Array, Array]:
        (T,) = self.recall(gradient)
        # 4.
        g_grad = self.scores.backward(gradient.swapaxes(1, 2))
        # 3.
        h_grad, u_grad = self.attention.backward(self.found_dropout.backward(g_grad))
        # 2. The weights of the LSTMs were used for both texts; each backward adds to the same gradients.
        context_grad, question_grad = self.read_context.backward(h_grad), self.read_question.backward(u_grad)
        # 1.
        words_grad = self.words_dropout.backward(xp.concatenate([context_grad, question_grad], axis=1))
        for highway in reversed(self.highways):
            words_grad = highway.backward(words_grad)
        return words_grad[:, :T], words_grad[:, T:]

    def weights_of_question(self, context: Array, question: Array) -> Array:
        """The attention weight of each question word for each context word: (N, T, J). Call it inside `evaluating`."""
        return softmax(self.attention.similarities(*self._read(context, question)))


class ModellingScores(Layer):
    """What attention found is read again by LSTMs in both directions, and then scored.

        1.  m = g, through `num_modelling` bidirectional LSTMs
        2.  e = m, through one more
        3.  begin = w . g + v . m,    end = w' . g + v' . e

    Shapes: g (N, T, found_dim), mask (N, T) -> (N, T, 2).
    Source: Seo et al. 2016, section 2, layers 5 and 6.
    Differs: the paper multiplies g and m, concatenated, by one vector; its two halves are w and v here.
    """

    def __init__(self, found_dim: int, hidden_dim: int, num_modelling: int, dropout: float) -> None:
        both = 2 * hidden_dim
        self.modelling = [both_directions(found_dim if k == 0 else both, hidden_dim) for k in range(num_modelling)]
        self.ending = both_directions(both, hidden_dim)
        # Without biases: a number added to the scores of all words does not change their softmax.
        self.of_found = Linear(found_dim, 2, bias=False)
        self.of_begin, self.of_end = Linear(both, 1, bias=False), Linear(both, 1, bias=False)
        self.modelling_dropouts = [Dropout(dropout) for _ in range(num_modelling)]
        self.ending_dropout = Dropout(dropout)

    def forward(self, input: Array, mask: Array | None = None) -> Array:
        g = input
        # 1.
        m = g
        for layer, dropout in zip(self.modelling, self.modelling_dropouts, strict=True):
            m = dropout.forward(layer.forward(m, mask=mask))  # (N, T, 2H)
        # 2.
        e = self.ending_dropout.forward(self.ending.forward(m, mask=mask))
        # 3.
        scores = self.of_found.forward(g) + xp.concatenate([self.of_begin.forward(m), self.of_end.forward(e)], axis=2)
        self.remember(scores.shape)
        return scores

    def backward(self, gradient: Array) -> Array:
        self.recall(gradient)
        # 3. The scores are sums, so each of their terms receives the whole gradient.
        g_grad = self.of_found.backward(gradient)  # g was used twice: it was scored (and see 1.)
        m_grad = self.of_begin.backward(gradient[:, :, :1])  # m was used twice: it was scored,
        e_grad = self.of_end.backward(gradient[:, :, 1:])
        # 2.
        m_grad += self.ending.backward(self.ending_dropout.backward(e_grad))  # and m was read for the end.
        # 1.
        for layer, dropout in zip(reversed(self.modelling), reversed(self.modelling_dropouts), strict=True):
            m_grad = layer.backward(dropout.backward(m_grad))
        g_grad += m_grad  # And g was read by the first LSTM.
        return g_grad


class PlainScores(Layer):
    """Each word scored by itself: begin, end = W' relu(W g + b). Shapes: g (N, T, found_dim) -> (N, T, 2)."""

    def __init__(self, found_dim: int, hidden_dim: int) -> None:
        self.chain = Sequential([Linear(found_dim, hidden_dim), Relu(), Linear(hidden_dim, 2, bias=False)])

    def forward(self, input: Array, mask: Array | None = None) -> Array:
        return self.chain.forward(input)  # the score of a word does not depend on the others, so padding does no harm

    def backward(self, gradient: Array) -> Array:
        return self.chain.backward(gradient)


def both_directions(input_dim: int, hidden_dim: int) -> Bidirectional:
    return Bidirectional(LSTM(input_dim, hidden_dim), LSTM(input_dim, hidden_dim))


class Reader(Layer):
    """From the words of a context and of a question to the scores of where the answer begins and ends.

    Shapes: word ids, context (N, T) and asked (N, J), with masks (N, T) and (N, J) -> (N, 2, T).
    """

    def __init__(
        self, words: WordVectors, hidden_dim: int, num_modelling: int = 2, dropout: float = 0.2,
        attention: str = "bidaf",
    ) -> None:
        self.words = words
        self.bidaf = Bidaf(words.output_dim, hidden_dim, num_modelling, dropout, attention)

    def forward(
        self, context: Array, asked: Array, context_mask: Array | None = None, asked_mask: Array | None = None
    ) -> Array:
        # 1. Both texts in one call, so that a word that is in both is spelled once.
        T = context.shape[1]
        vectors = self.words.forward(xp.concatenate([context, asked], axis=1))  # (N, T + J, output_dim)
        # 2.
        scores = self.bidaf.forward(vectors[:, :T], vectors[:, T:], context_mask, asked_mask)
        self.remember(scores.shape)
        return scores

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        # 2.
        context_grad, asked_grad = self.bidaf.backward(gradient)
        # 1.
        self.words.backward(xp.concatenate([context_grad, asked_grad], axis=1))
