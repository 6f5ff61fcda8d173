"""A whole run on disk, so that a killed run continues as if nothing had happened.

The next step of a run depends on five things: the parameters, the optimizer's state, the random state (all of it is
Python's `random`, see `initial.py`), how far the run is, and its settings. A checkpoint holds all five, so a run that
is resumed from one ends with the same weights, to the bit, as one that was never killed. It is saved after a step, when
there are no gradients to keep.

    save_checkpoint(path, model, optimizer, settings={"hidden": 32}, progress={"epoch": 7})
    progress = load_checkpoint(path, model, optimizer, settings={"hidden": 32})

Read next: `history.py`.
"""

import json
import random
import reprlib
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.layer import Layer
from scratch.optimizers import Optimizer
from scratch.tools.files import Shapes, read_arrays, read_metadata, write_arrays
from scratch.tools.schema import Row, check
from scratch.tools.weights import as_type

FORMAT = 3  # of the file: 1 had one step count for all parameters; 2 lacked the optimizer's arguments
SCHEMA = {
    "format": int, "settings": dict, "progress": dict, "random": Row(int, [range(2**32)], (None, float)),
    "optimizer": {"kind": str, "arguments": dict, "steps": {str: range(1, 2**53)}},
}


def save_checkpoint(
    path: str | Path, model: Layer, optimizer: Optimizer, settings: Mapping[str, Any], progress: Mapping[str, Any]
) -> None:
    """Write the run to `path`, in place of the last checkpoint there, completely or not at all.

    `settings` are what a run may not change on the way; `progress` is how far it is. Both hold plain JSON values.
    """
    arrays = {f"model/{name}": to_host(p.data) for name, p in model.named_parameters().items()}
    state = optimizer.state_dict(model)
    arrays |= {f"optimizer/{name}": value for name, value in state.pop("arrays").items()}
    version, numbers, gauss = random.getstate()
    metadata = {
        "format": FORMAT, "settings": settings, "progress": progress, "optimizer": state,
        "random": [version, list(numbers), gauss],
    }
    write_arrays(path, arrays, metadata)


def load_checkpoint(
    path: str | Path, model: Layer, optimizer: Optimizer, settings: Mapping[str, Any], progress: Any = dict
) -> dict[str, Any]:
    """Restore model, optimizer and `random` to the state of the run at `path`; returns its progress.

    `progress` is the schema that the progress must have (see `schema.py`).
    Raises: ScratchError when the file is missing or damaged, was made with other settings or by an older version, or
    does not fit the model; nothing is changed then.
    """
    # First everything is read and checked.
    metadata = read_metadata(path)
    if not isinstance(metadata.get("settings"), dict):
        raise ScratchError(f"{path}: not a checkpoint")
    if metadata.get("format") != FORMAT:
        raise ScratchError(f"{path}: a checkpoint of an older version; omit --resume to start a new run")
    _check_settings(path, metadata["settings"], json.loads(json.dumps(settings)))
    named = model.named_parameters()
    arrays, metadata = read_arrays(path, lambda shapes: _check_shapes(path, model, shapes))
    check(metadata, SCHEMA | {"progress": progress}, path)
    version, numbers, gauss = metadata["random"]
    chance = (version, tuple(numbers), gauss)
    try:
        random.Random().setstate(chance)  # tried on another generator first
    except (TypeError, ValueError) as error:
        raise ScratchError(f"{path}: not a checkpoint of this run ({error})") from error
    values = [as_type(path, name, arrays.pop(f"model/{name}"), p.data.dtype) for name, p in named.items()]
    moments = {name.partition("/")[2]: array for name, array in arrays.items()}
    if not all(array.dtype.kind == "f" for array in moments.values()):
        raise ScratchError(f"{path}: the optimizer's state has an array that is not of floats")
    # Now apply it all. Only `load_state` can raise, and it does so before changing anything.
    try:
        optimizer.load_state(model, {**metadata["optimizer"], "arrays": moments})
    except ScratchError as error:
        raise ScratchError(f"{path}: {error}") from error
    random.setstate(chance)
    for p, value in zip(named.values(), values, strict=True):
        p.data[...] = to_device(value)
    model.zero_grads()
    return metadata["progress"]


def _check_settings(path: str | Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            shown = reprlib.repr(before.get(name)), reprlib.repr(value)
            raise ScratchError(f"{path}: made with {name} = {shown[0]}, not {shown[1]}; repeat the flags of that run")


def _check_shapes(path: str | Path, model: Layer, found: Shapes) -> None:
    """Raise ScratchError unless the arrays are the parameters and optimizer arrays of the same shapes."""
    shapes = {name: tuple(p.data.shape) for name, p in model.named_parameters().items()}
    wanted = {f"model/{name}": shape for name, shape in shapes.items()}
    right = wanted.items() <= found.items()
    for name in found.keys() - wanted.keys():  # such as optimizer/m/layers.0.w
        right = right and name.startswith("optimizer/") and shapes.get(name.split("/", 2)[-1]) == found[name]
    if not right:
        raise ScratchError(f"{path}: a checkpoint of another model, or of a model of another size")


def set_aside(paths: Sequence[Path]) -> Path | None:
    """Before a new run writes to `paths`: move what an earlier run left there into a folder beside it.

    Returns that folder, "earlier_1" or the first that is free, or None when there was nothing.
    """
    left = [path for path in paths if path.exists()]
    if not left:
        return None
    aside = next(free for k in count(1) if not (free := left[0].with_name(f"earlier_{k}")).exists())
    aside.mkdir()
    for path in left:
        path.replace(aside / path.name)
    return aside
