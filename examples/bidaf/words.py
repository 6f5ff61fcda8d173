"""From words to vectors: GloVe's, which stay as they are, and what a small network makes of their characters."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from scratch.backend import Array, add_at, to_device, xp
from scratch.checks import expect, expect_ids
from scratch.convolution import Conv1d
from scratch.dense import Embedding
from scratch.layer import Layer
from scratch.pooling import MaxOverTime

UNKNOWN = ""  # the word 0: of what no vector and no spelling is known
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # the character 1; 0 is where a word has ended
NUM_CHARACTERS, CHARACTER_DIM, WINDOW = 67, 50, 5


def alphabet_of(words: Iterable[str], size: int = NUM_CHARACTERS) -> str:
    """The commonest characters of the words, with the replacement character first: `size` of them at most."""
    counts = Counter(character for word in words for character in word)
    counts.pop(REPLACEMENT, None)
    common = sorted(counts, key=lambda character: (-counts[character], character))[: size - 1]
    return REPLACEMENT + "".join(common)


def as_known(word: str) -> str:
    """A word as GloVe has it: in small letters, with a straight apostrophe."""
    return word.lower().replace("\u2019", "'")


class Lexicon:
    """Words, the vector of each, and its spelling.

    words: word 0 is UNKNOWN. vectors (V, dim), float32, zeros where none is known; has_vector (V,), where one is.
    spelling (V, length) of character ids: 0 after the end of a word, 1 for a character that is not in the alphabet;
    longer words are cut.
    """

    def __init__(
        self, words: Iterable[str], known: Sequence[str], vectors: numpy.ndarray, alphabet: str, length: int = 16
    ) -> None:
        self.words = list(dict.fromkeys([UNKNOWN, *words]))
        self.ids = {word: k for k, word in enumerate(self.words)}
        self.alphabet, self.length = alphabet, length
        self.vectors = numpy.zeros((len(self.words), vectors.shape[1]), dtype=numpy.float32)
        place = {as_known(word): k for k, word in enumerate(known)}
        for k, word in enumerate(self.words):
            found = place.get(as_known(word))
            if found is not None:
                self.vectors[k] = vectors[found]
        self.has_vector = self.vectors.any(axis=1)
        numbers = {character: k for k, character in enumerate(alphabet, start=1)}
        self.spelling = numpy.zeros((len(self.words), length), dtype=numpy.int64)
        for k, word in enumerate(self.words):
            letters = [numbers.get(character, 1) for character in word[:length]]
            self.spelling[k, : len(letters)] = letters

    def with_more(self, words: Iterable[str]) -> "Lexicon":
        """These words, with their numbers, and after them others, with the vectors of those that differ in case."""
        return Lexicon([*self.words[1:], *words], self.words, self.vectors, self.alphabet, self.length)

    def encode(self, words: Sequence[str]) -> list[int]:
        """The numbers of the words; 0 for one that is not here."""
        return [self.ids.get(word, 0) for word in words]


class WordVectors(Layer):
    """The vector of each word, and beside it what a convolution finds in its characters: the largest of each feature.

        features = max over windows of (w window of its characters' vectors + b)

    Each distinct word of a batch is spelt once, however often it comes. GloVe's vectors are data, not parameters: they
    do not learn, and are not saved with the model.

    Shapes: ids of words (N, T) -> (N, T, vector dim + num_features); without features the vectors alone.
    Source: Kim 2014, https://arxiv.org/abs/1408.5882, as BiDAF uses it (Seo et al. 2016, section 2, layer 1).
    Differs: from Kim in that the features are not squashed: the highways that follow can; the paper has Dropout here.
    """

    def __init__(self, lexicon: Lexicon, num_features: int, character_dim: int = CHARACTER_DIM) -> None:
        self._vectors, self._spelling = to_device(lexicon.vectors), to_device(lexicon.spelling)
        self.output_dim = lexicon.vectors.shape[1] + num_features
        self.characters = self.convolution = None
        if num_features:
            self.characters = Embedding(len(lexicon.alphabet) + 1, character_dim)
            self.convolution, self.largest = Conv1d(character_dim, num_features, WINDOW, padding="same"), MaxOverTime()

    def forward(self, input: Any) -> Array:
        ids = to_device(input)
        expect(ids.ndim == 2, self, "ids of words (N, T)", ids)
        expect_ids(self, ids, len(self._vectors))
        output = self._vectors[ids]
        if self.characters is None:
            self.remember(output.shape)
            return output
        distinct, places = xp.unique(ids, return_inverse=True)
        letters = self._spelling[distinct]
        windows = self.convolution.forward(self.characters.forward(letters))
        features = self.largest.forward(windows, mask=letters > 0)
        output = xp.concatenate([output, features[places.reshape(ids.shape)]], axis=2)
        self.remember(output.shape, places.ravel(), features.shape)
        return output

    def backward(self, gradient: Array) -> None:
        memory = self.recall(gradient)
        if self.characters is None:
            return
        places, shape = memory
        # A word's features were copied to every place where it stands; so they collect the gradients of all of them.
        features_grad = xp.zeros(shape, dtype=gradient.dtype)
        add_at(features_grad, places, gradient[:, :, -shape[1] :].reshape(-1, shape[1]))
        self.characters.backward(self.convolution.backward(self.largest.backward(features_grad)))
