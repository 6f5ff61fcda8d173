"""Trained networks and their vocabularies on disk.

Weights are useful only together with their description, so `NAME.npz` holds the parameters by name and, as one JSON
text, metadata: the vocabulary, the sizes, the scores, the command that made them.

    save_weights(model, "companies.npz", {"vocabulary": vocab.w2i, "loss": 0.7})
    metadata = load_weights(model, "companies.npz")

The book's form, a JSON list of the parameters in order, is written and read when the name does not end in `.npz`.
Loading checks names, number and shapes, says which one differs, and changes nothing unless everything fits.

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

_CAUSE = "is it the weights of another model, or of another size?"


def save_weights(model: Layer, filename: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the parameters of `model`: with `metadata` to an npz file, or (any other ending) as the book's JSON."""
    parameters = model.named_parameters()
    if Path(filename).suffix == ".npz":
        write_arrays(filename, {name: to_host(p.data) for name, p in parameters.items()}, metadata or {})
        return
    if metadata:
        raise ScratchError(f"{filename}: the JSON form has no place for metadata; use a name that ends in .npz")
    # By way of text, since 0.1 says as much as 0.10000000149011612 does: a file half as long.
    values = [to_host(p.data).astype(str).astype(float).tolist() for p in parameters.values()]
    try:
        write_text(filename, json.dumps(values, allow_nan=False))
    except ValueError as error:
        raise ScratchError(f"{filename}: not written, for the weights are not all finite ({error})") from error


def load_weights(model: Layer, filename: str | Path) -> dict[str, Any]:
    """Read parameters into `model`, in place; returns the metadata ({} for the book's JSON form).

    Raises: ScratchError when the file is missing or damaged, or a name, the number or a shape differs; the model is
    then as it was.
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
    """Copy the file's values into the parameters. Raises: ScratchError, before any is copied, if one is not finite."""
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
    """The metadata of weights that `program` saved, with a value of the given type under each keyword.

    Raises: ScratchError when the file is missing, damaged, of another program, or lacks one of them.
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
    """Read a vocabulary of `save_vocab`. Raises: ScratchError when the file is missing, damaged or has gaps."""
    return vocabulary_of(read_json(filename), filename)


def vocabulary_of(w2i: Any, filename: str | Path) -> Vocabulary:
    """The vocabulary whose {word: id} came from `filename`. Raises: ScratchError unless ids run 0, 1, 2, ..."""
    right = isinstance(w2i, dict) and all(type(word_id) is int for word_id in w2i.values())
    if not right or sorted(w2i.values()) != list(range(len(w2i))):
        raise ScratchError(f"{filename}: not a vocabulary of the form {{word: id}} with ids 0, 1, 2, ...")
    return Vocabulary(sorted(w2i, key=w2i.__getitem__))
