"""Files in the safetensors format, in which models are published: written and read with the library of that name.

A file has three parts: 8 bytes that hold the length of the header; the header, a JSON text with the name, type, shape
and place of every array; and the arrays, one after the other. A file with one array of two float32 numbers has the
header {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}} and ends with these 8 bytes. Nothing in it is a
program. The library checks that shapes, places and the file's size agree.

Metadata in this format map texts to texts, so ours is one entry, "metadata", with the same JSON text as in an npz file.

`files.py` calls this module for every name that ends in `.safetensors`. Read next: `files.py`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy

from scratch.checks import ScratchError
from scratch.tools.extras import extra
from scratch.tools.npz import METADATA

_MAX_HEADER = 48 * 2**20  # bytes
_DTYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U64": "u8", "U32": "u4",
    "U16": "u2", "U8": "u1", "BOOL": "?",
}


def encoded(path: str | Path, arrays: Mapping[str, numpy.ndarray], text: str) -> bytes:
    """The content of a file with these arrays and the metadata `text`; `path` is for the messages.

    Raises: ScratchError when the library is missing, or the header would be too long to be read again.
    """
    library = extra("safetensors.numpy", f"writing {path}")
    # The library copies an array's memory as it lies; so the memory must hold the rows in order.
    content = library.save({name: numpy.asarray(a, order="C") for name, a in arrays.items()}, {METADATA: text})
    if int.from_bytes(content[:8], "little") > _MAX_HEADER:
        raise ScratchError(f"{path}: the names and metadata need a header of more than {_MAX_HEADER} bytes")
    return content


@contextmanager
def opened(path: str | Path, size: int) -> Iterator["Tensors"]:
    """Open a file of `size` bytes. Raises: ValueError, also from within the block, when it is damaged."""
    library = extra("safetensors", f"reading {path}")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(_MAX_HEADER, size - 8):
        raise ValueError(f"its header claims {length} bytes")
    try:
        with library.safe_open(path, framework="numpy") as tensors:
            yield Tensors(path, tensors)
    except library.SafetensorError as error:
        raise ValueError(str(error)) from error


class Tensors:
    """An open safetensors file, with the same four methods as `npz.Npz`."""

    def __init__(self, path: str | Path, tensors: Any) -> None:
        self.path, self.tensors = path, tensors

    def names(self) -> list[str]:
        return list(self.tensors.keys())

    def header(self, name: str) -> tuple[tuple[int, ...], numpy.dtype]:
        """The shape and dtype of an array. Raises: ScratchError for a type that NumPy lacks."""
        found = self.tensors.get_slice(name)
        if found.get_dtype() not in _DTYPES:
            hint = "convert it to float32 first (in PyTorch: tensor.float())"
            raise ScratchError(f"{self.path}: {name} is of type {found.get_dtype()}, which NumPy lacks; {hint}")
        return tuple(found.get_shape()), numpy.dtype(_DTYPES[found.get_dtype()])

    def array(self, name: str) -> numpy.ndarray:
        return self.tensors.get_tensor(name)

    def text(self) -> bytes | None:
        """The metadata, still as text; None where there are none."""
        text = (self.tensors.metadata() or {}).get(METADATA)
        return None if text is None else text.encode()
