"""What the network's ids stand for: the characters of a text, or pieces of it that byte pairs make."""

import codecs
from collections.abc import Iterable, Iterator
from typing import Any

import numpy

from scratch.bpe import BytePairs
from scratch.text import Vocabulary

BYTES = 256  # the smallest vocabulary of byte pairs


class Tokens:
    """The tokens of a text whose characters are those of `vocab`: its characters, or the `pairs` learned from it.

    size: the number of ids.
    texts: the bytes of each id, in UTF-8.
    lengths: how many characters begin in each id. Byte pairs may cut a character: it counts where its first byte is.
    """

    def __init__(self, vocab: Vocabulary, pairs: BytePairs | None = None) -> None:
        self.vocab, self.pairs = vocab, pairs
        self.texts = pairs.tokens if pairs else [vocab.i2w[id].encode() for id in range(vocab.size)]
        self.size = len(self.texts)
        self.lengths = numpy.array([sum(byte & 0xC0 != 0x80 for byte in text) for text in self.texts])

    def encode(self, text: str) -> list[int]:
        return self.pairs.encode(text) if self.pairs else self.vocab.encode(text)

    def decoded(self, steps: Iterable[int]) -> Iterator[str]:
        """The text of each id as it comes; of a cut character, when its last byte has come."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for id in steps:
            yield decoder.decode(self.texts[id])
        yield decoder.decode(b"", final=True)

    def of(self, letters: numpy.ndarray) -> numpy.ndarray:
        """The ids of a text that is given as ids of its characters."""
        return letters if self.pairs is None else numpy.array(self.encode(written(self.vocab, letters)), numpy.int64)

    def num_characters(self, ids: Any) -> int:
        return int(self.lengths[ids].sum())

    def metadata(self) -> dict[str, Any]:
        return {"vocabulary": self.vocab.w2i, "pairs": self.pairs.state() if self.pairs else None}


def learned(vocab: Vocabulary, training: numpy.ndarray, kind: str, size: int) -> Tokens:
    """The tokens of this `kind`, "characters" or "bpe"; byte pairs are learned from the training set alone."""
    return Tokens(vocab, BytePairs.learn(written(vocab, training), size) if kind == "bpe" else None)


def written(vocab: Vocabulary, letters: numpy.ndarray) -> str:
    """The text of ids of characters."""
    return "".join(map(vocab.i2w.__getitem__, letters.tolist()))
