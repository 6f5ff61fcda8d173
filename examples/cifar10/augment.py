"""From bytes to the inputs of a network, and training batches in which an image is rarely seen twice alike.

A byte of 0 to 255 becomes a number of about -2 to 2. Training images are also flipped, and then shifted (`modern`), or
changed in brightness and contrast (`document`).
"""

from collections.abc import Iterator

import numpy
from cifar10.batches import SIDE, Images

# Of red, green and blue over all training images, on a scale from 0 to 1.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
REACH = 2  # pixels by which an image is shifted at most
BRIGHTER, CONTRAST = 63, (0.2, 1.8)  # TensorFlow's CIFAR-10 tutorial, cifar10_input.py


def prepared(recipe: str, pixels: numpy.ndarray) -> numpy.ndarray:
    """Bytes (N, H, W, 3) as the floats that the network of `recipe` takes, on the host."""
    return (standardised_each if recipe == "document" else standardised)(pixels)


def standardised(pixels: numpy.ndarray) -> numpy.ndarray:
    """Bytes (N, H, W, 3) as floats; each colour has mean 0 and variance 1 over the training images."""
    scale = 1 / (255 * numpy.array(DEVIATION, dtype=numpy.float32))
    shift = numpy.array(MEAN, dtype=numpy.float32) / numpy.array(DEVIATION, dtype=numpy.float32)
    return pixels * scale - shift


def standardised_each(pixels: numpy.ndarray) -> numpy.ndarray:
    """Bytes (N, H, W, 3) as floats; each image has mean 0 and variance 1."""
    values = pixels.astype(numpy.float32)
    values -= values.mean(axis=(1, 2, 3), keepdims=True)
    # The lower limit keeps an image of a single colour, which has no variance, from being divided by zero.
    values /= numpy.maximum(values.std(axis=(1, 2, 3), keepdims=True), 1 / numpy.sqrt(values[0].size))
    return values


def flips(num_images: int, seed: int) -> numpy.ndarray:
    """Which images are mirrored in the first epoch. They alternate from then on: in two epochs each is seen both ways.

    Source: Jordan 2024, https://arxiv.org/abs/2404.00498, section 3.6.
    """
    return numpy.random.default_rng(seed % 2**64).random(num_images) < 0.5


def modern_batches(
    images: Images, mirrored: numpy.ndarray, batch_size: int, draw: numpy.random.Generator
) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """All images once, in random order, with labels: shifted by up to 2 pixels, and flipped where `mirrored` (N,)."""
    edge = (REACH, REACH)
    order = draw.permutation(len(images.labels))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        wide = numpy.pad(images.pixels[places], ((0, 0), edge, edge, (0, 0)), mode="reflect")
        down, right = draw.integers(0, 2 * REACH + 1, (2, len(places), 1, 1))
        rows, side = numpy.arange(len(places))[:, None, None], numpy.arange(SIDE)
        pixels = wide[rows, down + side[:, None], right + side]
        pixels[mirrored[places]] = pixels[mirrored[places], :, ::-1]
        yield prepared("modern", pixels), images.labels[places]


def document_batches(
    images: Images, batch_size: int, draw: numpy.random.Generator
) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """All images once, in random order, with labels: half of them flipped, brightness and contrast changed."""
    order = draw.permutation(len(images.labels))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        pixels, num = images.pixels[places].astype(numpy.float32), len(places)
        flipped = draw.random(num) < 0.5
        pixels[flipped] = pixels[flipped, :, ::-1]
        brighter = draw.uniform(-BRIGHTER, BRIGHTER, (num, 1, 1, 1)).astype(numpy.float32)
        contrast = draw.uniform(*CONTRAST, (num, 1, 1, 1)).astype(numpy.float32)
        mean = pixels.mean(axis=(1, 2), keepdims=True)  # of each colour
        pixels = (pixels - mean) * contrast + (mean + brighter)
        # Clipping to 0 .. 255, as a byte would, makes brightness matter: standardising alone would undo it.
        yield prepared("document", numpy.clip(pixels, 0, 255)), images.labels[places]
