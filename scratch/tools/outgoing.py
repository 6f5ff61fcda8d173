"""What a program prints: one line for a message, and nothing that a terminal obeys, whatever the files hold.

    message(error)                           # one line of at most 600 characters
    command_line("examples/alice", ["train", Path("-x")])      # python examples/alice train ./-x
    with escaping():
        print("\\x1b[2J")                    # prints \\u001b[2J

Read next: `program.py`.
"""

import io
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_LONGEST = 600  # characters of a message
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # by terminals


def one_line(text: str) -> str:
    """`text` made safe to print on one line of a terminal: control characters become escapes."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text) or "(empty)"


def message(text: str) -> str:
    """`text` on one line, without its middle where it is long: a file may have put anything into it."""
    text = one_line(" ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 200]} ... {text[-195:]}"


def command_line(program: str, arguments: Sequence[str | Path]) -> str:
    """A command that a shell reads as the program and the arguments, for instance those that started it."""
    return " ".join(_quoted(argument) for argument in ("python", program, *arguments))


def _quoted(argument: str | Path) -> str:
    # A relative path loses its "./", and "-x" would be taken for a flag.
    text = f"./{argument}" if isinstance(argument, Path) and str(argument).startswith("-") else str(argument)
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")  # as in `decoded`
    if _OBEYED.search(text) is None and not any("\ud800" <= character <= "\udfff" for character in text):
        return shlex.quote(text)
    numbers = text.encode("utf-8", "surrogateescape")  # the name of a file need not be UTF-8
    return "$'" + "".join(chr(k) if 32 <= k < 127 and chr(k) not in "'\\" else f"\\x{k:02x}" for k in numbers) + "'"


class _Escaping(io.TextIOWrapper):
    def write(self, text: str) -> int:
        # In the form that JSON has too; "\n" and "\t" only lay out the text.
        return super().write(_OBEYED.sub(lambda m: m[0] if m[0] in "\n\t" else f"\\u{ord(m[0]):04x}", text))


@contextmanager
def escaping() -> Iterator[None]:
    """In the block, standard output shows control characters and letters that its encoding lacks as escapes.

    So whatever a file holds, a terminal obeys none of it.
    """
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper):  # it is closed, or the caller reads it
        yield
        return
    sys.stdout = shown = _Escaping(
        before.buffer, before.encoding, "backslashreplace", line_buffering=before.line_buffering
    )
    try:
        yield
    finally:
        sys.stdout = before
        with suppress(OSError):  # a full disk, or a closed pipe, has been reported
            shown.detach()
