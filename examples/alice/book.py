"""Alice in Wonderland as the Keras tutorial reads it, and its training batches."""

import math
import re
import string
from argparse import Namespace
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
from char_lm.texts import corpus_file

from scratch.batching import batches, num_pieces, padded, streams, windows
from scratch.batching import num_batches as number_of_batches
from scratch.checks import ScratchError
from scratch.initial import generator
from scratch.tools.corpus import pieces

SMOKE = "'but i don't want to go among mad people,' alice remarked.\n'oh, you can't help that,' said the cat.\n" * 12
FIRST, LAST = b"CHAPTER I. Down the Rabbit-Hole", b"THE END"
NUM_SEEDS = 40  # passages that are saved with the weights

Batch = tuple[Any, Any, Any]  # ids (N, T); next ids, (N, T) or (N,); mask (N, T) or None


def read_book(flags: Namespace) -> str:
    """The text that the flags name, in lower case; without punctuation under --no-punctuation."""
    if flags.smoke:
        text = SMOKE
    elif flags.text is not None:
        text = "".join(pieces(flags.text)).lower()
    else:
        text = tutorials_text(corpus_file("alice", flags.data))
    if not flags.punctuation:
        text = "".join(letter for letter in text if letter not in string.punctuation)
    if len(text) <= flags.sequence or len(set(text)) < 2:
        raise ScratchError(
            f"expected a text of more than {flags.sequence} characters, two of them distinct, got {len(text)} "
            f"({len(set(text))} distinct)"
        )
    return text


def tutorials_text(path: Path) -> str:
    """The book from its first chapter on, one character per byte, as in the tutorial's Python 2: 47 kinds of them."""
    book = path.read_bytes()
    mark = book[: 3 * book.startswith(b"\xef\xbb\xbf")]
    start, end = book.find(FIRST), book.rfind(LAST)
    if not 0 <= start < end:
        raise ScratchError(f"{path}: not Project Gutenberg's Alice in Wonderland; pass any other text as TEXT")
    return (mark + book[start : end + len(LAST)]).lower().decode("latin-1")


def seeds_of(text: str, length: int) -> list[str]:
    """Passages at equal distances, from which `generate` draws its seed: it needs the weights alone, not the book."""
    step = max((len(text) - length) // NUM_SEEDS, 1)
    return [text[start : start + length] for start in range(0, len(text) - length + 1, step)][:NUM_SEEDS]


def training_batches(ids: numpy.ndarray, text: str, flags: Namespace) -> Iterator[Batch]:
    """The batches of one epoch, in random order unless the state is carried from one to the next."""
    N, T = flags.batch_size, flags.sequence
    if flags.sentences:
        for rows in batches(sentences(ids, text, T), N, length=len):
            row_ids, mask = padded(rows, fill=0)
            yield row_ids[:, :-1], row_ids[:, 1:], mask[:, 1:]
    elif flags.stateful:
        for letters, next_letters in streams(ids, N, T):
            yield letters, next_letters, None
    elif flags.every_step:
        # The first cut is drawn anew each epoch, so that no letter is always the first of its piece.
        first = int(generator().integers(0, min(T, len(ids) - T)))
        starts = numpy.arange(first, len(ids) - T, T)
        for chosen in batches(starts, N):
            rows = numpy.array(chosen)[:, None] + numpy.arange(T + 1)
            yield ids[rows[:, :-1]], ids[rows[:, 1:]], None
    else:
        inputs, following = windows(ids, T)
        order = generator().permutation(len(following))
        for start in range(0, len(order), N):
            chosen = order[start : start + N]
            yield inputs[chosen], following[chosen], None


def num_batches(ids: numpy.ndarray, text: str, flags: Namespace) -> int:
    """The number of batches in an epoch."""
    N, T = flags.batch_size, flags.sequence
    if flags.sentences:
        return number_of_batches(len(sentences(ids, text, T)), N)
    if flags.stateful:
        return num_pieces(len(ids), N, T)
    if flags.every_step:
        return number_of_batches(len(ids) // T, N)
    return math.ceil((len(ids) - T) / N)


def sentences(ids: numpy.ndarray, text: str, longest: int) -> list[numpy.ndarray]:
    """The ids of each sentence, after the space before it; a sentence longer than `longest` is cut."""
    ends = [0, *(match.end() for match in re.finditer(r"[.!?]+['\")]*\s+", text)), len(text)]
    cuts = [cut for start, end in pairwise(ends) for cut in range(start, end, longest)]
    rows = [ids[max(start - 1, 0) : end] for start, end in zip(cuts, [*cuts[1:], len(text)], strict=True)]
    return [row for row in rows if len(row) > 1]
