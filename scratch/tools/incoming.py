"""The input of a program: arguments, standard input and text files, with one reader for each.

A text is in UTF-8, with or without a byte order mark, and all its line ends become "\\n":

    text = read_text("names.txt")            # ScratchError: no such file, a folder, not UTF-8 (byte 17), ...
    text = standard_input()                  # "" where it is closed
    for line in lines(pieces(file, path), path):   # a file of any size, of which one piece is in memory at a time
        ...

Read next: `files.py`.
"""

import codecs
import errno
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from scratch.checks import ScratchError

PIECE = 2**20  # bytes
_LONGEST_LINE = 2**24  # characters


def decoded(value: Any, name: str) -> Any:
    """The value of the flag `name`, with strings decoded, also in a list. A Path is unchanged: it need not be UTF-8.

    In a C locale (with UTF-8 mode off), Python decodes arguments as ASCII and turns each byte of "ä" into a separate
    surrogate: a character from U+D800 on that stands for nothing by itself. "surrogateescape" restores the bytes.
    Raises: ScratchError for a text that is not UTF-8.
    """
    if isinstance(value, list):
        return [decoded(item, name) for item in value]
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8") if isinstance(value, str) else value
    except UnicodeError:
        raise ScratchError(f"{name}: expected text in UTF-8") from None


def standard_input() -> str:
    """All of standard input, "" where it is closed. Raises: ScratchError when it is not a text in UTF-8."""
    return "" if sys.stdin is None else "".join(pieces(sys.stdin.buffer, "standard input"))


def read_text(path: str | Path) -> str:
    """The text of a file. Raises: ScratchError when there is no such file, or it is not a text in UTF-8."""
    with opened(path) as file:
        return "".join(pieces(file, path))


def opened(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes. Raises: ScratchError when there is none, or it cannot be read."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise ScratchError(in_words(error)) from None


def in_words(error: OSError) -> str:
    """The operating system's error as text, without its number: "novel.txt: no such file"."""
    words = {errno.ENOENT: "no such file", errno.EISDIR: "is a folder; expected a file"}
    what = words.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return what if error.filename is None else f"{error.filename}: {what}"


def pieces(
    file: BinaryIO, name: str | Path, encoding: str = "utf-8", start: int = 0, end: int = sys.maxsize,
    hint: str = "save it as UTF-8",
) -> Iterator[str]:
    """Yield the text of `file`, which is called `name`, in pieces of about a megabyte.

    The file must be positioned at `start`; reading stops before byte `end`. A byte order mark at byte 0 is skipped.
    Raises: ScratchError, with its position, for a byte that is invalid in `encoding`, or for a zero byte in UTF-8;
        also for an encoding that Python does not know.
    """
    try:
        "".encode(encoding)  # raises also for a codec that is not for text, such as base64
        decoder, is_utf8 = codecs.getincrementaldecoder(encoding)(), codecs.lookup(encoding).name == "utf-8"
    except (LookupError, ValueError):
        raise ScratchError(f"unknown encoding {encoding!r}; use a name that Python knows, such as latin-1") from None
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    marked, last = start == 0, False
    while not last:
        most = min(PIECE, end - start)
        try:
            piece = file.read(most)
        except OSError as error:
            raise ScratchError(f"{name}: cannot be read ({error.strerror or error})") from None
        last = len(piece) < most or start + len(piece) == end
        pending = len(decoder.getstate()[0])  # bytes of a character that began in the piece before
        if is_utf8 and b"\0" in piece:
            raise ScratchError(f"{name}: has a zero byte at {start + piece.index(0)}; expected text")
        try:
            text = decoder.decode(piece, final=last)
            text.encode()  # some codecs return halves of surrogate pairs
        except UnicodeError as error:
            place = start - pending + getattr(error, "start", 0)  # some codecs give no position
            raise ScratchError(f"{name}: not {encoding.upper()} (byte {place}); {hint}") from None
        if marked and text:
            text, marked = text.removeprefix("\ufeff"), False
        start += len(piece)
        yield line_ends.decode(text, final=last)


def lines(texts: Iterable[str], name: str | Path) -> Iterator[str]:
    """The lines, with their line ends, of a text in pieces. Raises: ScratchError for one of over 2**24 characters."""
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from (f"{line}\n" for line in whole)
        if len(rest) > _LONGEST_LINE:
            raise ScratchError(f"{name}: a line has more than {_LONGEST_LINE} characters; is it a text file?")
    if rest:
        yield rest
