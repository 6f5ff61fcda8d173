"""Atomic writes, and arrays on disk without pickle.

A program may be killed while it writes, and a disk may fill up. So a file is written under a temporary name, and
renamed only when it is complete; until then the old file stays in place. Arrays are stored in NumPy's npz format (a zip
of plain arrays) together with one JSON text. A file's claims are checked before they are trusted: nothing is unpickled,
no member may be larger than the file, and the caller can check all names and shapes before any array is read.

    write_arrays("w.npz", {"w": w}, {"seed": 0})
    arrays, metadata = read_arrays("w.npz")

Read next: `locks.py`.
"""

import errno
import io
import json
import math
import os
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy

from scratch.checks import ScratchError
from scratch.tools.incoming import opened, pieces, read_text

Shapes: TypeAlias = dict[str, tuple[int, ...]]

_METADATA = "metadata"
_MAX_TEXT = 16 * 2**20  # bytes
_MAX_DEPTH = 32  # of lists and objects in JSON
_MAX_ARRAYS, _MAX_NAME = 100_000, 200
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, EOFError, ValueError, RuntimeError,
    ArithmeticError,
)


_writes = True


def may_write() -> bool:
    """Whether this process writes files. Of several processes that share a batch, only one does."""
    return _writes


def leave_writing_to_another() -> None:
    """From now on, discard everything that this process would write to files."""
    global _writes
    _writes = False


_unfinished: set[Path] = set()


def remove_when_stopped(path: str | Path) -> None:
    """Let Ctrl-C remove the file at `path`, if there is one."""
    _unfinished.add(Path(path))


def remove_unfinished() -> None:
    """Remove the files that this process has not finished writing, because it is about to end."""
    for path in _unfinished:
        with suppress(OSError):
            path.unlink()


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file. It replaces `path` if the block succeeds, and is removed if the block raises."""
    if not may_write():
        yield io.BytesIO()
        return
    path = Path(os.path.realpath(path))  # replace a link's target, not the link
    if path.exists() and not path.is_file():
        raise ScratchError(f"{path}: not a plain file, so it cannot be replaced")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    remove_when_stopped(unfinished)
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
    finally:
        _unfinished.discard(unfinished)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, completely or not at all."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def read_lines(path: str | Path) -> list[str]:
    """The distinct non-blank lines of a UTF-8 file, stripped. Raises: ScratchError when there are none."""
    lines = list(dict.fromkeys(line.strip() for line in read_text(path).split("\n") if line.strip()))
    if not lines:
        raise ScratchError(f"{path}: is empty; expected one item per line")
    return lines


def read_json(path: str | Path, most: int = _MAX_TEXT) -> Any:
    """Parse a JSON file of at most `most` bytes. Raises: ScratchError if it is missing, larger, or not UTF-8 JSON."""
    try:
        with opened(path) as file:
            content = file.read(most + 1)
        if len(content) <= most:
            return parse_json("".join(pieces(io.BytesIO(content), path)))
    except ScratchError:
        raise
    except ValueError as error:
        raise ScratchError(f"{path}: damaged, or not JSON ({error})") from error
    raise ScratchError(f"{path}: larger than the {most} bytes allowed for a file of this kind")


def parse_json(content: bytes | str) -> Any:
    """Parse JSON, given as a string or as UTF-8 bytes.

    Raises: ValueError for bytes that are not UTF-8, invalid JSON, NaN or Infinity, and nesting that is too deep.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"nested more than {_MAX_DEPTH} deep") from None
    inner = [value]
    for _ in range(_MAX_DEPTH):
        lists = [item.values() if isinstance(item, dict) else item for item in inner if isinstance(item, (dict, list))]
        inner = [item for items in lists for item in items]
        if not inner:
            return value
    raise ValueError(f"nested more than {_MAX_DEPTH} deep")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a finite number")


