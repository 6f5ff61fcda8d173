"""Turning text into ids: Vocabulary, words_of; and counting which id follows which: NgramModel.

A network computes with numbers, not letters. A vocabulary gives each distinct word (or character) the next free id, so
"abac" becomes [0, 1, 0, 2]:

    vocab = Vocabulary("abac")          # any iterable of strings
    vocab.size                          # 3
    vocab.encode("abac")                # [0, 1, 0, 2]
    vocab.get_word(2)                   # "c"
    vocab.one_hot_encode("b")           # [0.0, 1.0, 0.0]

The simplest language model counts which id followed each run of ids. It is the baseline that a network has to beat. In
"abac", a is followed once by b and once by c, so both are likelier after "a" than another a:

    model = NgramModel(vocab.encode("abac"), vocab.size, order=2)
    model.following(vocab.encode("a"))  # [0.214, 0.393, 0.393] for a, b, c; derived in NgramModel

Read next: `bpe.py`.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy

from scratch.checks import ScratchError


class Vocabulary:
    """Words and their ids, numbered from 0 in order of first appearance.

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
        """The number of distinct words."""
        return len(self.w2i)

    def add(self, word: str) -> None:
        """Give `word` the next id, unless it already has one."""
        if word not in self.w2i:
            word_id = len(self.w2i)
            self.w2i[word] = word_id
            self.i2w[word_id] = word

    def get_id(self, word: str) -> int | None:
        """The id of `word`, or None if it is unknown."""
        return self.w2i.get(word)

    def get_word(self, word_id: int) -> str | None:
        """The word with this id, or None if no word has it."""
        return self.i2w.get(word_id)

    def encode(self, words: Iterable[str]) -> list[int]:
        """The ids of `words`. Raises: ScratchError, naming the first unknown word."""
        try:
            return [self.w2i[word] for word in words]
        except KeyError as error:
            raise ScratchError(f"unknown word {error.args[0]!r}: not in the vocabulary of {self.size}") from None

    def one_hot_encode(self, word: str) -> list[float]:
        """A list with 1 at the id of `word`, 0 elsewhere. Raises: AssertionError, as in Grus, for an unknown word."""
        if word not in self.w2i:
            raise AssertionError(f"unknown word {word}")
        row = [0.0] * self.size
        row[self.w2i[word]] = 1.0
        return row

    def __repr__(self) -> str:
        return f"Vocabulary(size={self.size})"


def without_accents(text: str) -> str:
    """`text` without accents: "Ślusàrski" becomes "Slusarski".

    Each letter is decomposed into a base letter and its combining marks, and the marks (category Mn) are dropped. Latin
    letters that do not decompose, such as ß and ł, are kept. In other scripts a mark can be part of the letter: й
    becomes и, and a Korean syllable is split into its letters.
    Source: Unicode Standard Annex 15, normalisation form D.
    """
    parts = unicodedata.normalize("NFD", text)
    return "".join(part for part in parts if unicodedata.category(part) != "Mn")


# Words are split as in the vocabulary of GloVe, whose word vectors were trained on which words occur near each other.
_WORD = re.compile(
    r"""
    -[lr][rsc]b-            # -lrb-, which stands for a left round bracket, and the like
    | \w+?(?=n't\b)         # the "does" of "doesn't": the shortest match before n't
    | n't\b
    | \w+(?:[-/.]\w+)*      # a word; "well-known", "and/or" and "u.s" each count as one
    | '\w+                  # the 's of "film's"
    | \.\.\. | -- | `` | '' | [^\w\s]
    """,
    flags=re.VERBOSE,
)


def as_known(text: str) -> str:
    """`text` as GloVe spells it: "Beyoncé’s" becomes "beyoncé's", with é as one character.

    The lower case of İ is i and a combining dot; the dot is dropped.
    """
    lower = unicodedata.normalize("NFC", text).lower().replace("i\u0307", "i").replace("\u2019", "'")
    return unicodedata.normalize("NFC", lower)  # again, since a lower-case letter may compose with a mark after it


