"""Configurations of networks, {"conv": [[256, 7, 3], ...], "fc": [1024, ...]}: from JSON, and checked."""

from pathlib import Path
from typing import Any

from scratch.checks import ScratchError
from scratch.tools.files import read_json
from scratch.tools.schema import Maybe, Row, check, share

_NUMBER = range(1, 65_537)
SCHEMA = {
    "conv": [Row(_NUMBER, _NUMBER, range(-1, 65_537))], "fc": [_NUMBER], "dropout": Maybe(share),
    "batch_norm": Maybe(bool),
}


def read_config(path: Path, size: str) -> dict[str, Any]:
    """The configuration called `size` in a JSON file {size: {"conv": [[256, 7, 3], ...], "fc": [1024, ...], ...}}.

    The repository's form {"model_parameters": {"name": size, "conv": ..., "fc": ...}, ...} is read too; its other keys
    are ignored, because flags set those values.
    """
    configs = check(read_json(path), dict, path)
    if "model_parameters" in configs:
        check(configs, {"model_parameters": {"name": str}}, path)
        only = configs["model_parameters"]
        configs = {only["name"]: {key: value for key, value in only.items() if key != "name"}}
    if size not in configs:
        raise ScratchError(f"{path}: expected a configuration called {size!r}; there are: {', '.join(configs)[:300]}")
    return check_config(configs[size], f"{path}: {size}")


def check_config(config: Any, where: str) -> dict[str, Any]:
    """`config`, by default with a dropout of 0.5 and no BatchNorm.

    Raises: ScratchError, which begins with `where`.
    """
    check(config, SCHEMA, where)
    if unknown := config.keys() - SCHEMA.keys():
        raise ScratchError(f"{where}: unknown key {min(unknown)!r}; expected one of {', '.join(SCHEMA)}")
    if not 1 <= len(config["conv"]) <= 100 or len(config["fc"]) > 100:
        raise ScratchError(f"{where}: expected 1 to 100 convolutions, and at most 100 hidden layers")
    if any(pool == 0 for _, _, pool in config["conv"][:-1]):
        raise ScratchError(f"{where}: only the last convolution can have a pool over the whole text (0)")
    return {"dropout": 0.5, "batch_norm": False} | config
