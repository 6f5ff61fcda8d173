"""BiDAF: a network that finds where a paragraph answers a question (Seo et al. 2016, https://arxiv.org/abs/1611.01603).

What comes in are vectors of words, of a context and of a question; what goes out are, for every word of the context, a
score to be the first of the answer, and one to be its last.
"""

from bidaf.words import WordVectors

from scratch.activations import Relu
from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import Array, xp
from scratch.bidirectional import Bidirectional
from scratch.dense import Highway, Linear
from scratch.functions import softmax
from scratch.layer import Layer, Sequential, in_one_vector
from scratch.recurrent import LSTM
from scratch.regular import Dropout

ATTENTIONS = {"dot": DotAttention, "bidaf": BidirectionalAttention}


class Bidaf(Layer):
    """From vectors of words to the scores of where an answer begins and ends.

        1.  both texts through two highways, then read from both ends by the same LSTMs:      h, u
        2.  attention:                                                                        g
        3.  scores of g: `ByReading` on, or, with no LSTM for it, `AtOnce`

    Shapes: context (N, T, input_dim), question (N, J, input_dim), masks (N, T) and (N, J) -> (N, 2, T).
    Source: Seo et al. 2016, section 2, layers 2 to 6; `attention="dot"` with `num_modelling=0` is the plainest network
    of this kind, with which the others are compared.
    """

    def __init__(
        self, input_dim: int, hidden_dim: int, num_modelling: int = 2, dropout: float = 0.2, attention: str = "bidaf"
    ) -> None:
        self.input_dim, self.hidden_dim = input_dim, hidden_dim
        self.highways = [Highway(input_dim), Highway(input_dim)]
        self.read_context = _both_ends(input_dim, hidden_dim)
        self.read_question = self.read_context.sibling()
        self.attention = ATTENTIONS[attention](2 * hidden_dim)
        found_dim = self.attention.output_dim
        self.scores = (
            ByReading(found_dim, hidden_dim, num_modelling, dropout) if num_modelling else AtOnce(found_dim, hidden_dim)
        )
        self.drops = [Dropout(dropout), Dropout(dropout)]
        in_one_vector(self.parameters())

    def forward(
        self, context: Array, question: Array, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> Array:
        # 1.
        h, u = self._read(context, question, context_mask, question_mask)
        # 2.
        g = self.attention.forward(h, u, context_mask, question_mask)
        g = self.drops[1].forward(g)
        # 3. The two scores of a word side by side, then all first ones and all second ones.
        scores = xp.ascontiguousarray(self.scores.forward(g, mask=context_mask).swapaxes(1, 2))
        self.remember(scores.shape, context.shape[1])
        return scores

    def _read(
        self, context: Array, question: Array, context_mask: Array | None = None, question_mask: Array | None = None
    ) -> tuple[Array, Array]:
        # A highway looks at each word by itself: so both texts go through it as one.
        T, words = context.shape[1], xp.concatenate([context, question], axis=1)
        for highway in self.highways:
            words = highway.forward(words)
        words = self.drops[0].forward(words)
        h = self.read_context.forward(words[:, :T], mask=context_mask)
        return h, self.read_question.forward(words[:, T:], mask=question_mask)

    def looks(self, context: Array, question: Array) -> Array:
        """How much each word of the context looks at each of the question: (N, T, J). Call it inside `evaluating`."""
        return softmax(self.attention.similarities(*self._read(context, question)))

    def backward(self, gradient: Array) -> tuple[Array, Array]:
        (T,) = self.recall(gradient)
        # 3.
        g_grad = self.scores.backward(xp.ascontiguousarray(gradient.swapaxes(1, 2)))
        # 2.
        h_grad, u_grad = self.attention.backward(self.drops[1].backward(g_grad))
        # 1.
        words_grad = xp.concatenate([self.read_context.backward(h_grad), self.read_question.backward(u_grad)], axis=1)
        words_grad = self.drops[0].backward(words_grad)
        for highway in reversed(self.highways):
            words_grad = highway.backward(words_grad)
        return words_grad[:, :T], words_grad[:, T:]


class ByReading(Layer):
    """What was found is read on, from both ends, before it is scored.

        1.  m = g, read `num_modelling` times over
        2.  e = m, read once more
        3.  begin = w . g + v . m,    end = w' . g + v' . e

    Shapes: g (N, T, found_dim), mask (N, T) -> (N, T, 2).
    Source: Seo et al. 2016, section 2, layers 5 and 6.
    Differs: the scores of g and m are two products, where the paper has one of them side by side.
    """

    def __init__(self, found_dim: int, hidden_dim: int, num_modelling: int, dropout: float) -> None:
        both = 2 * hidden_dim
        self.modelling = [_both_ends(found_dim if k == 0 else both, hidden_dim) for k in range(num_modelling)]
        self.ending = _both_ends(both, hidden_dim)
        # Without biases: what all words of a text have in common does not change which of them it is.
        self.of_found = Linear(found_dim, 2, bias=False)
        self.of_begin, self.of_end = Linear(both, 1, bias=False), Linear(both, 1, bias=False)
        self.drops = [Dropout(dropout) for _ in range(num_modelling + 1)]

    def forward(self, input: Array, mask: Array | None = None) -> Array:
        # 1.
        m = g = input
        for layer, drop in zip(self.modelling, self.drops, strict=False):
            m = drop.forward(layer.forward(m, mask=mask))
        # 2.
        e = self.drops[-1].forward(self.ending.forward(m, mask=mask))
        # 3.
        scores = self.of_found.forward(g) + xp.concatenate([self.of_begin.forward(m), self.of_end.forward(e)], axis=2)
        self.remember(scores.shape)
        return scores

    def backward(self, gradient: Array) -> Array:
        self.recall(gradient)
        # 3. The scores are sums: each of their parts gets the whole gradient.
        g_grad = self.of_found.backward(gradient)
        m_grad = self.of_begin.backward(xp.ascontiguousarray(gradient[:, :, :1]))
        e_grad = self.of_end.backward(xp.ascontiguousarray(gradient[:, :, 1:]))
        # 2. m was used twice: for the begin, and to be read once more.
        m_grad += self.ending.backward(self.drops[-1].backward(e_grad))
        # 1. g was used twice too: it has scores of its own, and was read on.
        for layer, drop in zip(reversed(self.modelling), reversed(self.drops[:-1]), strict=True):
            m_grad = layer.backward(drop.backward(m_grad))
        g_grad += m_grad
        return g_grad


class AtOnce(Layer):
    """Each word scored by itself: begin, end = W' relu(W g + b). Shapes: g (N, T, found_dim) -> (N, T, 2)."""

    def __init__(self, found_dim: int, hidden_dim: int) -> None:
        self.chain = Sequential([Linear(found_dim, hidden_dim), Relu(), Linear(hidden_dim, 2, bias=False)])

    def forward(self, input: Array, mask: Array | None = None) -> Array:
        return self.chain.forward(input)  # no word looks at another, so none at padding

    def backward(self, gradient: Array) -> Array:
        return self.chain.backward(gradient)


def _both_ends(input_dim: int, hidden_dim: int) -> Bidirectional:
    return Bidirectional(LSTM(input_dim, hidden_dim), LSTM(input_dim, hidden_dim))


class Reader(Layer):
    """From the words of a paragraph and of a question to the scores of where the answer begins and ends.

    Shapes: ids of words, context (N, T) and asked (N, J), with masks (N, T) and (N, J) -> (N, 2, T).
    """

    def __init__(
        self, words: WordVectors, hidden_dim: int, num_modelling: int = 2, dropout: float = 0.2,
        attention: str = "bidaf",
    ) -> None:
        self.words = words
        self.bidaf = Bidaf(words.output_dim, hidden_dim, num_modelling, dropout, attention)
        in_one_vector(self.parameters())

    def forward(
        self, context: Array, asked: Array, context_mask: Array | None = None, asked_mask: Array | None = None
    ) -> Array:
        T = context.shape[1]
        vectors = self.words.forward(xp.concatenate([context, asked], axis=1))
        scores = self.bidaf.forward(vectors[:, :T], vectors[:, T:], context_mask, asked_mask)
        self.remember(scores.shape)
        return scores

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        self.words.backward(xp.concatenate(self.bidaf.backward(gradient), axis=1))
