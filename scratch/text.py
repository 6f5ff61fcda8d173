"""From words or characters to numbers and back: Vocabulary, words_of, read_glove; and what follows what: NgramModel.

A network knows no letters, only ids. A vocabulary gives each distinct word (or character) the next free number:

    vocab = Vocabulary("abac")          # any iterable of strings
    vocab.size                          # 3
    vocab.get_id("c")                   # 2
    vocab.get_word(2)                   # "c"
    vocab.one_hot_encode("b")           # [0.0, 1.0, 0.0]

The simplest model of a text counts what followed each run of ids. It is what a network has to beat:

    model = NgramModel(vocab.encode("abac"), vocab.size, order=2)
    model.following(vocab.encode("a"))  # [0.21, 0.39, 0.39]: b and c, and perhaps a

Read next: `batching.py`.
"""

import gzip
import re
import unicodedata
import zlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from scratch.checks import ScratchError


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


# A word as GloVe has them: of "doesn't" does and n't, of "film's" film and 's; a hyphen may stand inside; so may -lrb-.
_WORD = re.compile(r"-[lr][rsc]b-|\w+?(?=n't\b)|n't\b|\w+(?:[-/.]\w+)*|'\w+|\.\.\.|--|``|''|[^\w\s]")


def words_of(text: str) -> list[str]:
    """The words and punctuation marks of `text`, in small letters; given them with spaces between, it is the same."""
    return _WORD.findall(text.lower())


