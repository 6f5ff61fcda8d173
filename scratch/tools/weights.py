"""Trained networks and their vocabularies on disk.

Weights are useless without the network's sizes and its vocabulary. So `NAME.npz` holds the parameters by name, together
with metadata as one JSON text: the vocabulary, the sizes, the scores and the command that trained the network.

    save_weights(model, "companies.npz", {"vocabulary": vocab.w2i, "loss": 0.7})
    metadata = load_weights(model, "companies.npz")

A file whose name does not end in `.npz` has the form of Grus's book: a JSON list of the parameters in order. Loading
checks names, number and shapes. If one differs, the error names it and the model is left unchanged.

Read next: `checkpoint.py`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from scratch.backend import to_host, xp
from scratch.checks import ScratchError
from scratch.layer import Layer, Parameter
from scratch.text import Vocabulary
from scratch.tools.files import Shapes, read_arrays, read_json, read_metadata, write_arrays, write_text

_CAUSE = "are they the weights of another model, or of another size?"


def save_weights(model: Layer, filename: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the parameters of `model`: with `metadata` to an npz file, or, with another ending, as the book's JSON."""
    parameters = model.named_parameters()
    if Path(filename).suffix == ".npz":
        write_arrays(filename, {name: to_host(p.data) for name, p in parameters.items()}, metadata or {})
        return
    if metadata:
        raise ScratchError(f"{filename}: the JSON form cannot hold metadata; use a name that ends in .npz")
    # Converting through text writes the float32 0.1 as 0.1, not as 0.10000000149011612, which halves the file.
    values = [to_host(p.data).astype(str).astype(float).tolist() for p in parameters.values()]
    try:
        write_text(filename, json.dumps(values, allow_nan=False))
    except ValueError as error:
        raise ScratchError(f"{filename}: not written, because some weights are not finite ({error})") from error


def load_weights(model: Layer, filename: str | Path) -> dict[str, Any]:
    """Read parameters into `model`, in place; return the metadata ({} for the book's JSON form).

    Raises: ScratchError when the file is missing or damaged, or a name, the number or a shape differs. The model is
    then unchanged.
    """
    parameters = model.named_parameters()
    metadata: dict[str, Any] = {}
    if Path(filename).suffix == ".npz":
        arrays, metadata = read_arrays(filename, lambda shapes: check_names(filename, parameters, shapes))
        values = [arrays[name] for name in parameters]
    else:
        values = _read_list(filename, parameters)
    fill(filename, parameters, values)
    model.zero_grads()
    return metadata


def fill(filename: str | Path, parameters: dict[str, Parameter], values: list[numpy.ndarray]) -> None:
    """Copy a file's values into the parameters. Raises: ScratchError, before copying any, if one is not finite."""
    with numpy.errstate(over="ignore"):
        values = [value.astype(p.data.dtype) for p, value in zip(parameters.values(), values, strict=True)]
    for (name, p), value in zip(parameters.items(), values, strict=True):
        if not numpy.isfinite(value).all():
            raise ScratchError(f"{filename}: {name} holds numbers that are not finite in {p.data.dtype}")
    for p, value in zip(parameters.values(), values, strict=True):
        p.data[...] = xp.asarray(value)


def check_names(filename: str | Path, parameters: dict[str, Parameter], shapes: Shapes) -> None:
    """Raise ScratchError unless the file's names and shapes are those of `parameters`."""
    expected = {name: tuple(p.data.shape) for name, p in parameters.items()}
    for name in expected.keys() - shapes.keys():
        raise ScratchError(f"{filename}: lacks {name} of shape {expected[name]}; {_CAUSE}")
    for name in shapes.keys() - expected.keys():
        raise ScratchError(f"{filename}: holds {name} of shape {shapes[name]}, which the model lacks; {_CAUSE}")
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise ScratchError(f"{filename}: {name} has shape {shape}, the model's has {expected[name]}; {_CAUSE}")


def _read_list(filename: str | Path, parameters: dict[str, Parameter]) -> list[numpy.ndarray]:
    values = read_json(filename)
    if not isinstance(values, list) or len(values) != len(parameters):
        number = len(values) if isinstance(values, list) else "no list of"
        raise ScratchError(f"{filename}: holds {number} arrays, the model has {len(parameters)}; {_CAUSE}")
    arrays = []
    for (name, p), value in zip(parameters.items(), values, strict=True):
        try:
            array = numpy.array(value)
        except ValueError:
            array = numpy.array(None)
        if array.dtype.kind not in "fi":
            raise ScratchError(f"{filename}: {name} is not an array of numbers")
        if array.shape != p.data.shape:
            raise ScratchError(
                f"{filename}: {name} has shape {array.shape}, the model's has {p.data.shape}; {_CAUSE}"
            )
        arrays.append(array)
    return arrays


def metadata_of(filename: str | Path, program: str, **kinds: type) -> dict[str, Any]:
    """The metadata of weights that `program` saved. Each keyword names a required entry and its type.

    Raises: ScratchError when the file is missing or damaged, comes from another program, or lacks an entry.
    """
    metadata = read_metadata(filename)
    if metadata.get("program") != program:
        raise ScratchError(f"{filename}: not weights of {program}")
    for name, kind in kinds.items():
        if type(metadata.get(name)) is not kind:
            raise ScratchError(f"{filename}: its metadata have no {name}")
    return metadata


def save_vocab(vocab: Vocabulary, filename: str | Path) -> None:
    """Write a vocabulary as JSON: {word: id}."""
    write_text(filename, json.dumps(vocab.w2i, ensure_ascii=False))


def load_vocab(filename: str | Path) -> Vocabulary:
    """Read a vocabulary written by `save_vocab`. Raises: ScratchError if the file is missing, damaged or lacks ids."""
    return vocabulary_of(read_json(filename), filename)


def vocabulary_of(w2i: Any, filename: str | Path) -> Vocabulary:
    """The vocabulary of the {word: id} in `filename`. Raises: ScratchError unless the ids are 0, 1, 2, ..."""
    right = isinstance(w2i, dict) and all(type(word_id) is int for word_id in w2i.values())
    if not right or sorted(w2i.values()) != list(range(len(w2i))):
        raise ScratchError(f"{filename}: not a vocabulary of the form {{word: id}} with ids 0, 1, 2, ...")
    return Vocabulary(sorted(w2i, key=w2i.__getitem__))
