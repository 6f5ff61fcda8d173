"""Configurations of networks, {"conv": [[256, 7, 3], ...], "fc": [1024, ...]}: from JSON, and checked."""

from pathlib import Path
from typing import Any

from scratch.checks import ScratchError
from scratch.tools.files import read_json

LARGEST = 1 << 16  # number in a configuration


def read_config(path: Path, size: str) -> dict[str, Any]:
    """The configuration called `size` in a JSON file {size: {"conv": [[256, 7, 3], ...], "fc": [1024, ...], ...}}.

    The repository's form {"model_parameters": {"name": size, "conv": ..., "fc": ...}, ...} is read too; its other keys
    are ignored, because flags set those values.
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
    """`config`, by default with a dropout of 0.5 and no BatchNorm.

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
        raise ScratchError(f"{where}: only the last convolution can have a pool over the whole text (0)")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ScratchError(f"{where}: expected a dropout from 0 to below 1, got {dropout!r}")
    if type(batch_norm) is not bool:
        raise ScratchError(f"{where}: expected a batch_norm of true or false, got {batch_norm!r}")
    return {"conv": conv, "fc": fc, "dropout": dropout, "batch_norm": batch_norm}


def _fits(number: Any) -> bool:
    return type(number) is int and -1 <= number <= LARGEST