def write_arrays(path: str | Path, arrays: Mapping[str, numpy.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write named host arrays, and `metadata` as one JSON text, to an npz file, completely or not at all.

    Raises: ScratchError for anything that `read_arrays` would reject; the old file is then kept.
    """
    try:
        text = json.dumps(metadata, allow_nan=False).encode()  # in ASCII: a file name in it need not be UTF-8
        parse_json(text)
    except (TypeError, ValueError) as error:
        raise ScratchError(f"{path}: the metadata cannot be written as JSON ({error})") from error
    if len(text) > _MAX_TEXT:
        raise ScratchError(f"{path}: {len(text)} bytes of metadata are too many")
    if len(arrays) >= _MAX_ARRAYS:
        raise ScratchError(f"{path}: {len(arrays)} arrays are too many")
    for name, array in arrays.items():
        if not _is_name(f"{name}.npy") or name == _METADATA:
            raise ScratchError(f"{path}: {name[:40]!a} cannot be the name of an array")
        _expect_finite(path, name, array)
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in (*arrays.items(), (_METADATA, numpy.frombuffer(text, dtype=numpy.uint8))):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, numpy.asanyarray(array), allow_pickle=False)


def _expect_finite(path: str | Path, name: str, array: numpy.ndarray) -> None:
    if not _is_plain(array.dtype) or not numpy.isfinite(array).all():
        raise ScratchError(f"{path}: {name} holds values that are not finite numbers")


def _is_name(member: str) -> bool:
    return member.endswith(".npy") and member.isprintable() and len(member) <= _MAX_NAME


def _is_plain(dtype: numpy.dtype) -> bool:
    return dtype.kind in "fiub" and dtype.itemsize <= 8


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a file written by `write_arrays`; its arrays are not read. Raises: as `read_arrays`."""
    with _opened(path) as archive:
        return _metadata(archive)


def read_shapes(path: str | Path) -> Shapes:
    """The names and shapes of the arrays in a file, without reading them. Raises: as `read_arrays`."""
    with _opened(path) as archive:
        return {name: _header(archive, name)[0] for name in _names(archive) if name != _METADATA}


def read_arrays(
    path: str | Path, check: Callable[[Shapes], None] | None = None
) -> tuple[dict[str, numpy.ndarray], dict[str, Any]]:
    """Read a file written by `write_arrays`: its arrays by name, and its metadata.

    `check` receives all names and shapes before any array is read, and may raise to reject them.

    Raises: ScratchError when the file is missing, damaged, or holds anything but finite numbers.
    """
    with _opened(path) as archive:
        headers = {name: _header(archive, name) for name in _names(archive) if name != _METADATA}
        if check is not None:
            check({name: shape for name, (shape, _) in headers.items()})
        arrays = {name: _read(archive, name) for name in headers}
        for name, array in arrays.items():
            _expect_finite(path, name, array)
        return arrays, _metadata(archive)


def read_packed(path: str | Path, names: Sequence[str], most: int) -> list[numpy.ndarray]:
    """The arrays `names` of an npz file, which may be compressed and may hold other arrays.

    Raises: ScratchError when it is missing, damaged, lacks one of them, or unpacks to more than `most` bytes.
    """
    with _opened(path, most) as archive:
        if missing := [name for name in names if name not in _names(archive)]:
            raise ValueError(f"{missing[0]} is missing")
        arrays = [_read(archive, name) for name in names if _header(archive, name)]
        for name, array in zip(names, arrays, strict=True):
            _expect_finite(path, name, array)
        return arrays


@contextmanager
def _opened(path: str | Path, most_unpacked: int | None = None) -> Iterator[zipfile.ZipFile]:
    try:
        size = os.path.getsize(path)
        with zipfile.ZipFile(path) as archive:
            _check_claims(archive.infolist(), size, most_unpacked)
            yield archive
    except ScratchError:
        raise
    except FileNotFoundError:
        raise ScratchError(f"{path}: no such file") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: a damaged archive pointed before the start of the file
            raise
        raise ScratchError(f"{path}: damaged ({error})") from error
    except _DAMAGE as error:
        cause = str(error)[:200]
        raise ScratchError(f"{path}: damaged, or not an .npz file written by this framework ({cause})") from error


def _check_claims(members: Sequence[zipfile.ZipInfo], size: int, most_unpacked: int | None) -> None:
    """Raise ValueError unless the members have valid names and fit into a file of `size` bytes."""
    if len(members) > _MAX_ARRAYS or len({member.filename for member in members}) < len(members):
        raise ValueError(f"more than {_MAX_ARRAYS} arrays, or two of the same name")
    allowed = (zipfile.ZIP_STORED,) if most_unpacked is None else (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for member in members:
        name = member.filename
        if not _is_name(name):
            raise ValueError(f"{name[:40]!a} is not the name of an array")
        if member.compress_type not in allowed:  # a compressed array could be far larger than the file
            raise ValueError(f"{name} is not an array written by this framework")
        if member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size:
            raise ValueError(f"{name} claims two sizes")
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its arrays claim more bytes than the file has")
    if most_unpacked is not None and sum(member.file_size for member in members) > most_unpacked:
        raise ValueError(f"unpacks to more than {most_unpacked} bytes")


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], numpy.dtype]:
    """The shape and dtype of an array, after checking that the file holds exactly as many bytes as they need."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        version = numpy.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has the unknown array format {version}")
        read = numpy.lib.format.read_array_header_1_0 if version[0] == 1 else numpy.lib.format.read_array_header_2_0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # NumPy only warns about a header written by Python 2
                shape, _, dtype = read(file)
        except (Warning, LookupError, TypeError, AttributeError, MemoryError):  # MemoryError: on deeply nested brackets
            raise ValueError(f"{name} has a damaged or unsupported header") from None
        right = _is_plain(dtype) and all(type(size) is int and size >= 0 for size in shape)
        if not right or file.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
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
        raise ValueError("the metadata is not a text of allowed size")
    metadata = parse_json(_read(archive, _METADATA).tobytes())
    if not isinstance(metadata, dict):
        raise ValueError("the metadata is not a JSON object")
    return metadata
