"""What every example program does alike: flags, exit codes, and one line to the user when something is wrong.

    parser = Parser(__doc__)
    parser.common(out="runs/names", epochs=300, seed=0)
    run(main)        # exit code 0; 2 with one line on stderr for bad input; 130 for Ctrl-C

Read next: `run.py`.
"""

import argparse
import io
import json
import os
import random
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy

from scratch.backend import DEVICES, use
from scratch.checks import ScratchError
from scratch.fast.processes import ending_all, job, join, size_of_job
from scratch.tools.files import leave_writing_to_another, write_text


def positive(text: str) -> int:
    """A whole number from 1 to a million: the type of a flag."""
    if not text.isdecimal() or len(text) > 7 or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000000, got {text[:20]!r}")
    return int(text)


def rate(text: str) -> float:
    """A finite number that is not negative: the type of a flag."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text[:20]!r}")
    return value


_COMMON: dict[str, dict[str, Any]] = {
    "data": {"type": Path, "metavar": "PATH", "help": "the data to work on"},
    "out": {"type": Path, "metavar": "FOLDER", "help": "where checkpoint, weights, figures and pictures go"},
    "weights": {"type": Path, "metavar": "FILE", "help": "the .npz file of weights to use"},
    "epochs": {"type": positive, "metavar": "N", "help": "how many times to go through the data"},
    "batch_size": {"type": positive, "metavar": "N", "help": "how many examples make one step of learning"},
    "lr": {"type": rate, "metavar": "RATE", "help": "the learning rate"},
    "seed": {"type": int, "metavar": "N", "help": "the seed of all chance: the same seed, the same run"},
    "device": {"choices": DEVICES, "help": "where to compute (default: $SCRATCH_DEVICE, else cpu)"},
    "threads": {"type": positive, "metavar": "N", "help": "threads that share a batch (default: one for each core)"},
    "plain": {"action": "store_true", "help": "without the engine: the plain layers, slower, with the same results"},
    "resume": {"action": "store_true", "help": "go on from the checkpoint in --out"},
    "report": {"type": Path, "metavar": "FILE", "help": "write the run's figures to FILE as JSON"},
    "plot": {"type": Path, "metavar": "FILE", "help": "where the picture goes, as PNG"},
    "patience": {"type": positive, "metavar": "N", "help": "stop when this many epochs in a row were not the best"},
    "count": {"type": positive, "metavar": "N", "help": "how many to make"},
    "temperature": {"type": rate, "metavar": "T", "help": "below 1: likelier ones; above: wilder ones"},
    "samples": {"type": positive, "metavar": "N", "help": "how many texts at once, as one batch"},
    "top_k": {"type": positive, "metavar": "K", "help": "choose among the K likeliest characters only"},
    "seed_text": {"metavar": "TEXT", "help": "what each begins with"},
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
            if default is not None and default is not False and default != "":
                options["help"] += f" (default: {default})"
            self.add_argument(f"--{name.replace('_', '-')}", default=default, **options)

    def error(self, message: str) -> NoReturn:
        raise ScratchError(f"{message}; see --help")


def choose(document: str | None, name: str, commands: Mapping[str, Callable[[list[str]], None]]) -> None:
    """Call the command that the first argument names, with the other arguments; `document` is the page of --help."""
    parser = Parser(document, usage=f"{name} {{{','.join(commands)}}} [flags]")
    parser.add_argument("command", choices=commands, help=f"what to do; {name} COMMAND --help tells more")
    commands[parser.parse_args(sys.argv[1:2]).command](sys.argv[2:])


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and exit: 0 when it returns, 2 with one line on stderr for bad input, 130 for Ctrl-C.

    When it fails in one of several processes that share a batch, all of them are ended.
    """
    with ending_all():
        try:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")  # a name may have letters that the terminal lacks
            # A run that goes wrong is found by its loss, in words; NumPy's own warnings would only come in between.
            with numpy.errstate(over="ignore", invalid="ignore"):
                main()
            if sys.stdout is not None:
                sys.stdout.flush()
        except KeyboardInterrupt as interrupt:
            _say(f"stopped; {interrupt}" if str(interrupt) else "stopped")
            sys.exit(130)
        except BrokenPipeError:  # whoever read our output has enough of it; 141 is what a shell says then
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except MemoryError as error:  # CuPy's, of a GPU, is one of its kinds
            _say(f"error: out of memory{f' ({error})' if str(error) else ''}; {_what_needs_less()}")
            sys.exit(2)
        except (ScratchError, OSError) as error:
            _say(f"error: {error}")
            sys.exit(2)
        sys.exit(0)


