"""CIFAR-10's files: 60,000 images of 32 by 32 pixels, in the official form for Python, the official binary one, or
as sheets: lossless pictures sheets/sNNN.webp of 500 images each, one below the other, with their order and labels in
labels.npz.
"""

import gzip
import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy

from scratch.checks import ScratchError
from scratch.tools.datasets import find
from scratch.tools.pickles import read_pickle

SIDE = 32
LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAIN, TEST = [f"data_batch_{k}" for k in range(1, 6)], "test_batch"
ENDINGS = ("", ".bin")  # of the files for Python, and of the binary ones
_PIXELS = 3 * SIDE * SIDE
_PER_SHEET = 500
_DAMAGE = (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile)
_MAX_BYTES = 64 * 2**20  # a batch has 31 MB
_MAX_ARCHIVE = 256 * 2**20  # all of them 186


class Images(NamedTuple):
    """pixels (N, 32, 32, 3), 0 to 255; labels (N,), 0 to 9; both on the host."""

    pixels: numpy.ndarray
    labels: numpy.ndarray


def load_cifar(given: Path | None) -> tuple[Images, Images]:
    """The images to learn from, and those to test on.

    `given`, or the data set's folder, is or holds cifar-10-batches-py, cifar-10-batches-bin, or an official archive; or
    it holds the sheets.
    Raises: ScratchError when there is none of these, or a file is missing, damaged, or not what it should be.
    """
    place = find("cifar10", given)
    archives = [place] if place.is_file() else sorted(place.glob("cifar-10-*.tar.gz"))
    for folder in (place, place / "cifar-10-batches-py", place / "cifar-10-batches-bin"):
        for ending in ENDINGS:
            if (folder / f"{TEST}{ending}").is_file():
                return _load(folder, _from_folder(folder, ending), ending)
    if (place / "labels.npz").is_file() and (place / "sheets").is_dir():
        return _from_sheets(place)
    if not archives:
        raise ScratchError(
            f"{place}: has neither cifar-10-batches-py nor cifar-10-batches-bin, nor an archive of one; give --data a "
            "folder that has one, or take cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"
        )
    files = _from_archive(archives[0])
    return _load(archives[0], files, ".bin" if f"{TEST}.bin" in files else "")


def _from_folder(folder: Path, ending: str) -> dict[str, bytes]:
    files = {}
    for name in (*TRAIN, TEST):
        path = folder / f"{name}{ending}"
        if path.is_file():
            if path.stat().st_size > _MAX_BYTES:
                raise ScratchError(f"{path}: is too large for a batch of CIFAR-10")
            files[path.name] = path.read_bytes()
    return files


def _from_archive(path: Path) -> dict[str, bytes]:
    """The batches in an archive, which is read, not unpacked."""
    wanted, files = {f"{name}{ending}" for name in (*TRAIN, TEST) for ending in ENDINGS}, {}
    try:
        with gzip.open(path) as packed:
            content = packed.read(_MAX_ARCHIVE + 1)
        if len(content) > _MAX_ARCHIVE:
            raise ScratchError(f"{path}: holds more than CIFAR-10 has")
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if member.size < 0:
                    raise tarfile.TarError("a file of less than nothing")
                name = Path(member.name).name
                if name in wanted and member.isfile():
                    files[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, RecursionError) as error:
        raise ScratchError(f"{path}: damaged, or not an archive ({error})") from error
    return files


def _load(place: Path, files: dict[str, bytes], ending: str) -> tuple[Images, Images]:
    missing = [name for name in (*TRAIN, TEST) if f"{name}{ending}" not in files]
    if missing:
        raise ScratchError(f"{place}: lacks {missing[0]}{ending}")
    read = _binary if ending else _pickled
    batches = {name: read(place / f"{name}{ending}", files[f"{name}{ending}"]) for name in (*TRAIN, TEST)}
    learn = Images(*(numpy.concatenate(parts) for parts in zip(*(batches[name] for name in TRAIN), strict=True)))
    return learn, batches[TEST]


def _from_sheets(folder: Path) -> tuple[Images, Images]:
    from PIL import Image  # comes with matplotlib

    try:
        with numpy.load(folder / "labels.npz", allow_pickle=False) as file:
            order, learn, test = (file[name].astype(numpy.int64) for name in ("order", "train", "test"))
        labels = numpy.concatenate([learn, test])
        right = labels.max(initial=0) < len(LABELS) and labels.min(initial=0) >= 0 and len(order) % _PER_SHEET == 0
        right = right and len(learn) > 0 and len(test) > 0
        if not right or not numpy.array_equal(numpy.sort(order), numpy.arange(len(labels))):
            raise ValueError("labels.npz does not say which image is where")
        pixels = numpy.empty((len(labels), SIDE, SIDE, 3), dtype=numpy.uint8)
        for number, start in enumerate(range(0, len(order), _PER_SHEET)):
            with Image.open(folder / "sheets" / f"s{number:03}.webp") as sheet:
                if sheet.size != (SIDE, SIDE * _PER_SHEET):
                    raise ValueError(f"sheet {number} is of {sheet.size} pixels")
                tiles = numpy.asarray(sheet.convert("RGB")).reshape(-1, SIDE, SIDE, 3)
            pixels[order[start : start + _PER_SHEET]] = tiles
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise ScratchError(f"{folder}: its sheets are damaged, or not all there ({error})") from error
    return Images(pixels[: len(learn)], learn), Images(pixels[len(learn) :], test)


def _pickled(path: Path, content: bytes) -> Images:
    batch = read_pickle(path, content)
    rows, labels = batch.get(b"data"), batch.get(b"labels")
    if not isinstance(rows, numpy.ndarray) or not isinstance(labels, list):
        raise ScratchError(f"{path}: lacks data or labels; expected a batch of CIFAR-10")
    if not all(type(label) is int and 0 <= label < len(LABELS) for label in labels):
        raise ScratchError(f"{path}: has a label outside 0 to {len(LABELS) - 1}; is it a batch of CIFAR-100?")
    return _images(path, rows, numpy.array(labels, dtype=numpy.int64))


def _binary(path: Path, content: bytes) -> Images:
    if not content or len(content) % (1 + _PIXELS):
        raise ScratchError(f"{path}: {len(content)} bytes are no whole number of images of {1 + _PIXELS}; is it cut?")
    rows = numpy.frombuffer(content, dtype=numpy.uint8).reshape(-1, 1 + _PIXELS)
    if rows[:, 0].max() >= len(LABELS):
        raise ScratchError(f"{path}: has a label outside 0 to {len(LABELS) - 1}; is it a batch of CIFAR-100?")
    return _images(path, rows[:, 1:], rows[:, 0].astype(numpy.int64))


def _images(path: Path, rows: numpy.ndarray, labels: numpy.ndarray) -> Images:
    if rows.shape != (len(labels), _PIXELS) or not len(labels):
        raise ScratchError(f"{path}: expected {len(labels)} images of {_PIXELS} bytes, got {rows.shape}; is it cut?")
    # On disk a colour's whole plane comes first; here a pixel's three colours lie together.
    return Images(numpy.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), labels)
