"""Packages that only some programs need: each is imported by the program that needs it, before its work begins.

    pooch = extra("pooch", "downloading a data set")
    # ScratchError: downloading a data set needs pooch; run pip install -e '.[data]'

Read next: `files.py`.
"""

import importlib
from typing import Any

from scratch.checks import ScratchError

# Of each module: the name of its package, and the extra of pyproject.toml that installs it.
EXTRAS = {
    "pooch": ("pooch", "data"), "sklearn": ("scikit-learn", "data"), "tensorboardX": ("tensorboardX", "data"),
    "mpi4py": ("mpi4py", "mpi"), "torch": ("PyTorch", "bench"), "safetensors": ("safetensors", "safetensors"),
}


def extra(module: str, purpose: str, otherwise: str = "") -> Any:
    """The module of this name. Raises: ScratchError, with the command that installs it, when it is missing.

    otherwise: what the message suggests besides that command.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package, name = EXTRAS[module.partition(".")[0]]
        remedy = f"run pip install -e '.[{name}]'" + (f"; or {otherwise}" if otherwise else "")
        raise ScratchError(f"{purpose} needs {package}; {remedy}") from None
