"""From words or characters to numbers and back: Vocabulary, without_accents.

A network knows no letters, only ids. A vocabulary gives each distinct word (or character) the next free number:

    vocab = Vocabulary("abac")          # any iterable of strings
    vocab.size                          # 3
    vocab.get_id("c")                   # 2
    vocab.get_word(2)                   # "c"
    vocab.one_hot_encode("b")           # [0.0, 1.0, 0.0]

Read next: `batching.py`.
"""

import unicodedata
from collections.abc import Iterable

from scratch.backend import ScratchError


class Vocabulary:
    """Words and their ids, first seen first: the first word has id 0.

    w2i: word -> id; i2w: id -> word.
    Source: Grus, Data Science from Scratch, chapter 21.
    """

    def __init__(self, words: Iterable[str] | None = None) -> None:
        self.w2i: dict[str, int] = {}
        self.i2w: dict[int, str] = {}
        for word in words if words is not None else ():
            self.add(word)

    @property
    def size(self) -> int:
        """How many distinct words there are."""
        return len(self.w2i)

    def add(self, word: str) -> None:
        """Give `word` the next id, unless it has one."""
        if word not in self.w2i:
            word_id = len(self.w2i)
            self.w2i[word] = word_id
            self.i2w[word_id] = word

    def get_id(self, word: str) -> int | None:
        """The id of `word`, or None if it is unknown."""
        return self.w2i.get(word)

    def get_word(self, word_id: int) -> str | None:
        """The word with this id, or None."""
        return self.i2w.get(word_id)

    def encode(self, words: Iterable[str]) -> list[int]:
        """The ids of `words`. Raises: ScratchError that names the first unknown one."""
        try:
            return [self.w2i[word] for word in words]
        except KeyError as error:
            raise ScratchError(f"unknown word {error.args[0]!r}: not among the vocabulary's {self.size}") from None

    def one_hot_encode(self, word: str) -> list[float]:
        """A list that is 1 at the id of `word` and 0 elsewhere. Raises: AssertionError (the book's) if unknown."""
        if word not in self.w2i:
            raise AssertionError(f"unknown word {word}")
        row = [0.0] * self.size
        row[self.w2i[word]] = 1.0
        return row

    def __repr__(self) -> str:
        return f"Vocabulary(size={self.size})"


def without_accents(text: str) -> str:
    """`text` with its letters taken apart and the accents left out: "Ślusàrski" becomes "Slusarski".

    Source: Unicode Standard Annex 15, normalisation form D; what is left out has category Mn. A Latin letter that is
    not composed of a plain one and a mark (ß, ł) stays as it is. In other scripts a mark can be part of the letter:
    й becomes и, and a Korean syllable comes apart.
    """
    parts = unicodedata.normalize("NFD", text)
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")
