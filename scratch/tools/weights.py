"""Trained networks and their vocabularies on disk.

Weights are useless without the network's sizes and its vocabulary. So `NAME.npz` holds the parameters by name, together
with metadata as one JSON text: the vocabulary, the sizes, the scores and the command that trained the network.

    save_weights(model, "companies.npz", {"vocabulary": vocab.w2i, "loss": 0.7})
    metadata = load_weights(model, "companies.npz")

Before weights are loaded, a network of the right sizes must be built. Its sizes come from the metadata, which may
claim anything. `load_model` builds the network, but with no more weights than the file holds.

A name that ends in `.safetensors` chooses that format, which PyTorch and others read too: it holds the same arrays and
metadata. A file of any other name has the form of Grus's book: a JSON list of the parameters in order. Loading checks
names, number and shapes. If one differs, the error names it and the model is left unchanged.

Read next: `checkpoint.py`.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy

from scratch.backend import to_host, xp
from scratch.checks import ScratchError
from scratch.initial import at_most
from scratch.layer import Layer, Parameter
from scratch.text import Vocabulary
from scratch.tools import files
from scratch.tools.files import Shapes, read_arrays, read_json, read_metadata, read_shapes, write_arrays, write_text
from scratch.tools.schema import check, vocabulary

Model = TypeVar("Model", bound=Layer)

_PIECES = 4  # the most arrays created for one Parameter: an LSTM initialises the rows of each gate separately
_CAUSE = "is the file for another model, or for a model of another size?"


def save_weights(model: Layer, filename: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the parameters of `model`: with `metadata` to an npz or safetensors file, else as the book's JSON."""
    parameters = model.named_parameters()
    if Path(filename).suffix in files.FORMS:
        write_arrays(filename, {name: to_host(p.data) for name, p in parameters.items()}, metadata or {})
        return
    if metadata:
        endings = " or ".join(files.FORMS)
        raise ScratchError(f"{filename}: the JSON form cannot hold metadata; use a name that ends in {endings}")
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
    if Path(filename).suffix in files.FORMS:
        arrays, metadata = read_arrays(filename, lambda shapes: check_names(filename, parameters, shapes))
        values = [arrays[name] for name in parameters]
    else:
        values = _read_list(filename, parameters)
    fill(filename, parameters, values)
    model.zero_grads()
    return metadata


def load_model(filename: str | Path, build: Callable[[], Model]) -> Model:
    """The network that `build` makes, with the weights in `filename`.

    Raises: ScratchError as `load_weights`, and when the network would be larger than the file; it is then not built.
    """
    with no_larger_than(filename, read_shapes(filename)):
        model = build()
    load_weights(model, filename)
    return model


@contextmanager
def no_larger_than(filename: str | Path, shapes: Shapes) -> Iterator[None]:
    """Within this context, all layers built may hold no more weights in total than arrays of these shapes."""
    try:
        with at_most(_PIECES * len(shapes), sum(map(math.prod, shapes.values()))):
            yield
    except ScratchError as error:
        raise ScratchError(f"{filename}: its metadata does not fit its arrays ({error})") from error


def fill(filename: str | Path, parameters: dict[str, Parameter], values: list[numpy.ndarray]) -> None:
    """Copy a file's values into the parameters. Raises: ScratchError, before copying any, if one is not finite."""
    pairs = list(zip(parameters.items(), values, strict=True))
    values = [as_type(filename, name, value, p.data.dtype) for (name, p), value in pairs]
    for p, value in zip(parameters.values(), values, strict=True):
        p.data[...] = xp.asarray(value)


def as_type(filename: str | Path, name: str, value: numpy.ndarray, dtype: Any) -> numpy.ndarray:
    """A file's array, converted to `dtype`. Raises: ScratchError if a value is not finite in that type."""
    with numpy.errstate(over="ignore"):
        value = value.astype(dtype)
    if not numpy.isfinite(value).all():
        raise ScratchError(f"{filename}: {name} contains numbers that are not finite in {dtype}")
    return value


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
    pairs = zip(parameters.items(), values, strict=True)
    return [_array(f"{filename}: {name}", tuple(p.data.shape), value) for (name, p), value in pairs]


def _array(place: str, shape: tuple[int, ...], value: Any) -> numpy.ndarray:
    """A nested list as an array, after checking that it has the given shape."""
    found, first, items = [], value, [value]
    while isinstance(first, list):
        found.append(len(first))
        first = first[0] if first else None
    if tuple(found) != shape:
        raise ScratchError(f"{place} has shape {tuple(found)}, the model's has {shape}; {_CAUSE}")
    for size in shape:
        if not all(isinstance(row, list) and len(row) == size for row in items):
            raise ScratchError(f"{place} is not an array: its rows differ in length")
        items = [item for row in items for item in row]
    check(items, [float], place)
    return numpy.array(items, dtype=numpy.float64).reshape(shape)


def metadata_of(filename: str | Path, program: str, **schema: Any) -> dict[str, Any]:
    """The metadata of weights that `program` saved. Each keyword names an entry and has its schema (see `schema.py`).

    Raises: ScratchError when the file is missing or damaged, comes from another program, or an entry does not fit.
    """
    metadata = read_metadata(filename)
    if metadata.get("program") != program:
        raise ScratchError(f"{filename}: not a weights file of {program}")
    return check(metadata, schema, filename)


def save_vocab(vocab: Vocabulary, filename: str | Path) -> None:
    """Write a vocabulary as JSON: {word: id}."""
    write_text(filename, json.dumps(vocab.w2i, ensure_ascii=False))


def load_vocab(filename: str | Path) -> Vocabulary:
    """Read a vocabulary written by `save_vocab`. Raises: ScratchError if the file is missing, damaged or lacks ids."""
    return vocabulary_of(read_json(filename), filename)


def vocabulary_of(w2i: Any, filename: str | Path) -> Vocabulary:
    """The vocabulary of the {word: id} in `filename`. Raises: ScratchError unless the ids are 0, 1, 2, ..."""
    check(w2i, vocabulary, filename)
    return Vocabulary(sorted(w2i, key=w2i.__getitem__))