def read_glove(path: str | Path, wanted: Collection[str] | None = None) -> tuple[list[str], numpy.ndarray]:
    """The words of a file of GloVe vectors, all or those `wanted`, and their vectors (num_words, dim), float32.

    A line holds a word and its numbers, with spaces between, as many as the first line; what else there is before them
    belongs to the word. The file may be packed by gzip.
    Source: Pennington et al. 2014, https://nlp.stanford.edu/projects/glove/
    Raises: ScratchError for a line that is none, and says which.
    """
    words, rows, dim = list[str](), list[numpy.ndarray](), 0
    number = 0
    try:
        with (gzip.open if str(path).endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
            for line in file:
                number += 1
                word, *numbers = line.rstrip().split(" ")
                dim = dim or len(numbers)
                if dim == 1:
                    raise ValueError("one number is no vector; is it the head of a file of word2vec?")
                if len(numbers) > dim:  # a word with spaces in it, as the largest of the files have some
                    word, numbers = " ".join([word, *numbers[:-dim]]), numbers[-dim:]
                    if re.search(r" -?\d+\.\d+(e-?\d+)?$", word):
                        raise ValueError(f"more than {dim} numbers, {dim} before")
                if not numbers or len(numbers) != dim:
                    raise ValueError(f"{len(numbers)} numbers, {dim} before")
                if wanted is not None and word not in wanted:
                    continue
                row = numpy.array(numbers, dtype=numpy.float32)
                if not numpy.isfinite(row).all():
                    raise ValueError("not all numbers are finite")
                words.append(word)
                rows.append(row)
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise ScratchError(f"{path}: not a file of GloVe vectors (line {number or 1}: {error})") from None
    if not rows:
        raise ScratchError(f"{path}: has no vector of a word that is wanted")
    return words, numpy.array(rows)


class Level(NamedTuple):
    """The runs of n ids that a text has, for one n: see `NgramModel`."""

    keys: numpy.ndarray  # context * num_ids + id, in ascending order; a context is a place in the level before
    counts: numpy.ndarray  # how often each run was there
    totals: numpy.ndarray  # how often each context was there
    kinds: numpy.ndarray  # by how many different ids it was followed


class NgramModel:
    """Which id followed each run of up to `order` - 1 ids, and how often; what was not seen is left to shorter runs.

        p_n(id | run) = (count(run id) + kinds(run) * p_{n-1}(id | run without its first)) / (count(run) + kinds(run))

    where kinds(run) is by how many different ids it was followed: the more kinds, the likelier a new one. p_0 is
    uniform, so no id is impossible. Runs are not stored as such: a run of n ids is the place of its first n - 1 among
    those of that length, and its last id.

    levels: a `Level` for each n from 1 to `order`.
    Source: Witten and Bell 1991, https://doi.org/10.1109/18.87000, method C; interpolated as in Chen and Goodman
        1998, section 2.4.
    """

    def __init__(self, ids: Any, num_ids: int, order: int) -> None:
        self.num_ids = num_ids
        self.levels: list[Level] = []
        ids = self._checked(ids)
        contexts, num_contexts = numpy.zeros(len(ids), dtype=numpy.int64), 1
        for n in range(1, min(order, len(ids)) + 1):
            # Of every run that ends at ids[t], t >= n - 1: its first n - 1 ids are contexts[t - n + 1].
            keys, places, counts = numpy.unique(
                contexts * num_ids + ids[n - 1 :], return_inverse=True, return_counts=True
            )
            kinds = numpy.bincount(keys // num_ids, minlength=num_contexts)
            totals = numpy.bincount(contexts, minlength=num_contexts)
            self.levels.append(Level(keys, *(part.astype(numpy.int32) for part in (counts, totals, kinds))))
            contexts, num_contexts = places[:-1], len(keys)

    def log_probabilities(self, ids: Any) -> numpy.ndarray:
        """The logarithm of each id's probability after those before it, for each level: (len(levels), len(ids))."""
        ids = self._checked(ids)
        p = numpy.full(len(ids), 1 / self.num_ids)
        contexts, rows = numpy.zeros(len(ids), dtype=numpy.int64), []
        for level in self.levels:
            known = contexts >= 0
            wanted = contexts * self.num_ids + ids
            places = numpy.minimum(numpy.searchsorted(level.keys, wanted), len(level.keys) - 1)
            found = known & (level.keys[places] == wanted)
            count = numpy.where(found, level.counts[places], 0)
            total, kinds = (numpy.where(known, part[contexts], 0) for part in (level.totals, level.kinds))
            # A context that was not seen, or only at the text's end, says nothing.
            p = numpy.where(total > 0, (count + kinds * p) / numpy.maximum(total + kinds, 1), p)
            rows.append(numpy.log(p))
            contexts = numpy.concatenate(([-1], numpy.where(found, places, -1)[:-1]))
        return numpy.array(rows)

    def following(self, ids: Sequence[int]) -> numpy.ndarray:
        """The probability of each id to come next, after `ids`."""
        p, ids = numpy.full(self.num_ids, 1 / self.num_ids), self._checked(ids).tolist()
        for n, level in enumerate(self.levels):
            context = self._place(ids[len(ids) - n :]) if n <= len(ids) else None
            if context is None or not level.totals[context]:
                break
            start, stop = numpy.searchsorted(level.keys, (context * self.num_ids, (context + 1) * self.num_ids))
            p *= level.kinds[context]
            p[level.keys[start:stop] - context * self.num_ids] += level.counts[start:stop]
            p /= level.totals[context] + level.kinds[context]
        return p

    def _checked(self, ids: Any) -> numpy.ndarray:
        ids = numpy.asarray(ids, dtype=numpy.int64)
        if ids.size and not 0 <= ids.min() <= ids.max() < self.num_ids:
            raise ScratchError(f"{self}: expected ids from 0 to {self.num_ids - 1}, got {ids.min()} to {ids.max()}")
        return ids

    def _place(self, run: Sequence[int]) -> int | None:
        """The place of a run among those of its length, or None."""
        place = 0
        for level, id in zip(self.levels, run, strict=False):
            key = place * self.num_ids + id
            place = int(numpy.searchsorted(level.keys, key))
            if place == len(level.keys) or level.keys[place] != key:
                return None
        return place

    def num_bytes(self, order: int) -> int:
        """What the levels up to `order` take in memory."""
        return sum(part.nbytes for level in self.levels[:order] for part in level)

    def __repr__(self) -> str:
        return f"NgramModel(num_ids={self.num_ids}, order={len(self.levels)})"
