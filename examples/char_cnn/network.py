"""The network: convolutions and pools over the characters of a text, and a classifier on the features they leave.

A text of 150 characters is a sequence of 150 one-hot rows. In the small network a window of 7 characters and a pool of
3 leave 48 steps of 256 features; after six convolutions two steps are left, and three Linear layers classify them.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from char_cnn.config import check_config
from char_cnn.data import KNOWN
from char_cnn.texts import STEPS

from scratch.activations import Relu
from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.convolution import Conv1d
from scratch.dense import Flatten, Linear
from scratch.functions import log_softmax
from scratch.layer import Layer, Sequential, evaluating
from scratch.over_time import MaxOverTime
from scratch.pooling import MaxPool1d
from scratch.regular import BatchNorm, Dropout
from scratch.tools.history import progress
from scratch.tools.schema import SIZE, Row, alphabet, check
from scratch.tools.weights import load_model, metadata_of

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "ag_news.npz"

# conv: [features, window width, width of the pool that follows (-1: none; 0: the whole text)] of each convolution.
# fc: the units of each hidden layer of the classifier.
SIZES: dict[str, dict[str, Any]] = {
    size: {
        "conv": [[features, 7, 3], [features, 7, 3], *[[features, 3, -1]] * 3, [features, 3, 3]], "fc": [units, units],
        "dropout": 0.5,
    }
    for size, features, units in (("small", 256, 1024), ("large", 1024, 2048))
}
# Ours: a vector for each character (a window of one), then whether each of 256 patterns, as long as a word (10
# characters), occurs anywhere in the text. Wider windows probably memorise a small training set.
SIZES["compact"] = {"conv": [[32, 1, -1], [256, 5, 2], [256, 3, 0]], "fc": [256], "dropout": 0.5, "batch_norm": True}


def build(config: dict[str, Any], num_characters: int, max_length: int, num_classes: int) -> Sequential:
    """The network of a configuration: ids (N, max_length), -1 for an unknown character -> scores (N, num_classes).

    The Relu comes after the pool, which gives the same result as before it with less work. BatchNorm is optional.
    Source: Zhang et al. 2015, https://arxiv.org/abs/1509.01626, tables 1 and 2.
    Differs: He initialisation, where the first layer counts only the inputs that are not zero (the paper: normal with
        standard deviation 0.02 or 0.05). With it training leaves the plateau at the loss of a uniform guess, where
        others report being stuck. BatchNorm leaves it sooner; then the first layer trains better from small weights.
    """
    shapes, layers = weight_shapes(config, num_characters, max_length, num_classes), list[Layer]()
    batch_norm = config.get("batch_norm", False)
    for (_, _, pool), (features, kernel, width) in zip(config["conv"], shapes, strict=False):
        layers.append(Conv1d(width, features, kernel, input_gradient=bool(layers)))
        if pool >= 0:
            layers.append(MaxPool1d(pool) if pool else MaxOverTime())
        if batch_norm:
            layers.append(BatchNorm(features))
        layers.append(Relu())
    if not batch_norm:
        # He initialisation counts every input of a window, but in a one-hot row only one is not zero.
        layers[0].w.data *= math.sqrt(num_characters)
    if pool != 0:
        layers.append(Flatten())
    *hidden, last = shapes[len(config["conv"]) :]
    for units, width in hidden:
        layers += [Linear(width, units, init="he"), Relu(), Dropout(config["dropout"])]
    return Sequential([*layers, Linear(last[1], last[0])])


def weight_shapes(
    config: dict[str, Any], num_characters: int, max_length: int, num_classes: int
) -> list[tuple[int, ...]]:
    """The shape of w in each convolution and Linear. Raises: ScratchError for texts too short for the pools."""
    if max_length < shortest(config):
        raise ScratchError(
            f"texts of {max_length} characters are too short for this network: --max-length {shortest(config)} is the "
            "least"
        )
    shapes: list[tuple[int, ...]] = []
    length, width = max_length, num_characters
    for features, kernel, pool in config["conv"]:
        shapes.append((features, kernel, width))
        length, width = length - kernel + 1, features
        length = 1 if pool == 0 else length // max(pool, 1)
    width *= length
    for units in [*config["fc"], num_classes]:
        shapes.append((units, width))
        width = units
    return shapes


def shortest(config: dict[str, Any]) -> int:
    """The least number of characters that leaves one step after the last pool."""
    length = 1
    for _, kernel, pool in reversed(config["conv"]):
        length = length * max(pool, 1) + kernel - 1
    return length


def log_probabilities(model: Layer, ids: numpy.ndarray, batch_size: int = 256) -> numpy.ndarray:
    """The logarithm of each class's probability for each row of ids: (N, num_classes), on the host."""
    found = []
    with evaluating(model):
        for start in progress(range(0, len(ids), batch_size), "reading"):
            found.append(to_host(log_softmax(model.forward(to_device(ids[start : start + batch_size])))))
    return numpy.concatenate(found)


def load(path: Path) -> tuple[Sequential, dict[str, Any]]:
    """The network of a weights file, and its metadata. Raises: ScratchError unless they fit each other."""
    known = metadata_of(
        path, "char_cnn", alphabet=alphabet, steps=[tuple(STEPS)], max_length=SIZE, config=dict, labels=[str],
        names=list, text_column=str, label_column=str, data=("", *KNOWN),
    )
    config, num_classes = check_config(known["config"], f"{path}: config"), len(known["labels"])
    check(known["names"], Row(*[str] * num_classes), f"{path}: names")
    model = load_model(path, lambda: build(config, len(known["alphabet"]), known["max_length"], num_classes))
    return model, known


def summary(model: Sequential, length: int) -> Iterator[str]:
    """The lines of a table: each layer, the shape of its output for one text, and its number of weights."""
    shape: tuple[int, ...] = (length,)
    total = 0
    yield f"{'layer':46} {'output':>14} {'weights':>12}"
    yield f"{'ids':46} {length:>14} {0:>12,}"
    for layer in model.layers:
        if isinstance(layer, Conv1d):
            shape = (shape[0] - layer.kernel_size + 1, layer.output_dim)
        elif isinstance(layer, MaxPool1d):
            shape = (shape[0] // layer.size, shape[1])
        elif isinstance(layer, MaxOverTime):
            shape = shape[1:]
        elif isinstance(layer, Flatten):
            shape = (math.prod(shape),)
        elif isinstance(layer, Linear):
            shape = (layer.output_dim,)
        count = sum(parameter.data.size for parameter in layer.parameters())
        total += count
        window = f", window of {layer.kernel_size}" if isinstance(layer, Conv1d) else ""
        yield f"{f'{layer}{window}':46} {' x '.join(map(str, shape)):>14} {count:>12,}"
    yield f"{'':46} {'':14} {total:>12,}"
