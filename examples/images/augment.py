"""Batches in which an image seldom comes twice alike: flipped, moved, brighter or darker, of another contrast."""

from collections.abc import Iterator

import numpy
from images.batches import SIDE, Images
from images.networks import prepared

REACH = 2  # pixels that an image is moved at most
BRIGHTER, CONTRAST = 63, (0.2, 1.8)  # TensorFlow's CIFAR-10 tutorial, cifar10_input.py


def flips(num_images: int, seed: int) -> numpy.ndarray:
    """Which images are first seen in a mirror. Then they alternate, so that in two epochs each is seen both ways.

    Source: Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.6.
    """
    return numpy.random.default_rng(seed % 2**64).random(num_images) < 0.5


def modern_batches(
    images: Images, mirrored: numpy.ndarray, batch_size: int, draw: numpy.random.Generator
) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """All images once, in random order: moved by up to 2 pixels, `mirrored` (N,) of them flipped; and their labels."""
    edge = (REACH, REACH)
    order = draw.permutation(len(images.labels))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        wide = numpy.pad(images.pixels[places], ((0, 0), edge, edge, (0, 0)), mode="reflect")
        down, right = draw.integers(0, 2 * REACH + 1, (2, len(places), 1, 1))
        one, side = numpy.arange(len(places))[:, None, None], numpy.arange(SIDE)
        pixels = wide[one, down + side[:, None], right + side]
        pixels[mirrored[places]] = pixels[mirrored[places], :, ::-1]
        yield prepared("modern", pixels), images.labels[places]


def document_batches(
    images: Images, batch_size: int, draw: numpy.random.Generator
) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """All images once, in random order: half of them flipped, brightness and contrast changed; and their labels."""
    order = draw.permutation(len(images.labels))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        pixels, num = images.pixels[places].astype(numpy.float32), len(places)
        flipped = draw.random(num) < 0.5
        pixels[flipped] = pixels[flipped, :, ::-1]
        brighter = draw.uniform(-BRIGHTER, BRIGHTER, (num, 1, 1, 1)).astype(numpy.float32)
        contrast = draw.uniform(*CONTRAST, (num, 1, 1, 1)).astype(numpy.float32)
        mean = pixels.mean(axis=(1, 2), keepdims=True)  # of each colour
        pixels -= mean
        pixels *= contrast
        pixels += mean + brighter
        # What a picture of bytes cannot hold is cut off; without that, the standardisation would undo the brightness.
        yield prepared("document", numpy.clip(pixels, 0, 255, out=pixels)), images.labels[places]
