"""What every example program does alike: flags, exit codes, and one line to the user when something is wrong.

    parser = Parser(__doc__)
    parser.common(out="runs/names", epochs=300, seed=0)
    run(main)        # exit code 0; 2 with one line on stderr for bad input; 130 for Ctrl-C

Read next: `examples/company_names.py`.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy

from scratch.backend import DEVICES, ScratchError, use
from scratch.files import write_text


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text!r}")
    return value


positive, rate = _positive, _rate  # for flags of an example's own

_COMMON: dict[str, dict[str, Any]] = {
    "data": {"type": Path, "metavar": "PATH", "help": "the data to work on"},
    "out": {"type": Path, "metavar": "FOLDER", "help": "where checkpoint, weights, figures and pictures go"},
    "weights": {"type": Path, "metavar": "FILE", "help": "the .npz file of weights to use"},
    "epochs": {"type": positive, "metavar": "N", "help": "how many times to go through the data"},
    "lr": {"type": rate, "metavar": "RATE", "help": "the learning rate"},
    "seed": {"type": int, "metavar": "N", "help": "the seed of all chance: the same seed, the same run"},
    "device": {"choices": DEVICES, "help": "where to compute (default: $SCRATCH_DEVICE, else cpu)"},
    "resume": {"action": "store_true", "help": "go on from the checkpoint in --out"},
    "report": {"type": Path, "metavar": "FILE", "help": "write the run's figures to FILE as JSON"},
    "plot": {"type": Path, "metavar": "FILE", "help": "where the curve of the loss goes, as PNG"},
    "smoke": {"action": "store_true", "help": "a run of a few seconds on a tiny sample, to see that all works"},
}


class Parser(argparse.ArgumentParser):
    """argparse, with the common flags, and with one line in place of a page when a flag is wrong."""

    def __init__(self, description: str | None, **options: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=formatter, allow_abbrev=False, **options)

    def common(self, **defaults: Any) -> None:
        """Add the common flags named by the keywords, with these defaults."""
        for name, default in defaults.items():
            options = dict(_COMMON[name])
            if default not in (None, False):
                options["help"] += f" (default: {default})"
            self.add_argument(f"--{name.replace('_', '-')}", default=default, **options)

    def error(self, message: str) -> NoReturn:
        raise ScratchError(f"{message}; see --help")


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and exit: 0 when it returns, 2 with one line on stderr for bad input, 130 for Ctrl-C."""
    try:
        # A run that goes wrong is found by its loss, in words; NumPy's own warnings would only come in between.
        with numpy.errstate(over="ignore", invalid="ignore"):
            main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("stopped")
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (ScratchError, OSError) as error:
        _say(f"error: {error}")
        sys.exit(2)
    sys.exit(0)


def _say(text: str) -> None:
    print(f"{Path(sys.argv[0]).stem}: {' '.join(text.split())}", file=sys.stderr)


def begin(flags: argparse.Namespace) -> None:
    """Set the device and the seed that the flags name."""
    if flags.device is not None:
        use(flags.device)
    if flags.seed is not None:
        random.seed(flags.seed)


def writable(folder: str | Path) -> Path:
    """`folder`, made if need be, after a file in it could be written: before a run, not at its end."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    return folder


def write_report(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write `figures` as JSON to `path`, if there is one."""
    if path is not None:
        write_text(path, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def one_line(text: str) -> str:
    """`text` as it can be printed on one line of a terminal: control characters are shown, not obeyed."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: repr(match[0])[1:-1], text)
