"""Reading other people's pickles without running their code.

A pickle is a program for a small stack machine, and some of its instructions import a function and call it. So opening
a stranger's file with `pickle.load` runs the stranger's code. Yet some data sets are published only as pickles. Their
contents are plain: dicts, lists, strings, numbers, arrays of bytes. This module implements the stack machine with only
the instructions that these need. It recognises by name the functions that rebuild bytes and NumPy arrays, and does
their work itself. It rejects any other function and any other instruction.

    batch = read_pickle(path, path.read_bytes())
    batch[b"data"]                     # (10000, 3072), uint8

Read next: `files.py`.
"""

import pickletools
import reprlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

from scratch.checks import ScratchError

_MOST = 1_000_000  # instructions; a batch of CIFAR-10 has about 60,000
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = {"BININT", "BININT1", "BININT2", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BINFLOAT"}
_NAMES = {
    "numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct", "numpy ndarray", "numpy dtype",
    "_codecs encode",  # how Python 3 pickles bytes for Python 2
}
_DAMAGE = (EOFError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class _Name(str):
    """The name of a function or class that the file asks for; nothing is imported."""


class _Array:
    """A NumPy array, which a later BUILD instruction fills with numbers."""

    array = numpy.zeros(0, dtype=numpy.uint8)


def read_pickle(path: str | Path, content: bytes) -> dict[Any, Any]:
    """The dict pickled in `content`, which was read from `path`. Its values are plain, or arrays of bytes.

    Strings of Python 2 become bytes.
    Raises: ScratchError when it is damaged, is not a dict, or asks for anything but plain values and arrays of bytes.
    """
    try:
        with warnings.catch_warnings():  # parsing a damaged string may raise a DeprecationWarning
            warnings.simplefilter("ignore", DeprecationWarning)
            found = _carry_out(content)
    except ScratchError as error:
        raise ScratchError(f"{path}: {error}") from None
    except _DAMAGE as error:
        raise ScratchError(f"{path}: damaged, or not a pickle ({reprlib.repr(str(error))})") from error
    if type(found) is not dict:
        raise ScratchError(f"{path}: holds a {type(found).__name__}, not a dict")
    return {key: value.array if isinstance(value, _Array) else value for key, value in found.items()}


def _carry_out(content: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []  # stack heights; a list, dict or tuple takes everything above the last one
    places: dict[int, Any] = {}  # the memo: values stored for reuse
    encoded = 0  # bytes converted from strings; more than the file has means that strings are reused

    def cut(start: int) -> list[Any]:
        items = stack[start:]
        del stack[start:]
        return items

    for name, given in _instructions(content):
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            stack.append(given)
        elif name in ("BINSTRING", "SHORT_BINSTRING"):
            stack.append(given.encode("latin1"))
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            places[len(places) if given is None else given] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(places[given])
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(cut(marks.pop() if name == "TUPLE" else len(stack) - int(name[-1]))))
        elif name in ("APPEND", "APPENDS"):
            items = cut(marks.pop() if name == "APPENDS" else len(stack) - 1)
            list.extend(stack[-1], items)
        elif name in ("SETITEM", "SETITEMS"):
            items = cut(marks.pop() if name == "SETITEMS" else len(stack) - 2)
            if not all(type(key) in (bytes, str) for key in items[::2]):
                raise ValueError("a key that is not a string")  # hashing nested tuples may take for ever
            dict.update(stack[-1], zip(items[::2], items[1::2], strict=True))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            wanted = given if name == "GLOBAL" else " ".join(cut(len(stack) - 2))
            if wanted not in _NAMES:
                asked = ascii(wanted[:60])[1:-1].replace(" ", ".")
                raise ScratchError(f"asks for {asked}: only plain values and arrays are read from a pickle")
            stack.append(_Name(wanted))
        elif name == "REDUCE":
            function, arguments = cut(len(stack) - 2)
            if function == "_codecs encode":
                encoded += len(arguments[0])
                if encoded > len(content):
                    raise ValueError("a string reused too often")
            stack.append(_called(function, arguments))
        elif name == "BUILD":
            (state,) = cut(len(stack) - 1)
            if isinstance(stack[-1], _Array):
                _, shape, kind, by_columns, numbers = state
                if kind is not numpy.uint8 or by_columns or type(numbers) is not bytes:
                    raise ValueError("not an array of bytes in rows")
                stack[-1].array = numpy.frombuffer(numbers, dtype=numpy.uint8).reshape(shape)
        else:
            raise ValueError(f"an instruction {name}")
    (found,) = stack
    return found


def _instructions(content: bytes) -> Iterator[tuple[str, Any]]:
    for number, (opcode, given, _) in enumerate(pickletools.genops(content)):
        if number > _MOST:
            raise ValueError("too many instructions")
        if opcode.name not in ("PROTO", "FRAME", "STOP"):
            yield opcode.name, given


def _called(function: Any, arguments: Any) -> Any:
    """The value that calling the named function would return."""
    if type(function) is _Name and function.endswith("_reconstruct"):
        return _Array()
    if type(function) is _Name and function == "_codecs encode":
        return str.encode(arguments[0], "latin1")
    if type(function) is _Name and function == "numpy dtype":
        if arguments[0] in (b"u1", "u1"):
            return numpy.uint8
        raise ScratchError(f"has an array of {reprlib.repr(arguments[0])}; only bytes are read from a pickle")
    raise ValueError("a call to a non-function")