def places_of_words(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """Where each match of `pattern` begins and ends in `text`. A combining mark belongs to the character before it.

    An accented letter is one character, or a letter and combining marks; vowel signs in Hindi are always marks. For
    `re`, a mark is no part of a word. So the pattern is matched against one character for each group of a character
    and its marks. "’" counts as an apostrophe. (A mark after a space has no letter, and is a group of its own.)
    """
    if text.isascii():
        return [match.span() for match in pattern.finditer(text)]
    starts = [k for k in range(len(text)) if k == 0 or not _is_mark(text[k]) or text[k - 1].isspace()]
    ends = [*starts[1:], len(text)]
    # The NFC form of a group starts with its letter ("é", or "e" where no composed form exists), however encoded.
    letters = [unicodedata.normalize("NFC", text[start:end])[0] for start, end in zip(starts, ends, strict=True)]
    found = pattern.finditer("".join(letters).replace("\u2019", "'"))
    return [(starts[match.start()], ends[match.end() - 1]) for match in found]


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M") or character in "\u200c\u200d"  # zero width (non-)joiner


def words_of(text: str) -> list[str]:
    """The words and punctuation marks of `text` in GloVe's spelling; joined by spaces, they split the same way."""
    text = as_known(text)
    return [text[start:end] for start, end in places_of_words(_WORD, text)]


class Level(NamedTuple):
    """Counts of the distinct runs of n ids in a text, for one n: see `NgramModel`."""

    keys: numpy.ndarray  # context * num_ids + id, ascending; a context is an index into the keys of the level before
    # (0, the empty run, at level 1):
    # for "abac", the keys of level 2 are 0 * 3 + 1 (ab), 0 * 3 + 2 (ac) and 1 * 3 + 0 (ba)
    counts: numpy.ndarray  # how often each run occurs
    totals: numpy.ndarray  # how often an id follows each context
    kinds: numpy.ndarray  # how many distinct ids follow each context


class NgramModel:
    """Predicts each id from the run of up to `order` - 1 ids before it, by how often it followed that run.

    An n-gram is a run of n ids. The model is interpolated: each estimate is mixed with that of a run one id shorter.

        p_n(id | run) = (count(run id) + kinds(run) * p_{n-1}(id | run without its first)) / (count(run) + kinds(run))

    count(run) is how often an id followed the run, and kinds(run) is how many distinct ids did: the more kinds, the
    likelier a new one. p_0 is uniform, so every id has a positive probability. In "abac", 2 of the 4 ids are a, and
    there are 3 kinds, so p_1(a) = (2 + 3 * 1/3) / (4 + 3) = 3/7, and p_2(a | a) = (0 + 2 * 3/7) / (2 + 2) = 0.214.

    A run of n ids is stored as two numbers: the index of its first n - 1 ids in the level before, and its last id.

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
            # For t >= n - 1, the run of n ids that ends at ids[t] is context contexts[t - n + 1] followed by ids[t]. In
            # "abac" the runs a, b and c are 0, 1 and 2, so places is [0, 1, 0, 2]; nothing follows the last run.
            keys, places, counts = numpy.unique(
                contexts * num_ids + ids[n - 1 :], return_inverse=True, return_counts=True
            )
            kinds = numpy.bincount(keys // num_ids, minlength=num_contexts)
            totals = numpy.bincount(contexts, minlength=num_contexts)
            small = [part.astype(numpy.int32) for part in (counts, totals, kinds)]  # half the memory
            self.levels.append(Level(keys, *small))
            contexts, num_contexts = places[:-1], len(keys)

    def log_probabilities(self, ids: Any) -> numpy.ndarray:
        """The log-probability (nats) of each id given those before it, for each level: (len(levels), len(ids))."""
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
            # Nothing follows a context that is unseen, or occurs only at the end of the text: keep the shorter run's p.
            # (`maximum` only avoids 0 / 0 there.)
            p = numpy.where(total > 0, (count + kinds * p) / numpy.maximum(total + kinds, 1), p)
            rows.append(numpy.log(p))
            contexts = numpy.concatenate(([-1], numpy.where(found, places, -1)[:-1]))  # -1: no run yet, or unseen
        return numpy.array(rows)

    def following(self, ids: Sequence[int]) -> numpy.ndarray:
        """The probability that each id comes next after `ids`: (num_ids,)."""
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
        """The index of `run` in the level of its length, or None if it was not seen."""
        place = 0  # the empty run
        for level, id in zip(self.levels, run, strict=False):  # a run has fewer ids than there are levels
            key = place * self.num_ids + id
            place = int(numpy.searchsorted(level.keys, key))
            if place == len(level.keys) or level.keys[place] != key:
                return None
        return place

    def num_bytes(self, order: int) -> int:
        """The memory that the levels up to `order` take, in bytes."""
        return sum(part.nbytes for level in self.levels[:order] for part in level)

    def __repr__(self) -> str:
        return f"NgramModel(num_ids={self.num_ids}, order={len(self.levels)})"
