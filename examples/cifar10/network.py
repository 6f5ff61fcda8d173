"""The two networks for CIFAR-10, and the scores that they give images.

`document` stacks 3×3 convolutions with BatchNorm and pooling, and ends in a softmax. `modern` follows Keller Jordan's
"94% on CIFAR-10 in 3.29 seconds on a single GPU" (https://arxiv.org/abs/2404.00498, section 3 and appendix A): the
weights of its first layer are computed from the images, not learned, so that its outputs are uncorrelated although
neighbouring pixels are much alike.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from cifar10.augment import prepared

from scratch.activations import Gelu, Relu
from scratch.backend import Array, as_floats, to_device, to_host
from scratch.convolution import Conv2d
from scratch.dense import Flatten, Linear
from scratch.initial import generator
from scratch.layer import Layer, Sequential
from scratch.pooling import AveragePool2d, MaxPool2d
from scratch.regular import BatchNorm, Dropout
from scratch.tools.history import progress
from scratch.tools.schema import SIZE, Row, check
from scratch.tools.weights import load_model, metadata_of

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "cifar10.npz"
WIDTHS = {"document": (64, 128, 256, 256), "modern": (64, 256, 256)}
_NOISE = 5e-4  # added to each variance, so that directions without variance are not amplified


class Scale(Layer):
    """Multiplies by a number: y = factor x. So scores start small, and the layer below takes small steps."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, input: Any) -> Array:
        output = as_floats(input) * self.factor
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> Array:
        self.recall(gradient)
        return gradient * self.factor


def build(recipe: str, widths: Sequence[int]) -> Sequential:
    """The network of a recipe: images (N, 32, 32, 3) -> scores (N, 10).

    `widths` are the channels of each convolution (`document`) or of each block of two (`modern`).
    """
    return (_document if recipe == "document" else _modern)(widths)


def _document(widths: Sequence[int], dropout: float = 0.3) -> Sequential:
    layers: list[Layer] = []
    before = 3
    for k, width in enumerate(widths):
        layers += [Conv2d(before, width, 3, "same", bias=False, input_gradient=k > 0), BatchNorm(width), Relu()]
        if k < 2:
            layers.append(MaxPool2d(2))  # 32×32 pixels -> 16×16 -> 8×8
        before = width
    return Sequential([*layers, AveragePool2d(4), Flatten(), Dropout(dropout), Linear(4 * before, 10)])


def _modern(widths: Sequence[int]) -> Sequential:
    patches = Conv2d(3, 24, 2, input_gradient=False)  # 32×32 pixels -> 31×31
    patches.w.fixed = True  # `whiten` sets it
    layers, before = [patches, Gelu()], 24
    for width in widths:
        for k in range(2):
            layers.append(_conv_like_identity(before, width))
            if k == 0:
                layers.append(MaxPool2d(2))  # 31×31 pixels -> 15×15 -> 7×7 -> 3×3
            norm = BatchNorm(width, momentum=0.6, epsilon=1e-12)
            norm.w.fixed = True  # the next layer has a scale of its own
            layers += [norm, Gelu()]
            before = width
    return Sequential([*layers, MaxPool2d(3), Flatten(), Linear(before, 10), Scale(1 / 9)])


def _conv_like_identity(input_dim: int, output_dim: int) -> Conv2d:
    """A 3×3 convolution whose first outputs equal its inputs; the weights of the others are random."""
    conv = Conv2d(input_dim, output_dim, 3, "same", bias=False)
    w = generator().uniform(-1, 1, conv.w.data.shape) / numpy.sqrt(9 * input_dim)
    same = range(min(input_dim, output_dim))
    w[same] = 0
    w[same, 1, 1, same] = 1
    conv.w.data[...] = to_device(w)
    return conv


def whiten(model: Sequential, images: numpy.ndarray) -> None:
    """Set the first layer of a modern network so that its first 12 outputs on `images` are nearly uncorrelated.

    Each is a principal direction of the 2×2 patches, scaled to variance 1. The other 12 are their negatives, since a
    Gelu passes only one sign. Shapes: images (N, H, W, 3), standardised, on the host.
    """
    windows = numpy.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))  # (N, H - 1, W - 1, 3, 2, 2)
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12).astype(numpy.float64)
    variances, directions = numpy.linalg.eigh(patches.T @ patches / len(patches))
    directions = directions.T[::-1] / numpy.sqrt(variances[::-1, None] + _NOISE)
    # The sign of an eigenvector is arbitrary and differs between libraries; so it is fixed here.
    directions *= numpy.sign(directions.sum(axis=1, keepdims=True))
    w = numpy.concatenate([directions, -directions]).reshape(24, 2, 2, 3)
    model.layers[0].w.data[...] = to_device(w)  # type: ignore[attr-defined]


def scores(
    model: Layer, recipe: str, pixels: numpy.ndarray, batch_size: int = 500, views: bool = True
) -> numpy.ndarray:
    """The scores of each class for each image, (N, 10), on the host. Call it inside `evaluating`.

    With `views`, a modern network sees each image six times: as it is, shifted by one pixel up and left, and shifted by
    one pixel down and right, each also mirrored. The result is the mean, in which shifted views have half the weight.
    """
    found = []
    for start in progress(range(0, len(pixels), batch_size), "evaluating"):
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


def load(path: Path) -> tuple[Sequential, str]:
    """The network in a weights file, and its recipe. Raises: ScratchError when they do not fit."""
    known = metadata_of(path, "cifar10", recipe=tuple(WIDTHS), widths=list)
    recipe, widths = known["recipe"], known["widths"]
    check(widths, Row(*[SIZE] * len(WIDTHS[recipe])), f"{path}: widths")
    return load_model(path, lambda: build(recipe, widths)), recipe
