"""Three networks that read a phrase: its characters by convolutions, its words in a bag, or one after the other."""

from typing import Any

import numpy
from char_cnns import network as characters

from scratch.activations import Relu
from scratch.backend import Array, to_device
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.dense import Embedding, Linear
from scratch.layer import Layer, Sequential, in_one_vector
from scratch.pooling import MaxOverTime, MeanOverTime
from scratch.recurrent import LSTM
from scratch.regular import Dropout

KINDS = ("characters", "glove", "lstm")
CHARACTERS: dict[str, Any] = {"conv": [[64, 3, 3], [64, 3, 3]], "fc": [1024, 256], "dropout": 0.5, "batch_norm": True}


class BagOfWords(Layer):
    """The mean of the words' vectors, and a classifier on it: in whatever order the words come.

    Shapes: ids (N, T), mask (N, T) -> scores (N, num_classes).
    Source: Iyyer et al. 2015, Deep Unordered Composition Rivals Syntactic Methods for Text Classification.
    """

    def __init__(self, num_words: int, dim: int, hidden_dim: int, num_classes: int, dropout: float) -> None:
        self.embedding = Embedding(num_words, dim)
        self.mean = MeanOverTime()
        self.classifier = Sequential([
            Linear(dim, hidden_dim, init="he"), Relu(), Dropout(dropout), Linear(hidden_dim, num_classes),
        ])
        in_one_vector(self.parameters())

    def forward(self, ids: Array, mask: Array | None = None) -> Array:
        vectors = self.embedding.forward(ids)
        output = self.classifier.forward(self.mean.forward(vectors, mask=mask))
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        self.embedding.backward(self.mean.backward(self.classifier.backward(gradient)))


class WordLstm(Layer):
    """An LSTM from each end over the words' vectors, the largest of each feature over time, and a classifier on it.

    Shapes: ids (N, T), mask (N, T) -> scores (N, num_classes).
    """

    def __init__(self, num_words: int, dim: int, hidden_dim: int, num_classes: int, dropout: float) -> None:
        self.embedding = Embedding(num_words, dim)
        self.in_dropout = Dropout(dropout)
        self.lstm = Bidirectional(LSTM(dim, hidden_dim), LSTM(dim, hidden_dim))
        self.pool = MaxOverTime()
        self.classifier = Sequential([Dropout(dropout), Linear(2 * hidden_dim, num_classes)])
        in_one_vector(self.parameters())

    def forward(self, ids: Array, mask: Array | None = None) -> Array:
        vectors = self.in_dropout.forward(self.embedding.forward(ids))
        states = self.lstm.forward(vectors, mask=mask)
        output = self.classifier.forward(self.pool.forward(states, mask=mask))
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)
        states_grad = self.pool.backward(self.classifier.backward(gradient))
        self.embedding.backward(self.in_dropout.backward(self.lstm.backward(states_grad)))


def build(kind: str, sizes: dict[str, Any], num_classes: int) -> Layer:
    """The network of a kind: `sizes` are num_characters and length, or num_words, dim and hidden; and dropout."""
    if kind == "characters":
        config = CHARACTERS | {"dropout": sizes["dropout"]}
        return characters.build(config, sizes["num_characters"], sizes["length"], num_classes)
    make = {"glove": BagOfWords, "lstm": WordLstm}[kind]
    return make(sizes["num_words"], sizes["dim"], sizes["hidden"], num_classes, sizes["dropout"])


def start_from(model: Layer, w2i: dict[str, int], words: list[str], vectors: numpy.ndarray) -> int:
    """Put the vectors of GloVe into the embedding, from where they are learned on; how many of the words had one.

    Words without one start small, at random.
    """
    embedding = model.embedding.w.data
    if vectors.shape[1] != embedding.shape[1]:
        raise ScratchError(f"vectors of {embedding.shape[1]} numbers were expected; those in the file have "
                           f"{vectors.shape[1]}")
    embedding *= float(vectors.std()) / 2
    embedding[0] = 0
    places = [(w2i[word], row) for row, word in enumerate(words) if word in w2i]
    embedding[to_device([place for place, _ in places])] = to_device(vectors[[row for _, row in places]])
    return len(places)
