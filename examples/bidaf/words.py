"""From words to vectors: GloVe's, which are not trained, and features that a convolution finds in their characters."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy

from scratch.backend import Array, to_device, xp
from scratch.checks import as_ids, expect
from scratch.convolution import Conv1d
from scratch.dense import Embedding
from scratch.layer import Layer
from scratch.over_time import MaxOverTime
from scratch.text import as_known

UNKNOWN = ""  # word 0: neither its vector nor its spelling is known
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"  # character 1; 0 is padding after the end of a word
NUM_CHARACTERS, CHARACTER_DIM, WINDOW = 67, 50, 5
LONGEST_WORD = 100  # the largest number of characters that a network may read of a word


def alphabet_of(words: Iterable[str], size: int = NUM_CHARACTERS) -> str:
    """The `size` most common characters of the words at most, the replacement character first."""
    counts = Counter(character for word in words for character in letters_of(word))
    counts.pop(REPLACEMENT, None)
    common = sorted(counts, key=lambda character: (-counts[character], character))[: size - 1]
    return REPLACEMENT + "".join(common)


def letters_of(word: str) -> str:
    """A word in Unicode's composed form (NFC): an accented letter is one character where Unicode has one."""
    return unicodedata.normalize("NFC", word)


class Lexicon:
    """Words, the vector of each, and its spelling.

    words: word 0 is UNKNOWN. vectors (V, dim), float32, zeros where none is known; has_vector (V,), True where one is.
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
        rows = {as_known(word): k for k, word in enumerate(known)}
        for k, word in enumerate(self.words):
            row = rows.get(as_known(word))
            if row is not None:
                self.vectors[k] = vectors[row]
        self.has_vector = self.vectors.any(axis=1)
        numbers = {character: k for k, character in enumerate(alphabet, start=1)}
        self.spelling = numpy.zeros((len(self.words), length), dtype=numpy.min_scalar_type(len(alphabet)))
        for k, word in enumerate(self.words):
            letters = [numbers.get(character, 1) for character in letters_of(word)[:length]]
            self.spelling[k, : len(letters)] = letters

    def with_more(self, words: Iterable[str]) -> "Lexicon":
        """These words under the same ids, then `words`; a new one has the vector of an old one that differs in case."""
        return Lexicon([*self.words[1:], *words], self.words, self.vectors, self.alphabet, self.length)

    def encode(self, words: Sequence[str]) -> list[int]:
        """The ids of the words; 0 for an unknown one."""
        return [self.ids.get(word, 0) for word in words]


class WordVectors(Layer):
    """The vector of each word, followed by the features that a convolution finds in its characters.

        features = max over windows of (w window of its characters' vectors + b)

    Each distinct word of a batch is spelled once, however often it occurs. GloVe's vectors are data, not parameters:
    they are not trained.

    Shapes: word ids (N, T) -> (N, T, vector dim + num_features); without features only the vectors.
    Source: Kim 2014, https://arxiv.org/abs/1408.5882, as BiDAF uses it (Seo et al. 2016, section 2, layer 1).
    Differs: Kim applies a tanh to the features; here the highways that follow can. The BiDAF paper has Dropout here.
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
        expect(ids.ndim == 2, self, "word ids (N, T)", ids)
        ids = as_ids(self, ids, len(self._vectors))
        # 1. GloVe's vectors.
        output = self._vectors[ids]
        if self.characters is None:
            self.remember(output.shape)
            return output
        # 2. The distinct words, and at each place of the text which of them stands there.
        distinct, places = xp.unique(ids, return_inverse=True)
        # 3. Their features: the largest value of each, over all windows.
        letters = self._spelling[distinct].astype(int)  # (distinct words, length)
        windows = self.convolution.forward(self.characters.forward(letters))
        features = self.largest.forward(windows, mask=letters > 0)  # (distinct words, num_features)
        # 4. Side by side.
        output = xp.concatenate([output, features[places.reshape(ids.shape)]], axis=2)
        self.remember(output.shape, places.ravel(), features.shape)
        return output

    def backward(self, gradient: Array) -> None:
        memory = self.recall(gradient)
        if self.characters is None:
            return
        places, shape = memory
        # 4. A word's features were copied to every place where it stands, so they collect the gradients of all of them.
        features_grad = xp.zeros(shape, dtype=gradient.dtype)
        xp.add.at(features_grad, places, gradient[:, :, -shape[1] :].reshape(-1, shape[1]))
        # 3.
        self.characters.backward(self.convolution.backward(self.largest.backward(features_grad)))
