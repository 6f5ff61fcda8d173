"""A UTF-8 text of any size as an array of ids on disk.

The text is read in pieces of one megabyte, and its ids are written to a memory-mapped file. The network sees an array,
and the operating system loads only the pages that are accessed. So the text may be larger than memory.

    corpus = read_corpus("novel.txt")        # builds a vocabulary of the text's characters
    corpus.ids, corpus.vocab.size
    read_corpus("another.txt", corpus.vocab) # raises ScratchError if it has other characters

The header and footer of a Project Gutenberg file are skipped.

Read next: `backend.py`.
"""

import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from scratch.checks import ScratchError
from scratch.text import Vocabulary
from scratch.tools import incoming
from scratch.tools.history import progress

_EDGE = 2**16  # bytes; Project Gutenberg's header and its licence are shorter
_START = re.compile(rb"\*\*\* ?START OF TH[^\r\n]*PROJECT GUTENBERG[^*]*\*\*\*")
_END = re.compile(rb"\*\*\* ?END OF TH[^\r\n]*PROJECT GUTENBERG|End of (the )?Project Gutenberg")


class Corpus(NamedTuple):
    """A text as memory-mapped ids, its vocabulary, and the SHA-256 of its characters in UTF-8."""

    ids: numpy.ndarray
    vocab: Vocabulary
    digest: str


def read_corpus(path: str | Path, vocab: Vocabulary | None = None, folder: str | Path | None = None) -> Corpus:
    """Read the text at `path` as ids of `vocab`, by default the text's own characters in code-point order.

    The ids are in an unnamed temporary file in `folder` (by default the system's), which is deleted with the array.
    Raises: ScratchError when the text is not UTF-8 (with the byte's position), is binary, or has characters that
    `vocab` lacks (naming up to 40).
    """
    characters: set[str] = set()
    digest, length = hashlib.sha256(), 0
    with incoming.opened(path) as file:
        num_pieces = -(-file.seek(0, io.SEEK_END) // incoming.PIECE)
    for piece in progress(pieces(path), "reading", num_pieces):
        characters |= set(piece)
        length += len(piece)
        digest.update(piece.encode())
    if vocab is None:
        vocab = Vocabulary(sorted(characters))
    elif unknown := sorted(characters - vocab.w2i.keys()):
        raise ScratchError(
            f"{path}: {len(unknown)} of its characters are not in the vocabulary of {vocab.size}: "
            f"{''.join(unknown)[:40]!r}; were the weights trained on this text, or on its language?"
        )
    dtype = numpy.min_scalar_type(max(vocab.size - 1, 0))
    table = numpy.zeros(1 + max(map(ord, characters), default=0), dtype=dtype)
    for character in characters:
        table[ord(character)] = vocab.w2i[character]
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in progress(pieces(path), "reading again", num_pieces):
            if not set(piece) <= characters:
                raise ScratchError(f"{path}: changed while it was being read; try again")
            table[numpy.frombuffer(piece.encode("utf-32-le"), dtype="<u4")].tofile(file)
            length -= len(piece)
        if length:
            raise ScratchError(f"{path}: changed while it was being read; try again")
        file.flush()
        length = file.tell() // dtype.itemsize
        ids: Any = numpy.memmap(file, dtype, "r", shape=(length,)) if length else numpy.zeros(0, dtype)
    return Corpus(ids, vocab, digest.hexdigest())


def pieces(path: str | Path) -> Iterator[str]:
    """Yield the text at `path` in pieces of about a megabyte. Raises: as `read_corpus`."""
    with incoming.opened(path) as file:
        start, end = _of_the_book(file)
        file.seek(start)
        yield from incoming.pieces(file, path, start=start, end=end)


def _of_the_book(file: Any) -> tuple[int, int]:
    """The byte offsets at which the text starts and ends: the whole file, or between Project Gutenberg's markers."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(_EDGE)
    if not (header := _START.search(head)):
        return 0, size
    edge = max(header.end(), size - _EDGE)
    file.seek(edge)
    footer = _END.search(file.read())
    return header.end(), edge + footer.start() if footer else size
