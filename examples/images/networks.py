"""The two networks for CIFAR-10, and what a picture is made into before it comes to them.

`document` is what its text says of it: convolutions of 3 by 3, pools, a softmax. `modern` is after Keller Jordan's
"94% on CIFAR-10 in 3.29 seconds on a single GPU" (https://arxiv.org/abs/2404.00498, section 3 and appendix A): the
weights of its first layer are not learned but computed from the images, so that what it sees of neighbouring pixels is
uncorrelated.
"""

from typing import Any

import numpy

from scratch.activations import Gelu, Relu
from scratch.backend import Array, as_floats, to_device, to_host
from scratch.convolution import Conv2d
from scratch.dense import Flatten, Linear
from scratch.initial import generator
from scratch.layer import Layer, Sequential
from scratch.pooling import AveragePool2d, MaxPool2d
from scratch.regular import BatchNorm, Dropout

WIDTHS = {"document": (64, 128, 256, 256), "modern": (64, 256, 256)}
# Of all training images, red, green and blue, 0 to 1.
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_NOISE = 5e-4  # variance of what is too small to be blown up


class Scale(Layer):
    """Multiplies by a number: y = factor x. Scores begin small, and the layer below learns with small steps."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, input: Any) -> Array:
        output = as_floats(input) * self.factor
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> Array:
        self.recall(gradient)
        return gradient * self.factor


def build(recipe: str, widths: tuple[int, ...]) -> Sequential:
    """The network of a recipe, with so many features in each of its convolutions (or, modern, its blocks)."""
    return (_document if recipe == "document" else _modern)(widths)


def _document(widths: tuple[int, ...], dropout: float = 0.3) -> Sequential:
    layers: list[Layer] = []
    before = 3
    for k, width in enumerate(widths):
        layers += [
            Conv2d(before, width, 3, "same", bias=False, input_gradient=k > 0), BatchNorm(width), Relu(),
        ]
        if k < 2:
            layers.append(MaxPool2d(2))
        before = width
    return Sequential([*layers, AveragePool2d(4), Flatten(), Dropout(dropout), Linear(4 * before, 10)])


def _modern(widths: tuple[int, ...]) -> Sequential:
    patches = Conv2d(3, 24, 2, input_gradient=False)
    patches.w.fixed = True  # `whiten` sets it
    layers, before = [patches, Gelu()], 24
    for width in widths:
        for k in range(2):
            layers.append(_conv_like_identity(before, width))
            if k == 0:
                layers.append(MaxPool2d(2))
            norm = BatchNorm(width, momentum=0.6, epsilon=1e-12)
            norm.w.fixed = True  # the layer after it has a scale of its own
            layers += [norm, Gelu()]
            before = width
    return Sequential([*layers, MaxPool2d(3), Flatten(), Linear(before, 10), Scale(1 / 9)])


def _conv_like_identity(input_dim: int, output_dim: int) -> Conv2d:
    """A convolution whose first outputs are its inputs, as they are; the others begin at random."""
    conv = Conv2d(input_dim, output_dim, 3, "same", bias=False)
    w = generator().uniform(-1, 1, conv.w.data.shape) / numpy.sqrt(9 * input_dim)
    same = range(min(input_dim, output_dim))
    w[same] = 0
    w[same, 1, 1, same] = 1
    conv.w.data[...] = to_device(w)
    return conv


def whiten(model: Sequential, images: numpy.ndarray) -> None:
    """Set the first layer of a modern network so that its first 12 features of `images` are nearly uncorrelated.

    Each is a direction in which patches of 2 by 2 pixels vary, scaled to one variance; the others are opposites,
    since a Gelu lets only one side through. Shapes: images (N, H, W, 3), standardised, on the host.
    """
    windows = numpy.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))  # (N, H - 1, W - 1, 3, 2, 2)
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12).astype(numpy.float64)
    variances, directions = numpy.linalg.eigh(patches.T @ patches / len(patches))
    directions = directions.T[::-1] / numpy.sqrt(variances[::-1, None] + _NOISE)
    # A direction is as good as its opposite, and which of them comes is the library's choice.
    directions *= numpy.sign(directions.sum(axis=1, keepdims=True))
    w = numpy.concatenate([directions, -directions]).reshape(24, 2, 2, 3)
    model.layers[0].w.data[...] = to_device(w)  # type: ignore[attr-defined]


def standardised(pixels: numpy.ndarray) -> numpy.ndarray:
    """Bytes (N, H, W, 3) as floats whose colours have mean 0 and variance 1 over the training images."""
    scale = 1 / (255 * numpy.array(DEVIATION, dtype=numpy.float32))
    shift = numpy.array(MEAN, dtype=numpy.float32) / numpy.array(DEVIATION, dtype=numpy.float32)
    return pixels * scale - shift


def standardised_each(pixels: numpy.ndarray) -> numpy.ndarray:
    """Images (N, H, W, 3), each by itself with mean 0 and variance 1."""
    values = pixels.astype(numpy.float32)
    values -= values.mean(axis=(1, 2, 3), keepdims=True)
    # An image of one colour has no variance: it is not blown up.
    values /= numpy.maximum(values.std(axis=(1, 2, 3), keepdims=True), 1 / numpy.sqrt(values[0].size))
    return values


def prepared(recipe: str, pixels: numpy.ndarray) -> numpy.ndarray:
    """Pictures, bytes (N, H, W, 3), as the network of `recipe` wants them: floats on the host."""
    return (standardised_each if recipe == "document" else standardised)(pixels)


def scores(
    model: Layer, recipe: str, pixels: numpy.ndarray, batch_size: int = 500, views: bool = True
) -> numpy.ndarray:
    """The scores of each class for each picture, (N, 10), on the host.

    With `views` a modern network sees each picture as it is, and moved by a pixel up to the left and down to the right,
    each of them also as in a mirror, and the scores are a mean. (The two that are moved count half.) Call it
    inside `evaluating`.
    """
    found = []
    for start in range(0, len(pixels), batch_size):
        images = prepared(recipe, pixels[start : start + batch_size])
        if recipe == "document" or not views:
            found.append(to_host(model.forward(to_device(images))).copy())
            continue
        wide = numpy.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
        total: Any = 0
        for view, share in ((images, 0.5), (wide[:, :-2, :-2], 0.25), (wide[:, 2:, 2:], 0.25)):
            for seen in (view, view[:, :, ::-1]):
                total = total + 0.5 * share * to_host(model.forward(to_device(numpy.ascontiguousarray(seen))))
        found.append(total)
    return numpy.concatenate(found)
