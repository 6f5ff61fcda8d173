"""The output of a program: one-line messages, and control characters as escapes, whatever the files contain.

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
# Control characters, line separators, and marks that change the direction of the text after them: a terminal acts on
# them, so a file that holds them could change what the user sees.
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """`text` made safe to print on one line of a terminal: control characters become escapes."""
    return _OBEYED.sub(lambda match: ascii(match[0])[1:-1], text) or "(empty)"


def message(text: str) -> str:
    """`text` on one line, with the middle of a long one cut out: it may quote anything from a file."""
    text = one_line(" ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split()))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 200]} ... {text[-195:]}"


def command_line(program: str, arguments: Sequence[str | Path]) -> str:
    """A command line, quoted for a shell, that runs `program` with `arguments`."""
    return " ".join(_quoted(argument) for argument in ("python", program, *arguments))


def _quoted(argument: str | Path) -> str:
    # Path drops a leading "./", so a file "-x" would be taken for a flag.
    text = f"./{argument}" if isinstance(argument, Path) and str(argument).startswith("-") else str(argument)
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")  # as in `decoded`
    if _OBEYED.search(text) is None and not any("\ud800" <= character <= "\udfff" for character in text):
        return shlex.quote(text)
    # In bash and zsh, \x between $' and ' is a byte; the name of a file need not be UTF-8.
    numbers = text.encode("utf-8", "surrogateescape")
    return "$'" + "".join(chr(k) if 32 <= k < 127 and chr(k) not in "'\\" else f"\\x{k:02x}" for k in numbers) + "'"


class _Escaping(io.TextIOWrapper):
    def write(self, text: str) -> int:
        # The escapes are also JSON's; "\n" and "\t" are kept, because they only lay out the text.
        return super().write(_OBEYED.sub(lambda m: m[0] if m[0] in "\n\t" else f"\\u{ord(m[0]):04x}", text))


@contextmanager
def escaping() -> Iterator[None]:
    """Within the block, standard output escapes control characters, and characters that its encoding lacks.

    So no text from a file can control the terminal.
    """
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper):  # stdout is closed, or the caller captures it
        yield
        return
    sys.stdout = shown = _Escaping(
        before.buffer, before.encoding, "backslashreplace", line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
    try:
        yield
    finally:
        sys.stdout = before
        with suppress(OSError):  # a full disk, or a closed pipe, has been reported
            shown.detach()
