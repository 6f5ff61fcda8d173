"""Files in NumPy's npz format: a zip of plain arrays, of which nothing is believed before it is checked.

An archive has the member "w.npy" for the array w; its header gives shape and dtype, and then come its bytes. The member
"metadata.npy" holds a JSON text, as an array of bytes. An archive may claim that a member of a few bytes unpacks to
gigabytes, or that an array is a Python object to be unpickled. Here both are refused before anything is read.

`files.py` calls this module for every name but those that end in `.safetensors`. Read next: `tensors.py`.
"""

import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy

METADATA = "metadata"  # the name of the member that holds the metadata
MAX_TEXT = 16 * 2**20  # bytes


def write(file: BinaryIO, arrays: Mapping[str, numpy.ndarray]) -> None:
    """Write an archive of these arrays, without compression."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, numpy.asanyarray(array), allow_pickle=False)


def is_plain(dtype: numpy.dtype) -> bool:
    """Whether arrays of this type hold plain numbers or booleans."""
    return dtype.kind in "fiub" and dtype.itemsize <= 8


@contextmanager
def opened(path: str | Path, size: int, most_unpacked: int | None = None) -> Iterator["Npz"]:
    """Open a file of `size` bytes, which may be compressed if a number of bytes is given that it may unpack to.

    Raises: ValueError, or an error of `zipfile`, when it is damaged.
    """
    with Npz(path) as archive:
        _check_claims(archive.infolist(), size, most_unpacked)
        yield archive


def _check_claims(members: Sequence[zipfile.ZipInfo], size: int, most_unpacked: int | None) -> None:
    """Raise ValueError unless the members are distinct and fit into a file of `size` bytes."""
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two of its members have the same name")
    allowed = (zipfile.ZIP_STORED,) if most_unpacked is None else (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for member in members:
        name = member.filename
        if not name.endswith(".npy"):
            raise ValueError(f"{name[:40]!a} is not the name of an array")
        if member.compress_type not in allowed:  # a compressed array could be far larger than the file
            raise ValueError(f"{name} is not an array written by this framework")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise ValueError(f"{name} has two different sizes")
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its arrays claim more bytes than the file has")
    if most_unpacked is not None and sum(member.file_size for member in members) > most_unpacked:
        raise ValueError(f"unpacks to more than {most_unpacked} bytes")


class Npz(zipfile.ZipFile):
    """An open npz file. `tensors.Tensors` has the same four methods."""

    def names(self) -> list[str]:
        return [name.removesuffix(".npy") for name in self.namelist() if name != f"{METADATA}.npy"]

    def header(self, name: str) -> tuple[tuple[int, ...], numpy.dtype]:
        """The shape and dtype of an array, after checking that the file holds exactly as many bytes as they need."""
        info = self.getinfo(f"{name}.npy")
        with self.open(info) as file:
            version = numpy.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"{name} has the unknown array format {version}")
            read = numpy.lib.format.read_array_header_1_0 if version[0] == 1 else numpy.lib.format.read_array_header_2_0
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # NumPy only warns about a header written by Python 2
                    shape, _, dtype = read(file)
            except (Warning, LookupError, TypeError, AttributeError, MemoryError):  # MemoryError: on nested brackets
                raise ValueError(f"{name} has a damaged or unsupported header") from None
            right = is_plain(dtype) and all(type(size) is int and size >= 0 for size in shape)
            if not right or file.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
                raise ValueError(f"{name} is not the plain array of shape {shape} that it claims to be")
        return shape, dtype

    def array(self, name: str) -> numpy.ndarray:
        with self.open(f"{name}.npy") as file:
            return numpy.lib.format.read_array(file, allow_pickle=False)

    def text(self) -> bytes | None:
        """The metadata, still as text; None where there are none."""
        if f"{METADATA}.npy" not in self.namelist():
            return None
        shape, dtype = self.header(METADATA)
        if len(shape) != 1 or dtype != numpy.uint8 or shape[0] > MAX_TEXT:
            raise ValueError("the metadata is not text, or is too long")
        return self.array(METADATA).tobytes()