_begun = argparse.Namespace()  # the flags of the program that runs


def _what_needs_less() -> str:
    size = getattr(_begun, "batch_size", None) or 1
    return f"try --batch-size {size // 2}" if size > 1 else "a smaller network or batch needs less"


def _say(text: str) -> None:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    rank = job().rank
    if rank:
        time.sleep(1)  # what all of them have to say, the first one says, and ends the others
    print(f"{Path(sys.argv[0]).stem}: {f'process {rank}: ' * bool(rank)}{' '.join(text.split())}", file=sys.stderr)


def begin(flags: argparse.Namespace, shared: bool = False) -> None:
    """Set the device and the seed that the flags name, where a program has them; `shared`: and join an MPI job.

    Raises: ScratchError when several processes were started of what is not shared.
    """
    global _begun
    _begun = flags
    if getattr(flags, "device", None) is not None:
        use(flags.device)
    if getattr(flags, "seed", None) is not None:
        random.seed(flags.seed)
    if getattr(flags, "plain", False) and getattr(flags, "threads", None):
        raise ScratchError("--threads is for the engine: leave it off, or --plain")
    if shared and join().rank:
        leave_writing_to_another()
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    if not shared and size_of_job() > 1:
        raise ScratchError("this runs in one process; start it without mpiexec")


def writable(folder: str | Path) -> Path:
    """`folder`, made if need be, after a file in it could be written: before a run, not at its end."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ScratchError(f"{folder}: is a file; expected a folder to write to")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    return folder


def writable_file(path: Path | None, *others: Path | None) -> None:
    """Raise ScratchError unless `path`, if there is one, can be written later without loss of one of the `others`.

    Where one of those is a folder, of data, nothing may be written into it.
    """
    if path is None:
        return
    taken = [other.resolve() for other in others if other is not None]
    if path.resolve() in taken or path.resolve().parent in taken:
        raise ScratchError(f"{path}: is needed for something else; choose another name")
    if not path.name or (path.exists() and not path.is_file()):
        raise ScratchError(f"{str(path)!r}: not the name of a plain file to write to")
    writable(path.parent)
    if len(os.fsencode(path.name)) > 200:
        raise ScratchError(f"{path.name[:20]}...: the name is too long")


def write_report(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write `figures` as JSON to `path`, if there is one."""
    if path is not None:
        write_text(path, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def command_line(program: str, arguments: Sequence[str]) -> str:
    """The command that started a program, as text that can be kept with what it made."""
    return shlex.join(["python", program, *arguments]).encode("utf-8", "backslashreplace").decode("utf-8")


def lines_of_stdin(what: str) -> list[str]:
    """The lines on standard input that are not blank. Raises: ScratchError without any ("no `what`")."""
    try:
        lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig").read().splitlines() if sys.stdin else []
    except UnicodeDecodeError as error:
        raise ScratchError(f"standard input: not UTF-8 (byte {error.start})") from None
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise ScratchError(f"no {what}")
    return lines


def one_line(text: str) -> str:
    """`text` as it can be printed on one line of a terminal: control characters are shown, not obeyed."""
    obeyed = r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
    return re.sub(obeyed, lambda match: ascii(match[0])[1:-1], text) or "(empty)"
