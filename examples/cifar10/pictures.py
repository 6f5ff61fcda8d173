"""Images to look at: the user's own, the filters of the first layer, the network's most confident mistakes."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy
from cifar10.batches import LABELS, SIDE, Images

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.functions import softmax
from scratch.layer import Layer
from scratch.tools.history import progress

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")  # Pillow would start Ghostscript for an EPS file
_MAX_PIXELS = 100_000_000  # of a user's image; more would need gigabytes of memory
_MAX_BYTES = 2**28  # of its file


def read_pictures(paths: Sequence[Path]) -> numpy.ndarray:
    """Image files as bytes (N, 32, 32, 3): the middle square of each, resized; grey ones are converted to colour.

    Raises: ScratchError for a file that is missing, not an image in one of _FORMATS, or too large.
    """
    from PIL import Image, ImageOps  # comes with matplotlib

    found = []
    for path in progress(paths, "reading"):
        try:
            with open(path, "rb") as file:
                content = file.read(_MAX_BYTES + 1)  # Pillow itself would read as many bytes as a damaged file claims
            if len(content) > _MAX_BYTES:
                raise ScratchError(f"{path}: larger than the {_MAX_BYTES} bytes allowed for an image")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about large images, and damaged ones that can still be read
                with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                    if picture.width * picture.height > _MAX_PIXELS:
                        raise ScratchError(f"{path}: {picture.width} by {picture.height} pixels are too many")
                    square = ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGB"), (SIDE, SIDE))
            found.append(numpy.asarray(square))
        except FileNotFoundError:
            raise ScratchError(f"{path}: no such file") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, ScratchError):
                raise
            raise ScratchError(f"{path}: damaged, or not a PNG, JPEG, GIF, BMP or WebP image") from error
    return numpy.stack(found)


def with_likeliest(
    names: Sequence[str], probabilities: numpy.ndarray, top: int, truth: numpy.ndarray | None = None
) -> list[str]:
    """A caption for each image: its name, then its `top` likeliest classes with their probabilities (N, 10).

    With the `truth` (N,), a mark says whether the likeliest class is the right one.
    """
    captions = []
    for place, (name, p) in enumerate(zip(names, probabilities, strict=True)):
        best = numpy.argsort(-p, kind="stable")[:top]
        mark = "" if truth is None else "✓ " if best[0] == truth[place] else "✗ "
        captions.append(f"{name}\n{mark}" + "\n".join(f"{LABELS[k]} {p[k]:.1%}" for k in best))
    return captions


def filters(model: Layer) -> tuple[list[numpy.ndarray], list[str]]:
    """The weights of each filter of the first layer as an image, scaled to 0 .. 1; and their numbers as captions."""
    w = to_host(model.layers[0].w.data).astype(numpy.float64)  # type: ignore[attr-defined]
    low, high = w.min(axis=(1, 2, 3), keepdims=True), w.max(axis=(1, 2, 3), keepdims=True)
    pictures = (w - low) / numpy.maximum(high - low, 1e-12)
    return list(pictures), [str(k) for k in range(len(w))]


def mistakes(images: Images, scores: numpy.ndarray, count: int = 20) -> tuple[list[numpy.ndarray], list[str]]:
    """The `count` misclassified images with the highest probability for the wrong class, and their captions."""
    p = to_host(softmax(to_device(scores)))
    sure, guess = p.max(axis=1), p.argmax(axis=1)
    wrong = numpy.flatnonzero(guess != images.labels)
    worst = wrong[numpy.argsort(-sure[wrong], kind="stable")][:count]
    captions = [f"true class: {LABELS[images.labels[k]]}\n✗ {LABELS[guess[k]]} {sure[k]:.1%}" for k in worst]
    return list(images.pixels[worst]), captions
