"""Files that are whole or not there: atomic writing, and arrays on disk without pickle.

A program may be killed while it writes, and a disk may be full. So a file is written under another name and takes
its own only when it is complete: until then the old one stays. Arrays are kept in NumPy's npz form (a zip of plain
arrays) beside one JSON text, and what a file claims of itself is checked before it is believed: nothing is
unpickled, nothing is unpacked, and an array is read only after its name and shape have been agreed to.

    write_arrays("w.npz", {"w": w}, {"seed": 0})
    arrays, metadata = read_arrays("w.npz")

Read next: `datasets.py`.
"""

import errno
import io
import json
import math
import os
import struct
import tokenize
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy

from scratch.checks import ScratchError

Shapes: TypeAlias = dict[str, tuple[int, ...]]

_METADATA = "metadata"
_MAX_TEXT = 16 * 2**20  # bytes
_DAMAGE = (zipfile.BadZipFile, struct.error, tokenize.TokenError, SyntaxError, EOFError, ValueError, RuntimeError)


_writes = True


def may_write() -> bool:
    """Whether this process writes files: of several that share a batch, one does."""
    return _writes


def leave_writing_to_another() -> None:
    """From now on this process writes nothing: what it would write goes nowhere."""
    global _writes
    _writes = False


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well and is removed when it raises."""
    if not may_write():
        yield io.BytesIO()
        return
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    if path.exists() and not path.is_file():
        raise ScratchError(f"{path}: not a plain file, so it cannot be written anew")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ScratchError(f"{path}: cannot be written ({error.strerror or error})") from error
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def read_lines(path: str | Path) -> list[str]:
    """The distinct lines of a text in UTF-8, stripped, without blank ones. Raises: ScratchError when there are none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScratchError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    lines = list(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))
    if not lines:
        raise ScratchError(f"{path}: is empty; expected one item a line")
    return lines


def read_json(path: str | Path, most: int = _MAX_TEXT) -> Any:
    """The JSON in `path`, of `most` bytes. Raises: ScratchError when it is missing, larger, not UTF-8 or not JSON."""
    try:
        size = os.path.getsize(path)
        if size <= most:
            return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ScratchError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, or not JSON
        raise ScratchError(f"{path}: damaged, or not JSON ({error})") from error
    raise ScratchError(f"{path}: {size} bytes are too many for a file of this kind")


def write_arrays(path: str | Path, arrays: Mapping[str, numpy.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write host arrays by name, and `metadata` as one JSON text, to an npz file: whole or not at all.

    Raises: ScratchError, and leaves what was at `path`, when there is anything that `read_arrays` would refuse.
    """
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise ScratchError(f"{path}: the metadata cannot be written as JSON ({error})") from error
    if len(text) > _MAX_TEXT:
        raise ScratchError(f"{path}: {len(text)} bytes of metadata are too many")
    for name, array in arrays.items():
        _expect_finite(path, name, array)
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in (*arrays.items(), (_METADATA, numpy.frombuffer(text, dtype=numpy.uint8))):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, numpy.asanyarray(array), allow_pickle=False)


def _expect_finite(path: str | Path, name: str, array: numpy.ndarray) -> None:
    if array.dtype.kind not in "fiub" or not numpy.isfinite(array).all():
        raise ScratchError(f"{path}: {name} holds something else than finite numbers")


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a file of `write_arrays`, without reading its arrays. Raises: as `read_arrays`."""
    with _opened(path) as archive:
        return _metadata(archive)


def read_shapes(path: str | Path) -> Shapes:
    """Names and shapes of the arrays in a file of `write_arrays`, which are not read. Raises: as `read_arrays`."""
    with _opened(path) as archive:
        return {name: _header(archive, name)[0] for name in _names(archive) if name != _METADATA}


def read_arrays(
    path: str | Path, check: Callable[[Shapes], None] | None = None
) -> tuple[dict[str, numpy.ndarray], dict[str, Any]]:
    """The arrays by name, and the metadata, of a file of `write_arrays`.

    `check` is given all names and shapes before any array is read, and may raise.

    Raises: ScratchError when the file is missing, damaged, or holds anything but numbers that are finite.
    """
    with _opened(path) as archive:
        headers = {name: _header(archive, name) for name in _names(archive) if name != _METADATA}
        if check is not None:
            check({name: shape for name, (shape, _) in headers.items()})
        arrays = {name: _read(archive, name) for name in headers}
        for name, array in arrays.items():
            _expect_finite(path, name, array)
        return arrays, _metadata(archive)


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():  # a compressed one could be far larger than the file
                if info.compress_type != zipfile.ZIP_STORED or not info.filename.endswith(".npy"):
                    raise ValueError(f"{info.filename} is not an array as this framework writes them")
            yield archive
    except ScratchError:
        raise
    except FileNotFoundError:
        raise ScratchError(f"{path}: no such file") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is how a place before the file's start is refused
            raise
        raise ScratchError(f"{path}: damaged ({error})") from error
    except _DAMAGE as error:
        raise ScratchError(f"{path}: damaged, or not an .npz file of this framework ({error})") from error


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], numpy.dtype]:
    """Shape and dtype of an array, after checking that the file has as many bytes as they need."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        version = numpy.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has array format {version}")
        read = numpy.lib.format.read_array_header_1_0 if version[0] == 1 else numpy.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject or file.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"{name} is not the plain array of shape {shape} that it claims to be")
    return shape, dtype


def _read(archive: zipfile.ZipFile, name: str) -> numpy.ndarray:
    with archive.open(f"{name}.npy") as file:
        return numpy.lib.format.read_array(file, allow_pickle=False)


def _metadata(archive: zipfile.ZipFile) -> dict[str, Any]:
    if _METADATA not in _names(archive):
        return {}
    shape, dtype = _header(archive, _METADATA)
    if len(shape) != 1 or dtype != numpy.uint8 or shape[0] > _MAX_TEXT:
        raise ValueError("the metadata is not one text")
    metadata = json.loads(_read(archive, _METADATA).tobytes().decode("utf-8"))
    if not isinstance(metadata, dict):
        raise ValueError("the metadata is not a JSON object")
    return metadata
