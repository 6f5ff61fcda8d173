"""Atomic writes, and arrays on disk without pickle.

A program may be killed while it writes, and a disk may fill up. So a file is written under a temporary name, and
renamed only when it is complete; until then the old file stays in place. Arrays are stored in NumPy's npz format (a zip
of plain arrays) together with one JSON text. A file's claims are checked before they are trusted: nothing is unpickled,
no member may be larger than the file, and the caller can check all names and shapes before any array is read.

    write_arrays("w.npz", {"w": w}, {"seed": 0})
    arrays, metadata = read_arrays("w.npz")

A name that ends in `.safetensors` chooses that format instead. `npz.py` and `tensors.py` have the two formats.

Read next: `locks.py`.
"""

import errno
import io
import json
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy

from scratch.checks import ScratchError
from scratch.tools import npz, tensors
from scratch.tools.incoming import opened, pieces, read_text
from scratch.tools.npz import MAX_TEXT

Shapes: TypeAlias = dict[str, tuple[int, ...]]

FORMS = (".npz", ".safetensors")  # the endings of files of arrays
_MAX_DEPTH = 32  # of lists and objects in JSON
_MAX_ARRAYS, _MAX_NAME = 100_000, 200
_KINDS = {".npz": "an .npz file written by this framework", ".safetensors": "a .safetensors file"}
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
        raise ScratchError(f"{path}: not a regular file, so it cannot be replaced")
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


def read_json(path: str | Path, most: int = MAX_TEXT) -> Any:
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
    """Write named host arrays, and `metadata` as one JSON text, completely or not at all.

    Raises: ScratchError for anything that `read_arrays` would reject; the old file is then kept.
    """
    try:
        text = json.dumps(metadata, allow_nan=False).encode()  # in ASCII: a file name in it need not be UTF-8
        parse_json(text)
    except (TypeError, ValueError) as error:
        raise ScratchError(f"{path}: the metadata cannot be written as JSON ({error})") from error
    if len(text) > MAX_TEXT:
        raise ScratchError(f"{path}: {len(text)} bytes are too many for the metadata")
    if len(arrays) >= _MAX_ARRAYS:
        raise ScratchError(f"{path}: {len(arrays)} arrays are too many")
    for name, array in arrays.items():
        if not _is_name(name) or name in (npz.METADATA, "__metadata__"):  # each format has a name of its own for it
            raise ScratchError(f"{path}: {name[:40]!a} cannot be the name of an array")
        _expect_finite(path, name, array)
    if Path(path).suffix == ".safetensors":
        content = tensors.encoded(path, arrays, text.decode())
        with replacing(path) as file:
            file.write(content)
        return
    with replacing(path) as file:
        npz.write(file, {**arrays, npz.METADATA: numpy.frombuffer(text, dtype=numpy.uint8)})


def _expect_finite(path: str | Path, name: str, array: numpy.ndarray) -> None:
    if not npz.is_plain(array.dtype) or not numpy.isfinite(array).all():
        raise ScratchError(f"{path}: {name} contains values that are not finite numbers")


def _is_name(name: str) -> bool:
    return name.isprintable() and len(name) <= _MAX_NAME


def read_metadata(path: str | Path) -> dict[str, Any]:
    """The metadata of a file written by `write_arrays`; its arrays are not read. Raises: as `read_arrays`."""
    with _opened(path) as file:
        return _metadata(file)


def read_shapes(path: str | Path) -> Shapes:
    """The names and shapes of the arrays in a file, without reading them. Raises: as `read_arrays`."""
    with _opened(path) as file:
        return {name: file.header(name)[0] for name in file.names()}


def read_arrays(
    path: str | Path, check: Callable[[Shapes], None] | None = None
) -> tuple[dict[str, numpy.ndarray], dict[str, Any]]:
    """Read a file written by `write_arrays`: its arrays by name, and its metadata.

    `check` receives all names and shapes before any array is read, and may raise to reject them.

    Raises: ScratchError when the file is missing, damaged, or holds anything but finite numbers.
    """
    with _opened(path) as file:
        shapes = {name: file.header(name)[0] for name in file.names()}
        if check is not None:
            check(shapes)
        arrays = {name: file.array(name) for name in shapes}
        for name, array in arrays.items():
            _expect_finite(path, name, array)
        return arrays, _metadata(file)


def read_packed(path: str | Path, names: Sequence[str], most: int) -> list[numpy.ndarray]:
    """The arrays `names` of an npz file, which may be compressed and may hold other arrays.

    Raises: ScratchError when it is missing, damaged, lacks one of them, or unpacks to more than `most` bytes.
    """
    with _opened(path, most) as file:
        if missing := [name for name in names if name not in file.names()]:
            raise ValueError(f"{missing[0]} is missing")
        arrays = [file.array(name) for name in names if file.header(name)]
        for name, array in zip(names, arrays, strict=True):
            _expect_finite(path, name, array)
        return arrays


@contextmanager
def _opened(path: str | Path, most_unpacked: int | None = None) -> Iterator[npz.Npz | tensors.Tensors]:
    form = ".safetensors" if Path(path).suffix == ".safetensors" else ".npz"
    try:
        size = os.path.getsize(path)
        with tensors.opened(path, size) if form == ".safetensors" else npz.opened(path, size, most_unpacked) as file:
            names = file.names()
            if len(names) > _MAX_ARRAYS:
                raise ValueError(f"more than {_MAX_ARRAYS} arrays")
            if bad := [name for name in names if not _is_name(name)]:
                raise ValueError(f"{bad[0][:40]!a} is not the name of an array")
            yield file
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
        raise ScratchError(f"{path}: damaged, or not {_KINDS[form]} ({cause})") from error


def _metadata(file: npz.Npz | tensors.Tensors) -> dict[str, Any]:
    text = file.text()
    metadata = {} if text is None else parse_json(text)
    if not isinstance(metadata, dict):
        raise ValueError("the metadata is not a JSON object")
    return metadata
