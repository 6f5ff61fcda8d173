"""Byte-pair encoding: text as ids of frequent pieces, most of them longer than a letter and shorter than a word.

Ids for letters make long sequences; ids for words leave new words without one. Byte-pair encoding starts with single
bytes, and repeatedly gives the most frequent pair of neighbours an id of its own:

    b[an][an]a b[an]d[an]a      an occurs 4 times       id 256 = an
    [ban][an]a [ban]d[an]a      b[an] occurs twice      id 257 = ban
    [ban][ana] [ban]d[ana]      [an]a occurs twice      id 258 = ana

Now no pair occurs twice. The 14 characters of "banana bandana" have become 6 tokens:

    pairs = BytePairs.learn("banana bandana", size=300)
    pairs.size                                          # 259: 256 bytes and 3 pairs
    pairs.encode("banana bandana")                      # [257, 258, 32, 257, 100, 258]; 32 is a space, 100 is d
    pairs.decode([257, 100])                            # "band"

Read next: `batching.py`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from scratch.checks import ScratchError, expect

Pair = tuple[int, int]

# A word is a run of letters and digits, or a run of other marks, each with one space before it if there is one; or a
# run of white space. So every character is in one word. Longer runs are cut, so that no token can be very long.
_WORD = re.compile(r" ?\w{1,32}| ?[^\w\s]{1,32}|\s{1,32}")
_LONGEST = 33 * 4  # bytes of a token: a space and 32 characters, each of at most 4 bytes in UTF-8


def words_in_bytes(text: str) -> list[bytes]:
    """The words of `text` in UTF-8. Joined, they are the text."""
    try:
        return [word.encode("utf-8") for word in _WORD.findall(text)]
    except UnicodeEncodeError as error:
        code = f"U+{ord(error.object[error.start]):04X}"
        raise ScratchError(f"the text has {code}, which is half of a surrogate pair and not a character") from None


def merge(ids: Iterable[int], pair: Pair, new_id: int) -> list[int]:
    """`ids` with `pair` replaced by `new_id`, from left to right: "aaa" becomes [aa]a."""
    merged: list[int] = []
    for id in ids:
        if merged and (merged[-1], id) == pair:
            merged[-1] = new_id
        else:
            merged.append(id)
    return merged


class BytePairs:
    """A tokeniser: ids 0 to 255 are the bytes, and each later id is a pair of earlier ids.

    Any text has ids, because UTF-8 writes each character as one to four bytes.

    tokens: the bytes that each id stands for.
    new_ids: pair -> id, in the order in which the pairs were learned.
    Source: Gage 1994, A New Algorithm for Data Compression; Sennrich et al. 2016, section 3.2 (pairs inside words),
        https://arxiv.org/abs/1508.07909; Radford et al. 2019, Language Models are Unsupervised Multitask Learners,
        section 2.2 (bytes).
    Raises: ScratchError for merges that `learn` cannot have returned, such as those of a damaged file.
    """

    def __init__(self, merges: Sequence[Sequence[int]] = ()) -> None:
        self.tokens = [bytes([k]) for k in range(256)]
        self.new_ids: dict[Pair, int] = {}
        expect(isinstance(merges, (list, tuple)), "BytePairs", "a list of pairs", type(merges).__name__)
        for new_id, pair in enumerate(merges, start=256):
            ok = isinstance(pair, (list, tuple)) and len(pair) == 2
            ok = ok and all(type(id) is int and 0 <= id < new_id for id in pair)
            expect(ok, "BytePairs", f"for id {new_id} a pair of ids from 0 to {new_id - 1}", repr(pair)[:80])
            first, second = pair
            expect((first, second) not in self.new_ids, "BytePairs", f"for id {new_id} a new pair", [first, second])
            token = self.tokens[first] + self.tokens[second]
            expect(len(token) <= _LONGEST, "BytePairs", f"for id {new_id} up to {_LONGEST} bytes", len(token))
            self.tokens.append(token)
            self.new_ids[first, second] = new_id

    @classmethod
    def learn(cls, text: str, size: int) -> "BytePairs":
        """A tokeniser of `size` ids: the bytes and the most frequent pairs.

        Of pairs with the same count, the one with the lowest ids is merged first.
        Learning stops early, with fewer ids, when no pair occurs twice.
        """
        expect(size >= 256, "BytePairs.learn", "a size of at least 256 (the bytes)", size)
        distinct = Counter(words_in_bytes(text))
        words, times = [list(word) for word in distinct], list(distinct.values())
        counts: Counter[Pair] = Counter()  # how often each pair occurs in the text
        places: defaultdict[Pair, set[int]] = defaultdict(set)  # the words that have it, or had it

        def count(k: int, sign: int) -> None:
            for pair in pairwise(words[k]):
                counts[pair] += sign * times[k]
                places[pair].add(k)

        for k in range(len(words)):
            count(k, +1)
        merges: list[Pair] = []
        while counts and 256 + len(merges) < size:
            best = min(counts, key=lambda pair: (-counts[pair], pair))
            if counts[best] < 2:
                break
            for k in places.pop(best):  # the pairs of all other words stay as they are
                count(k, -1)
                words[k] = merge(words[k], best, 256 + len(merges))
                count(k, +1)
            merges.append(best)
        return cls(merges)

    @property
    def size(self) -> int:
        """The number of ids."""
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`. Each distinct word is encoded once."""
        words = words_in_bytes(text)
        ids = {word: self._encode_word(word) for word in set(words)}
        return [id for word in words for id in ids[word]]

    def _encode_word(self, word: bytes) -> list[int]:
        ids = list(word)
        while len(ids) > 1:
            # The pair that was learned first, which has the lowest new id.
            first = min(pairwise(ids), key=lambda pair: self.new_ids.get(pair, self.size))
            if first not in self.new_ids:
                break
            ids = merge(ids, first, self.new_ids[first])
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`. Bytes that are not valid UTF-8, which a model can generate, become U+FFFD."""
        ids = list(ids)
        wrong = [id for id in ids if not 0 <= id < self.size]
        expect(not wrong, self, f"ids from 0 to {self.size - 1}", wrong[:8])
        return b"".join(self.tokens[id] for id in ids).decode("utf-8", errors="replace")

    def state(self) -> list[list[int]]:
        """The pairs as lists, for a JSON file. `BytePairs(pairs.state())` is an equal tokeniser."""
        return [list(pair) for pair in self.new_ids]

    def __repr__(self) -> str:
        return f"BytePairs(size={self.size})"
