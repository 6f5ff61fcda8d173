"""Texts as what a convolution reads: cleaned by some steps, and each character a number, the last one first."""

import re
from collections.abc import Callable, Sequence

import numpy

from scratch.checks import ScratchError
from scratch.initial import generator

# The paper's 70 characters, of which "-" stands there twice; a space is not among them, so it is a row of zeros.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+=<>()[]{}\n"
_URL = re.compile(r"(?:https?://|www\.)\S+", flags=re.IGNORECASE)
STEPS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "remove_hashtags": lambda text: re.sub(r"#\w+", "", text),
    "remove_urls": lambda text: _URL.sub("", text),
    "remove_user_mentions": lambda text: re.sub(r"@\w+", "", text),
}


def cleaned(text: str, steps: Sequence[str]) -> str:
    """`text` after each of the steps, in their order."""
    for step in steps:
        text = STEPS[step](text)
    return text


def with_gaps(ids: numpy.ndarray, share: float) -> numpy.ndarray:
    """Ids of any shape, `share` of which are taken for unknown (-1), so that a network learns to do without."""
    return numpy.where(generator().random(ids.shape) < share, -1, ids)


class Quantiser:
    """Texts -> ids (N, length): the last character of a text first, -1 for an unknown one and beyond its beginning.

    So a text that is too long loses its beginning, and what was read last is always at the same place.
    Source: Zhang et al. 2015, https://arxiv.org/abs/1509.01626, section 2.2.
    Differs: the repository drops unknown characters, so that what was apart comes together; here, as in the paper,
        they keep their place.
    """

    def __init__(self, alphabet: str, length: int) -> None:
        if len(set(alphabet)) != len(alphabet) or not alphabet:
            raise ScratchError(f"the alphabet: expected characters, each of them once, got {alphabet!r}")
        self.alphabet, self.length = alphabet, length
        # For each code point its id; characters beyond the largest one share the last place, and are unknown.
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
