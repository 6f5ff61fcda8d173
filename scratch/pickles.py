"""Reading what others have pickled, without running it.

A pickle is a program: it may import any function and call it, so who opens a stranger's file with `pickle.load` runs
the stranger's code. Some data sets are published in no other form. What they hold is plain: dicts, lists, texts,
numbers, and arrays of bytes. So this reader knows those and nothing else. Where the file asks for one of the few names
by which bytes and NumPy's arrays are rebuilt, it is given a stand-in of ours; any other name is refused.

    batch = read_pickle(path, path.read_bytes())
    batch[b"data"]                     # (10000, 3072), uint8

Read next: `files.py`.
"""

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy

from scratch.backend import ScratchError

_DAMAGE = (
    pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
    RecursionError, MemoryError,
)


def read_pickle(path: str | Path, content: bytes) -> dict[Any, Any]:
    """The dict that is pickled in `content`, which came from `path`; its values are plain, or arrays of bytes.

    Raises: ScratchError when it is damaged, is no dict, or asks for anything but plain values and arrays of bytes.
    """
    try:
        for opcode, argument, _ in pickletools.genops(content):
            # The number of a place to keep a value at: memory is made for all up to it.
            if "PUT" in opcode.name and int(argument or 0) > len(content):
                raise ValueError(f"a place {argument}")
        found = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except ScratchError as error:
        raise ScratchError(f"{path}: {error}") from None
    except _DAMAGE as error:
        raise ScratchError(f"{path}: damaged, or not a pickle ({error or type(error).__name__})") from error
    if type(found) is not dict:
        raise ScratchError(f"{path}: holds a {type(found).__name__}, not a dict")
    for key, value in found.items():
        if isinstance(value, _Array):
            found[key] = value.array
    return found


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise ScratchError(f"asks for {module}.{name}: only plain values and arrays are read from a pickle")
        return known


class _Name:
    """Stands in for the class `numpy.ndarray`, which is only handed on."""


class _Type:
    """Stands in for a NumPy dtype: bytes, and no other."""

    def __init__(self, code: Any, *flags: Any) -> None:
        if code not in (b"u1", "u1"):
            raise ScratchError(f"has an array of {code!r}; only bytes are read from a pickle")

    def __setstate__(self, state: Any) -> None:
        pass  # the byte order, which a byte does not have


class _Array:
    """Stands in for a NumPy array until its state has come."""

    array = numpy.zeros(0, dtype=numpy.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, content = state
        if isinstance(content, str):
            content = content.encode("latin1")
        right = isinstance(kind, _Type) and not by_columns and isinstance(content, bytes)
        right = right and all(type(size) is int and size >= 0 for size in shape)
        if not right or math.prod(shape) != len(content):
            raise ValueError("an array is not what it claims to be")
        self.array = numpy.frombuffer(content, dtype=numpy.uint8).reshape(shape)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, _: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    return text.encode("latin1")


_STAND_INS = {
    ("_codecs", "encode"): _encode,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Name,
    ("numpy", "dtype"): _Type,
}
