"""CIFAR-10's files: 60,000 images of 32×32 pixels, as the official Python or binary version, or as sheets.

A sheet, sheets/sNNN.webp, is one lossless picture of 500 images, one below the other; labels.npz holds their order and
labels.
"""

import gzip
import hashlib
import io
import tarfile
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy

from scratch.checks import ScratchError
from scratch.tools.datasets import TrainedOn, find
from scratch.tools.files import read_packed
from scratch.tools.history import progress
from scratch.tools.pickles import read_pickle

SIDE = 32
LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAIN, TEST = [f"data_batch_{k}" for k in range(1, 6)], "test_batch"
ENDINGS = ("", ".bin")  # of the files of the Python version, and of the binary one
_PIXELS = 3 * SIDE * SIDE
_PER_SHEET = 500
_DAMAGE = (OSError, EOFError, ValueError, SyntaxError)  # raised for damaged images
_MAX_BYTES = 64 * 2**20  # a batch has 31 MB
_MAX_ARCHIVE = 256 * 2**20  # bytes when unpacked; the official archives have 186 MB


class Images(NamedTuple):
    """pixels (N, 32, 32, 3), 0 to 255; labels (N,), 0 to 9; both on the host."""

    pixels: numpy.ndarray
    labels: numpy.ndarray

    def digest(self) -> str:
        """The SHA-256 of the pixels and labels."""
        return hashlib.sha256(self.pixels.tobytes() + self.labels.tobytes()).hexdigest()


def load_cifar(given: Path | None) -> tuple[Images, Images]:
    """The training set and the test set.

    `given`, or the data set's folder, is or contains cifar-10-batches-py, cifar-10-batches-bin or an official archive;
    or it contains the sheets.
    Raises: ScratchError when it is none of these, or a file is missing, damaged or of another kind.
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
            "folder that has one, or download cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"
        )
    files = _from_archive(archives[0])
    return _load(archives[0], files, ".bin" if f"{TEST}.bin" in files else "")


def load_test(origin: TrainedOn) -> Images:
    """The test set."""
    _, test = load_cifar(origin.place)
    origin.expect(test.digest())
    return test


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
    """The batches in an archive, which is not unpacked to disk."""
    wanted, files = {f"{name}{ending}" for name in (*TRAIN, TEST) for ending in ENDINGS}, {}
    try:
        with gzip.open(path) as packed:
            content = packed.read(_MAX_ARCHIVE + 1)
        if len(content) > _MAX_ARCHIVE:
            raise ScratchError(f"{path}: is too large for an archive of CIFAR-10")
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if member.size < 0:
                    raise tarfile.TarError("a file of negative size")
                name = Path(member.name).name
                if name in wanted and member.isfile():
                    files[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, RecursionError) as error:
        raise ScratchError(f"{path}: damaged, or not an archive ({error})") from error
    return files


def _load(place: Path, files: dict[str, bytes], ending: str) -> tuple[Images, Images]:
    missing = [name for name in (*TRAIN, TEST) if f"{name}{ending}" not in files]
    if missing:
        raise ScratchError(f"{place}: contains no {missing[0]}{ending}")
    read = _binary if ending else _pickled
    batches = {name: read(place / f"{name}{ending}", files[f"{name}{ending}"]) for name in (*TRAIN, TEST)}
    training = Images(*(numpy.concatenate(parts) for parts in zip(*(batches[name] for name in TRAIN), strict=True)))
    return training, batches[TEST]


def _from_sheets(folder: Path) -> tuple[Images, Images]:
    from PIL import Image  # comes with matplotlib

    try:
        arrays = read_packed(folder / "labels.npz", ("order", "train", "test"), _MAX_BYTES)
        if any(array.ndim != 1 or array.dtype.kind not in "iu" for array in arrays):
            raise ValueError("labels.npz holds an array that is not a list of whole numbers")
        order, training, test = (array.astype(numpy.int64) for array in arrays)
        labels = numpy.concatenate([training, test])
        right = labels.max(initial=0) < len(LABELS) and labels.min(initial=0) >= 0 and len(order) % _PER_SHEET == 0
        right = right and len(training) > 0 and len(test) > 0
        if not right or not numpy.array_equal(numpy.sort(order), numpy.arange(len(labels))):
            raise ValueError("labels.npz lacks the place or the label of an image")
        pixels = numpy.empty((len(labels), SIDE, SIDE, 3), dtype=numpy.uint8)
        for number, start in enumerate(progress(range(0, len(order), _PER_SHEET), "reading")):
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an image that is too large may cause only a warning
                with Image.open(folder / "sheets" / f"s{number:03}.webp", formats=["WEBP"]) as sheet:
                    if sheet.size != (SIDE, SIDE * _PER_SHEET):
                        raise ValueError(f"sheet {number} has {sheet.size} pixels")
                    tiles = numpy.asarray(sheet.convert("RGB")).reshape(-1, SIDE, SIDE, 3)
            pixels[order[start : start + _PER_SHEET]] = tiles
    except ScratchError:
        raise
    except (*_DAMAGE, Warning, Image.DecompressionBombError) as error:
        raise ScratchError(f"{folder}: its sheets or labels are damaged or incomplete ({error})") from error
    return Images(pixels[: len(training)], training), Images(pixels[len(training) :], test)


def _pickled(path: Path, content: bytes) -> Images:
    batch = read_pickle(path, content)
    rows, labels = batch.get(b"data"), batch.get(b"labels")
    if not isinstance(rows, numpy.ndarray) or not isinstance(labels, list):
        raise ScratchError(f"{path}: has no data or no labels; expected a batch of CIFAR-10")
    if not all(type(label) is int and 0 <= label < len(LABELS) for label in labels):
        raise ScratchError(f"{path}: has a label outside 0 to {len(LABELS) - 1}; is it a batch of CIFAR-100?")
    return _images(path, rows, numpy.array(labels, dtype=numpy.int64))


def _binary(path: Path, content: bytes) -> Images:
    if not content or len(content) % (1 + _PIXELS):
        raise ScratchError(f"{path}: {len(content)} bytes, not a multiple of {1 + _PIXELS}; is it complete?")
    rows = numpy.frombuffer(content, dtype=numpy.uint8).reshape(-1, 1 + _PIXELS)
    if rows[:, 0].max() >= len(LABELS):
        raise ScratchError(f"{path}: has a label outside 0 to {len(LABELS) - 1}; is it a batch of CIFAR-100?")
    return _images(path, rows[:, 1:], rows[:, 0].astype(numpy.int64))


def _images(path: Path, rows: numpy.ndarray, labels: numpy.ndarray) -> Images:
    if rows.shape != (len(labels), _PIXELS) or not len(labels):
        raise ScratchError(
            f"{path}: expected {len(labels)} images of {_PIXELS} bytes, got {rows.shape}; is it complete?"
        )
    # On disk the colours are three planes, one after the other; here they are the last axis.
    return Images(numpy.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), labels)
