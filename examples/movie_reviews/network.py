"""Three networks that classify a phrase: convolutions over its characters, the mean of its word vectors, or an LSTM.

"not good but bad" and "not bad but good" have the same mean of word vectors, so a bag of words gives both the same
scores; the LSTM reads the words in order and can tell them apart.
"""

from typing import Any

import numpy
from char_cnn import network as characters

from scratch.activations import Relu
from scratch.backend import Array, to_device
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.dense import Embedding, Linear
from scratch.layer import Layer, Sequential
from scratch.over_time import MaxOverTime, MeanOverTime
from scratch.recurrent import LSTM
from scratch.regular import Dropout

KINDS = ("characters", "glove", "lstm")
CHARACTERS: dict[str, Any] = {"conv": [[64, 3, 3], [64, 3, 3]], "fc": [1024, 256], "dropout": 0.5, "batch_norm": True}


class BagOfWords(Layer):
    """A classifier of the mean of the word vectors; the order of the words makes no difference.

    Shapes: ids (N, T), mask (N, T) -> scores (N, num_classes).
    Source: Iyyer et al. 2015, Deep Unordered Composition Rivals Syntactic Methods for Text Classification.
    """

    def __init__(self, num_words: int, dim: int, hidden_dim: int, num_classes: int, dropout: float) -> None:
        self.embedding = Embedding(num_words, dim)
        self.mean = MeanOverTime()
        self.classifier = Sequential([
            Linear(dim, hidden_dim, init="he"), Relu(), Dropout(dropout), Linear(hidden_dim, num_classes),
        ])

    def forward(self, ids: Array, mask: Array | None = None) -> Array:
        vectors = self.embedding.forward(ids)  # (N, T, dim)
        mean = self.mean.forward(vectors, mask=mask)  # (N, dim)
        output = self.classifier.forward(mean)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        mean_grad = self.classifier.backward(gradient)
        vectors_grad = self.mean.backward(mean_grad)
        self.embedding.backward(vectors_grad)


class WordLstm(Layer):
    """An LSTM from each end over the word vectors, the maximum of each feature over time, and a classifier on it.

    Shapes: ids (N, T), mask (N, T) -> scores (N, num_classes).
    """

    def __init__(self, num_words: int, dim: int, hidden_dim: int, num_classes: int, dropout: float) -> None:
        self.embedding = Embedding(num_words, dim)
        self.in_dropout = Dropout(dropout)
        self.lstm = Bidirectional(LSTM(dim, hidden_dim), LSTM(dim, hidden_dim))
        self.pool = MaxOverTime()
        self.classifier = Sequential([Dropout(dropout), Linear(2 * hidden_dim, num_classes)])

    def forward(self, ids: Array, mask: Array | None = None) -> Array:
        vectors = self.in_dropout.forward(self.embedding.forward(ids))  # (N, T, dim)
        states = self.lstm.forward(vectors, mask=mask)  # (N, T, 2 * hidden_dim)
        largest = self.pool.forward(states, mask=mask)  # (N, 2 * hidden_dim)
        output = self.classifier.forward(largest)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        largest_grad = self.classifier.backward(gradient)
        states_grad = self.pool.backward(largest_grad)
        vectors_grad = self.lstm.backward(states_grad)
        self.embedding.backward(self.in_dropout.backward(vectors_grad))


def build(kind: str, sizes: dict[str, Any], num_classes: int) -> Layer:
    """A network of one of the KINDS. `sizes` has dropout; and num_characters, length, or num_words, dim, hidden."""
    if kind == "characters":
        config = CHARACTERS | {"dropout": sizes["dropout"]}
        return characters.build(config, sizes["num_characters"], sizes["length"], num_classes)
    make = {"glove": BagOfWords, "lstm": WordLstm}[kind]
    return make(sizes["num_words"], sizes["dim"], sizes["hidden"], num_classes, sizes["dropout"])


def start_from(model: Layer, w2i: dict[str, int], words: list[str], vectors: numpy.ndarray) -> int:
    """Copy GloVe's vectors into the embedding, to be fine-tuned; returns how many words of `w2i` have one.

    The vectors of other words keep their random values, scaled to half the standard deviation of GloVe's numbers.
    """
    embedding = model.embedding.w.data
    if vectors.shape[1] != embedding.shape[1]:
        raise ScratchError(f"--glove: expected vectors of {embedding.shape[1]} numbers, got vectors of "
                           f"{vectors.shape[1]}")
    embedding *= float(vectors.std()) / 2
    embedding[0] = 0
    places = [(w2i[word], row) for row, word in enumerate(words) if word in w2i]
    embedding[to_device([place for place, _ in places])] = to_device(vectors[[row for _, row in places]])
    return len(places)
