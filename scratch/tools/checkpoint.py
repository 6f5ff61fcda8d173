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
from scratch.tools.files import read_arrays, read_metadata, write_arrays

FORMAT = 3  # of the file: 1 had one step count for all parameters, 2 not the arguments of the optimizer


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
    path: str | Path, model: Layer, optimizer: Optimizer, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Restore model, optimizer and `random` to the state of the run at `path`; returns its progress.

    Raises: ScratchError when the file is missing or damaged, was made with other settings or by an older version, or
    does not fit the model; nothing is changed then.
    """
    metadata = read_metadata(path)
    made_with = metadata.get("settings")
    if not isinstance(made_with, dict):
        raise ScratchError(f"{path}: not a checkpoint")
    if metadata.get("format") != FORMAT:
        raise ScratchError(f"{path}: the checkpoint of an older version; leave off --resume to begin the run anew")
    for name, value in json.loads(json.dumps(settings)).items():
        if made_with.get(name) != value:
            before, now = reprlib.repr(made_with.get(name)), reprlib.repr(value)
            raise ScratchError(f"{path}: was made with {name} = {before}, not {now}; give the flags of that run")
    named = model.named_parameters()
    shapes = {f"model/{name}": tuple(p.data.shape) for name, p in named.items()}
    arrays, metadata = read_arrays(path, lambda found: _check(path, shapes, found))
    try:
        progress, state, (version, numbers, gauss) = metadata["progress"], metadata["optimizer"], metadata["random"]
        chance = (version, tuple(numbers), None if gauss is None else float(gauss))
        random.Random().setstate(chance)  # tried on another generator first
        prefix = "optimizer/"
        moments = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
        optimizer.load_state(model, {**state, "arrays": moments})
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ScratchError(f"{path}: not a checkpoint of this run ({error})") from error
    random.setstate(chance)
    for name, p in named.items():
        p.data[...] = to_device(arrays[f"model/{name}"])
    model.zero_grads()
    return progress


def _check(path: str | Path, expected: dict[str, tuple], found: dict[str, tuple]) -> None:
    if expected != {name: shape for name, shape in found.items() if name.startswith("model/")}:
        raise ScratchError(f"{path}: is the checkpoint of another model, or of one of another size")


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
