"""What can be looked at: a user's pictures, filters of the first layer, the mistakes that a network is surest of."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy
from images.batches import LABELS, SIDE, Images

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.functions import softmax
from scratch.layer import Sequential

_MAX_PIXELS = 100_000_000  # of a user's picture: more would take gigabytes


def read_pictures(paths: Sequence[Path]) -> numpy.ndarray:
    """Picture files as (N, 32, 32, 3) bytes: the middle square of each, made smaller or larger; grey ones as colours.

    Raises: ScratchError for a file that is missing, not a picture, or too large.
    """
    from PIL import Image, ImageOps  # comes with matplotlib

    found = []
    for path in paths:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path) as picture:
                    if picture.width * picture.height > _MAX_PIXELS:
                        raise ScratchError(f"{path}: {picture.width} by {picture.height} pixels are too many")
                    square = ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGB"), (SIDE, SIDE))
            found.append(numpy.asarray(square))
        except FileNotFoundError:
            raise ScratchError(f"{path}: no such file") from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            if isinstance(error, ScratchError):
                raise
            raise ScratchError(f"{path}: not a picture that can be read ({error})") from error
    return numpy.stack(found)


def with_likeliest(names: Sequence[str], probabilities: numpy.ndarray, top: int) -> list[str]:
    """For each picture its name, and under it the likeliest classes with their probabilities."""
    captions = []
    for name, p in zip(names, probabilities, strict=True):
        best = numpy.argsort(-p, kind="stable")[:top]
        captions.append("\n".join([name, *(f"{LABELS[k]} {p[k]:.3f}" for k in best)]))
    return captions


def filters(model: Sequential) -> tuple[list[numpy.ndarray], list[str]]:
    """The first layer's windows as pictures, each with its numbers from 0 to 1, and a caption for each."""
    w = to_host(model.layers[0].w.data).astype(numpy.float64)  # type: ignore[attr-defined]
    low, high = w.min(axis=(1, 2, 3), keepdims=True), w.max(axis=(1, 2, 3), keepdims=True)
    pictures = (w - low) / numpy.maximum(high - low, 1e-12)
    return list(pictures), [str(k) for k in range(len(w))]


def mistakes(images: Images, scores: numpy.ndarray, count: int = 20) -> tuple[list[numpy.ndarray], list[str]]:
    """The wrong guesses that the network was surest of: the pictures, and captions for them."""
    p = to_host(softmax(to_device(scores)))
    sure, guess = p.max(axis=1), p.argmax(axis=1)
    wrong = numpy.flatnonzero(guess != images.labels)
    worst = wrong[numpy.argsort(-sure[wrong], kind="stable")][:count]
    captions = [f"{LABELS[images.labels[k]]}\ntaken for {LABELS[guess[k]]}\n{sure[k]:.3f}" for k in worst]
    return list(images.pixels[worst]), captions
