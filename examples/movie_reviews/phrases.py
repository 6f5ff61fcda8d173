"""The data: phrases of movie reviews with five labels, their two splits, and batches for each network."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from char_cnn.texts import Quantiser, with_gaps

from scratch.backend import Array, to_device
from scratch.batching import padded
from scratch.checks import ScratchError
from scratch.initial import generator
from scratch.text import Vocabulary, as_known, words_of
from scratch.tools.datasets import find
from scratch.tools.incoming import read_text

LABELS = ("negative", "somewhat negative", "neutral", "somewhat positive", "positive")
SPLITS = ("phrase", "sentence")
UNKNOWN = ""  # the word with id 0
SHIFTS = 9  # from 0 to 8 places


class Phrase(NamedTuple):
    """A row of the table. The phrases of a sentence are parts of it and of one another."""

    phrase_id: int
    sentence_id: int
    text: str
    label: int


def read_phrases(path: Path) -> list[Phrase]:
    """The rows of the competition's train.tsv. Raises: ScratchError that names the first malformed line."""
    if path.is_dir():
        path = next((file for file in (path / "kaggle" / "train.tsv", path / "train.tsv") if file.is_file()), path)
    if not path.is_file():
        raise ScratchError(f"{path}: expected the Kaggle competition's train.tsv")
    phrases, lines = [], read_text(path).split("\n")
    for number, line in enumerate(lines[1:], 2):
        if not line and number == len(lines):
            break
        try:
            phrase_id, sentence_id, text, label = line.split("\t")
            phrases.append(Phrase(int(phrase_id), int(sentence_id), text, int(label)))
        except ValueError:
            raise ScratchError(
                f"{path}: line {number} does not have the fields PhraseId, SentenceId, Phrase, Sentiment"
            ) from None
        if not 0 <= phrases[-1].label < len(LABELS):
            raise ScratchError(f"{path}: line {number} has Sentiment {label}; expected 0 to {len(LABELS) - 1}")
    if not phrases:
        raise ScratchError(f"{path}: has no phrases")
    return phrases


def load_phrases(data: Path | None) -> list[Phrase]:
    return read_phrases(find("movie_reviews", data))


def digest_of(phrases: Sequence[Phrase]) -> str:
    return hashlib.sha256(repr(phrases).encode()).hexdigest()


def split(phrases: Sequence[Phrase], by: str) -> tuple[list[Phrase], list[Phrase], list[Phrase]]:
    """The training set, the validation set (1 in 40) and the held-out set (1 in 10): by phrase or by sentence number.

    The split by phrase is the easier one: for most held-out phrases, a longer or shorter one is in the training set.
    Split by sentence, all phrases of a sentence are in the same set.
    """
    parts: tuple[list[Phrase], list[Phrase], list[Phrase]] = ([], [], [])
    for phrase in phrases:
        number = phrase.phrase_id if by == "phrase" else phrase.sentence_id
        parts[2 if number % 10 == 0 else 1 if number % 40 == 1 else 0].append(phrase)
    if not all(parts):
        raise ScratchError("too few phrases: one in 10 is held out, and one in 40 is for the validation set")
    return parts


class Words:
    """Texts as ids of words, padded to one length in each batch, with a mask; unknown words have id 0."""

    UNIT = "word"

    def __init__(self, vocab: Vocabulary) -> None:
        self.vocab = vocab

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; a text without a word is one unknown word."""
        w2i = self.vocab.w2i
        return [[w2i.get(word, 0) for word in words_of(text)] or [0] for text in texts]

    def knows(self, row: Sequence[int]) -> bool:
        """Whether any word of an encoded text is known."""
        return any(row)

    def batch(self, rows: Sequence[Sequence[int]], drop: float = 0.0) -> tuple[Array, dict[str, Any]]:
        """Ids (N, T), of which a random share `drop` is made unknown, so that training relies on none; and the mask."""
        ids, mask = padded(rows, fill=0)
        if drop:
            ids[generator().random(ids.shape) < drop] = 0
        return to_device(ids), {"mask": to_device(mask)}


class Characters:
    """Texts as ids of characters, the last one first, all rows of one length."""

    UNIT = "character"

    def __init__(self, alphabet: str, length: int) -> None:
        self.quantise = Quantiser(alphabet, length)

    def encode(self, texts: Sequence[str]) -> numpy.ndarray:
        return self.quantise([as_known(text) for text in texts])

    def knows(self, row: numpy.ndarray) -> bool:
        """Whether any character of an encoded text is known."""
        return bool((row >= 0).any())

    def batch(self, rows: Sequence[numpy.ndarray], drop: float = 0.0) -> tuple[Array, dict[str, Any]]:
        """Ids (N, length). With `drop`, for training, that share of them is made unknown, and each text is shifted by 0
        to 8 places: pools see only every third place, and a word should be recognised at any of them."""
        ids = numpy.stack(rows)
        if drop:
            ids = with_gaps(ids, drop)
            places = numpy.arange(self.quantise.length) - generator().integers(0, SHIFTS, (len(ids), 1))
            ids = numpy.where(places < 0, -1, numpy.take_along_axis(ids, numpy.maximum(places, 0), axis=1))
        return to_device(ids), {}
