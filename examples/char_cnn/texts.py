"""Texts as ids of characters: preprocessing steps, and the quantiser, which puts the last character first.

With the alphabet "abc", the text "Cab" in lower case is the ids [1, 0, 2], filled up with -1 to the length of a row.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy

from scratch.checks import ScratchError
from scratch.initial import generator
from scratch.text import places_of_words

# The paper's 70 characters, in which "-" occurs twice. A space is not among them: it becomes a row of zeros.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+=<>()[]{}\n"
_URL = re.compile(r"(?:https?://|www\.)\S+", flags=re.IGNORECASE)
_HASHTAG, _MENTION = re.compile(r"#\w+"), re.compile(r"@\w+")


def without(pattern: re.Pattern[str], text: str) -> str:
    """`text` without the words that match `pattern`."""
    cuts = [0, *(place for word in places_of_words(pattern, text) for place in word), len(text)]
    return "".join(text[start:end] for start, end in zip(cuts[::2], cuts[1::2], strict=True))


STEPS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "remove_hashtags": lambda text: without(_HASHTAG, text),
    "remove_urls": lambda text: without(_URL, text),
    "remove_user_mentions": lambda text: without(_MENTION, text),
}


def cleaned(text: str, steps: Sequence[str]) -> str:
    """`text` in Unicode's composed form (é as one character), after the given steps, in order."""
    text = unicodedata.normalize("NFC", text)
    for step in steps:
        text = STEPS[step](text)
    return text


def with_gaps(ids: numpy.ndarray, share: float) -> numpy.ndarray:
    """Ids of any shape with a random `share` of them replaced by -1, unknown, so that training relies on none."""
    return numpy.where(generator().random(ids.shape) < share, -1, ids)


class Quantiser:
    """Texts -> ids (N, length): the last character of a text first, -1 for unknown characters and as padding.

    A text that is too long loses its beginning, and its last character is always in column 0.
    Source: Zhang et al. 2015, https://arxiv.org/abs/1509.01626, section 2.2.
    Differs: the repository removes unknown characters, which joins their neighbours; here, as in the paper, they keep
        their place.
    """

    def __init__(self, alphabet: str, length: int) -> None:
        if len(set(alphabet)) != len(alphabet) or not alphabet:
            raise ScratchError(f"the alphabet: expected one or more distinct characters, got {alphabet!r}")
        self.alphabet, self.length = alphabet, length
        # The id of each code point; all code points beyond the alphabet's largest share the last entry, -1.
        points = [ord(character) for character in alphabet]
        self.dtype = numpy.dtype("int8" if len(alphabet) < 128 else "int32")
        self.table = numpy.full(max(points) + 2, -1, dtype=self.dtype)
        self.table[points] = range(len(alphabet))

    def __call__(self, texts: Sequence[str]) -> numpy.ndarray:
        ids = numpy.full((len(texts), self.length), -1, dtype=self.dtype)
        for row, text in zip(ids, texts, strict=True):
            tail = text[-self.length :].encode("utf-32-le", "surrogatepass")
            points = numpy.minimum(numpy.frombuffer(tail, dtype="<u4"), len(self.table) - 1)
            row[: len(points)] = self.table[points][::-1]
        return ids
