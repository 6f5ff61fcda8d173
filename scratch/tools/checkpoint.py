"""A whole run on disk, so that a killed run goes on as if nothing had happened.

The next step of a run depends on five things: the parameters, the optimizer's averages, the state of chance (all of
it is Python's `random`, see `initial.py`), how far the run is, and its settings. A checkpoint holds all five, so a
run that goes on from one ends with the same weights, to the bit, as one that was never killed. It is saved after a
step, when there are no gradients to keep.

    progress = begin_run([path, weights], resume, model, optimizer, settings={"hidden": 32}, progress={"epoch": 0})
    save_checkpoint(path, model, optimizer, settings={"hidden": 32}, progress={"epoch": 7})

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
from scratch.tools.files import may_write, read_arrays, read_metadata, write_arrays
from scratch.layer import Layer, batch
from scratch.optimizers import Optimizer
from scratch.tools.weights import metadata_of


def save_checkpoint(
    path: str | Path, model: Layer, optimizer: Optimizer, settings: Mapping[str, Any], progress: Mapping[str, Any]
) -> None:
    """Write the run to `path`, in place of the last checkpoint there, whole or not at all.

    `settings` are what a run may not change on the way; `progress` is how far it is. Both hold plain JSON values.
    """
    arrays = {f"model/{p.name}": to_host(p.data) for p in model.parameters()}
    state = optimizer.state(model)
    arrays |= {f"optimizer/{name}": value for name, value in state.pop("arrays").items()}
    version, numbers, gauss = random.getstate()
    chance = [version, list(numbers), gauss]
    metadata = {"settings": settings, "progress": progress, "optimizer": state, "random": chance}
    write_arrays(path, arrays, metadata)


def load_checkpoint(
    path: str | Path, model: Layer, optimizer: Optimizer, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Bring model, optimizer and `random` to where the run at `path` was; returns its progress.

    Raises: ScratchError when the file is missing or damaged, was made with other settings, or does not fit the
    model; nothing is changed then.
    """
    made_with = read_metadata(path).get("settings")
    if not isinstance(made_with, dict):
        raise ScratchError(f"{path}: not a checkpoint")
    for name, value in json.loads(json.dumps(settings)).items():
        if made_with.get(name) != value:
            before, now = reprlib.repr(made_with.get(name)), reprlib.repr(value)
            raise ScratchError(
                f"{path}: was made with {name} = {before}, not {now}; give the flags of the run that is to go on"
            )
    parameters = model.parameters()
    shapes = {f"model/{p.name}": tuple(p.data.shape) for p in parameters}
    arrays, metadata = read_arrays(path, lambda found: _check(path, shapes, found))
    try:
        progress, state, (version, numbers, gauss) = metadata["progress"], metadata["optimizer"], metadata["random"]
        chance = (version, tuple(numbers), None if gauss is None else float(gauss))
        random.Random().setstate(chance)  # tried on a generator of its own first
        prefix = "optimizer/"
        moments = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
        optimizer.load_state(model, {**state, "arrays": moments})
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ScratchError(f"{path}: not a checkpoint of this run ({error})") from error
    random.setstate(chance)
    for p in parameters:
        p.data[...] = to_device(arrays[f"model/{p.name}"])
    model.zero_grads()
    return progress


def _check(path: str | Path, expected: dict[str, tuple], found: dict[str, tuple]) -> None:
    if expected != {name: shape for name, shape in found.items() if name.startswith("model/")}:
        raise ScratchError(f"{path}: is the checkpoint of another model, or of one of another size")


def begin_run(
    files: Sequence[Path], resume: bool, model: Layer, optimizer: Optimizer, settings: Mapping[str, Any],
    progress: dict[str, Any], threads: int | None = None,
) -> dict[str, Any]:
    """The progress of the run whose files these are, the checkpoint first: gone on with, or begun.

    To resume, model, optimizer and `random` are brought to where the checkpoint is. Otherwise what an earlier run has
    left of `files` is moved into a folder beside them, and the first checkpoint is saved, with `progress`.

    `threads`, where given, go in place of the progress's "threads". Else a run that is gone on with keeps its own, for
    another number would draw other Dropout masks.
    Raises: ScratchError when there is nothing to resume, and as `load_checkpoint` does.
    """
    checkpoint, asked = files[0], {"threads": threads} if threads else {}
    if resume:
        if not checkpoint.exists():
            raise ScratchError(f"{checkpoint}: there is no run to resume; leave off --resume to begin one")
        return progress | load_checkpoint(checkpoint, model, optimizer, settings) | asked
    if may_write():
        if aside := set_aside(files):
            folder = checkpoint.parent
            print(f"{folder} held an earlier run (--resume would have gone on with it); it is now in {aside}")
        save_checkpoint(checkpoint, model, optimizer, settings, progress | asked)
    batch.get().wait()
    if not checkpoint.exists():
        raise ScratchError(f"{checkpoint}: not all processes see it; give a folder that all machines share")
    return progress | asked


def check_weights(path: Path, program: str, settings: Mapping[str, Any], epochs: Sequence[int]) -> None:
    """Raise ScratchError unless `path` holds weights that `program` saved in one of `epochs` of a run of `settings`.

    A kill may have come after the weights of an epoch were saved, and before the checkpoint was.
    """
    saved = metadata_of(path, program, settings=dict, best_epoch=int)
    if saved["settings"] != json.loads(json.dumps(settings)) or saved["best_epoch"] not in epochs:
        raise ScratchError(f"{path}: not of the run in {path.parent}, which needs the weights of its best epoch")


def set_aside(paths: Sequence[Path]) -> Path | None:
    """Before a new run writes to `paths`: move what an earlier one left there into a folder beside it.

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
