"""Zhang's network: convolutions and pools over the characters of a text, and a classifier on what is left of it."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scratch.activations import Relu
from scratch.checks import ScratchError
from scratch.convolution import Conv1d
from scratch.dense import Flatten, Linear
from scratch.layer import Layer, Sequential
from scratch.pooling import MaxOverTime, MaxPool1d
from scratch.regular import BatchNorm, Dropout
from scratch.tools.files import read_json

# Of each convolution: features, width of the window, width of the pool after it (-1: none; 0: over all of the text).
# Of each layer of the classifier: how many units.
SIZES: dict[str, dict[str, Any]] = {
    size: {
        "conv": [[features, 7, 3], [features, 7, 3], *[[features, 3, -1]] * 3, [features, 3, 3]], "fc": [units, units],
        "dropout": 0.5,
    }
    for size, features, units in (("small", 256, 1024), ("large", 1024, 2048))
}
# Ours: a vector for each character, which is a window of one; and then it is asked which pieces as long as a word (10
# characters) are there, wherever. Windows that reach further learn the texts by heart where there are few of them.
SIZES["compact"] = {"conv": [[32, 1, -1], [256, 5, 2], [256, 3, 0]], "fc": [256], "dropout": 0.5, "batch_norm": True}
LARGEST = 1 << 16  # of a number in a configuration


def build(config: dict[str, Any], num_characters: int, max_length: int, num_classes: int) -> Sequential:
    """The network of a configuration: ids (N, max_length), -1 for what is unknown -> scores (N, num_classes).

    A pool comes before its Relu, which is the same the other way round and less work; so does BatchNorm, if wanted.
    Source: Zhang et al. 2015, https://arxiv.org/abs/1509.01626, tables 1 and 2.
    Differs: weights start by He's rule, the first layer's for as many inputs as are not zero (the paper: normal,
        standard deviation 0.02 or 0.05), which gets off the plateau at the loss of a blind guess that others report.
        BatchNorm gets off it sooner, and then the first layer is better left small: it learns more than it was given.
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
        # He's rule counts all inputs of a window; but of a one-hot row only one is not zero.
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
    """The shape of w in each layer that has one. Raises: ScratchError for texts too short for the pools."""
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


def fits(
    shapes: Mapping[str, tuple[int, ...]], config: dict[str, Any], num_characters: int, max_length: int,
    num_classes: int,
) -> bool:
    """Whether arrays of these shapes, by name, have the matrices of that network: asked before it is made."""
    matrices = [shape for name, shape in shapes.items() if name.endswith(".w") and len(shape) > 1]
    return matrices == weight_shapes(config, num_characters, max_length, num_classes)


def shortest(config: dict[str, Any]) -> int:
    """How many characters a text needs, so that something is left of it after the last pool."""
    length = 1
    for _, kernel, pool in reversed(config["conv"]):
        length = length * max(pool, 1) + kernel - 1
    return length


def summary(model: Sequential, length: int) -> Iterator[str]:
    """A table: each layer, the shape of what comes out of it for one text, and how many weights it has."""
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


def read_config(path: Path, size: str) -> dict[str, Any]:
    """The configuration called `size` in a JSON file {size: {"conv": [[256, 7, 3], ...], "fc": [1024, ...], ...}}.

    Or in the repository's form, {"model_parameters": {"name": size, "conv": ..., "fc": ...}, ...}, of which the rest is
    for flags.
    """
    configs = read_json(path)
    if isinstance(configs, dict) and isinstance(configs.get("model_parameters"), dict):
        only = configs["model_parameters"]
        configs = {only.get("name"): {key: value for key, value in only.items() if key != "name"}}
    if not isinstance(configs, dict) or size not in configs:
        known = ", ".join(map(str, configs)) if isinstance(configs, dict) else "no sizes"
        raise ScratchError(f"{path}: expected a configuration called {size!r}; there are: {known}")
    return check_config(configs[size], f"{path}: {size}")


def check_config(config: Any, where: str) -> dict[str, Any]:
    """`config`, with a dropout of 0.5 and no BatchNorm if it says nothing of them.

    Raises: ScratchError, which begins with `where`.
    """
    if not isinstance(config, dict) or not {"conv", "fc"} <= config.keys():
        raise ScratchError(f'{where}: expected "conv", a list of [features, window, pool], and "fc", a list of units')
    if unknown := config.keys() - {"conv", "fc", "dropout", "batch_norm"}:
        raise ScratchError(f"{where}: unknown key {min(unknown)!r}; there are conv, fc, dropout and batch_norm")
    conv, fc, dropout = config["conv"], config["fc"], config.get("dropout", 0.5)
    batch_norm = config.get("batch_norm", False)
    right = isinstance(conv, list) and 1 <= len(conv) <= 100 and isinstance(fc, list) and len(fc) <= 100
    right = right and all(isinstance(row, list) and len(row) == 3 and all(map(_fits, row)) for row in conv)
    if not right or not all(min(row[:2]) >= 1 for row in conv) or not all(_fits(units) and units >= 1 for units in fc):
        raise ScratchError(f"{where}: expected whole numbers, conv [[features, window, pool], ...] and fc [units, ...]")
    if any(pool == 0 for _, _, pool in conv[:-1]):
        raise ScratchError(f"{where}: a pool over all of the text (0) is for the last convolution")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ScratchError(f"{where}: expected a dropout from 0 to below 1, got {dropout!r}")
    if type(batch_norm) is not bool:
        raise ScratchError(f"{where}: expected a batch_norm of true or false, got {batch_norm!r}")
    return {"conv": conv, "fc": fc, "dropout": dropout, "batch_norm": batch_norm}


def _fits(number: Any) -> bool:
    return type(number) is int and -1 <= number <= LARGEST
