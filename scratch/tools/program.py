"""What all example programs share: flags, exit codes and one-line error messages.

    parser = Parser(__doc__)
    parser.common(out="runs/names", epochs=300, seed=0)
    run(main)        # exit code 0; 2 with one line on stderr for bad input; 130 for Ctrl-C

Read next: `run.py`.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy

from scratch.backend import DEVICES, use
from scratch.checks import ScratchError
from scratch.fast.processes import end_all, ending_all, job, join, limit_blas, size_of_job
from scratch.fast.workers import use_workers
from scratch.tools.files import leave_writing_to_another, remove_unfinished, write_text
from scratch.tools.incoming import decoded, in_words, standard_input
from scratch.tools.outgoing import command_line as command_line  # re-exported, as is `one_line`
from scratch.tools.outgoing import escaping, message
from scratch.tools.outgoing import one_line as one_line


def positive(text: str) -> int:
    """Parse a flag's value: a whole number from 1 to a million."""
    if not text.isdecimal() or len(text) > 7 or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 1000000, got {text[:20]!r}")
    return int(text)


def rate(text: str) -> float:
    """Parse a flag's value: a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a finite number of at least 0, got {text[:20]!r}")
    return value


_COMMON: dict[str, dict[str, Any]] = {
    "data": {"type": Path, "metavar": "PATH", "help": "path to a data set, in place of the default one"},
    "out": {"type": Path, "metavar": "FOLDER", "help": "folder for the files that the run writes"},
    "weights": {"type": Path, "metavar": "FILE", "help": "weights file, .npz or .safetensors"},
    "epochs": {"type": positive, "metavar": "N", "help": "number of passes over the training set"},
    "batch_size": {"type": positive, "metavar": "N", "help": "examples per training step"},
    "lr": {"type": rate, "metavar": "RATE", "help": "learning rate"},
    "seed": {"type": int, "metavar": "N", "help": "random seed; the same seed repeats the same run"},
    "device": {"choices": DEVICES, "help": "device to compute on (default: $SCRATCH_DEVICE, or cpu)"},
    "threads": {"type": positive, "metavar": "N", "help": "threads that share each batch (default: one per core)"},
    "workers": {"type": positive, "metavar": "N", "dest": "processes", "help": "processes instead of threads"},
    "plain": {"action": "store_true", "help": "use the plain layers, not the fast engine: slower, same results"},
    "resume": {"action": "store_true", "help": "resume from the checkpoint in --out"},
    "report": {"type": Path, "metavar": "FILE", "help": "write the results to FILE as JSON"},
    "plot": {"type": Path, "metavar": "FILE", "help": "write the plot to FILE as PNG"},
    "patience": {"type": positive, "metavar": "N", "help": "stop after N epochs without improvement"},
    "temperature": {"type": rate, "metavar": "T", "help": "below 1 favours likely characters, above 1 adds variety"},
    "samples": {"type": positive, "metavar": "N", "help": "number of texts to generate at once, as one batch"},
    "top_k": {"type": positive, "metavar": "K", "help": "sample only from the K likeliest characters"},
    "top_p": {"type": rate, "metavar": "P", "help": "sample only from the likeliest characters that make up P of 1"},
    "seed_text": {"metavar": "TEXT", "help": "text with which every sample begins"},
    "smoke": {"action": "store_true", "help": "run briefly on a tiny sample, to check that everything works"},
}


class Parser(argparse.ArgumentParser):
    """argparse with the common flags. A wrong flag produces one line, not a page."""

    def __init__(self, description: str | None, **options: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=formatter, allow_abbrev=False, **options)

    def common(self, **defaults: Any) -> None:
        """Add the common flags named by the keywords, with these defaults; with `threads`, also --workers."""
        if "threads" in defaults:
            defaults["workers"] = None
        for name, default in defaults.items():
            options = dict(_COMMON[name])
            if default is not None and default is not False and default != "":
                options["help"] = f"{options['help'].partition(' (default')[0]} (default: {default})"
            self.add_argument(f"--{name.replace('_', '-')}", default=default, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, then decode the values of flags without a type, which are strings."""
        flags, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.type is None and action.dest in flags:
                name = "/".join(action.option_strings) or action.metavar or action.dest
                setattr(flags, action.dest, decoded(getattr(flags, action.dest), str(name)))
        return flags, rest

    def error(self, message: str) -> NoReturn:
        raise ScratchError(f"{message}; see --help")


def choose(document: str | None, name: str, commands: Mapping[str, Callable[[list[str]], None]]) -> None:
    """Call the command that the first argument names with the other arguments; `document` is the text of --help.

    Without any argument, print that text.
    """
    parser = Parser(document, usage=f"{name} {{{','.join(commands)}}} [flags]")
    parser.add_argument("command", choices=commands, help=f"the command to run; {name} COMMAND --help lists its flags")
    if len(sys.argv) == 1:
        parser.print_help()
        return
    commands[parser.parse_args(sys.argv[1:2]).command](sys.argv[2:])


def run(main: Callable[[], None]) -> NoReturn:
    """Call `main` and exit: 0 when it returns, 2 with one line on stderr for bad input, 130 for Ctrl-C.

    If several processes share a batch and one of them fails, all are ended.
    """
    if (alone := _is_the_process()) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)  # after `&` in a script, SIGINT stays ignored
    with ending_all(), escaping():
        try:
            code, words = _ending(main)
        finally:
            if alone:
                _ignore_ctrl_c()  # the work is done, and Python only tidies up
        if words:
            _say(words)
        sys.exit(code)


def _is_the_process() -> bool:
    """Whether the process ends with the program: it does not in a notebook or a REPL, which keep their own Ctrl-C."""
    interactive = hasattr(sys, "ps1") or sys.flags.interactive or "IPython" in sys.modules
    return not interactive and threading.current_thread() is threading.main_thread()


def _ending(main: Callable[[], None]) -> tuple[int, str]:
    """Call `main`; returns the exit code, and what to say."""
    try:
        # A diverging run is reported through its loss; NumPy's warnings would only clutter the output.
        with numpy.errstate(over="ignore", invalid="ignore"):
            main()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe; a shell reports 141
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141, ""
    except MemoryError as error:  # CuPy's out-of-memory error is a subclass
        return 2, f"error: out of memory{f' ({error})' if str(error) else ''}; {_what_needs_less()}"
    except (ScratchError, OSError) as error:
        return 2, f"error: {in_words(error) if isinstance(error, OSError) else error}"
    return 0, ""


_hint: Callable[[], str] = str


def say_when_stopped(hint: Callable[[], str]) -> None:
    """From now on, Ctrl-C also prints what `hint` returns."""
    global _hint
    _hint = hint


def _stop(number: int, frame: object) -> None:
    """Handle Ctrl-C: print one line and end the program, inside the signal handler.

    A KeyboardInterrupt could be raised anywhere: in a finalizer, where it is lost; in a half-imported library; or while
    threads wait for each other, which would then deadlock. Ending is safe at any moment, because files are replaced
    only when they are complete.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    remove_unfinished()
    hint = _hint()
    with suppress(OSError, ValueError, RuntimeError):  # stderr is closed, or in the middle of a write
        if sys.stderr is not None and sys.stderr.isatty():
            print(file=sys.stderr)  # below the progress bar
        _say(f"stopped; {hint}" if hint else "stopped")
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # a second Ctrl-C does not wait for the reader of stdout
    with suppress(OSError, ValueError, RuntimeError):
        if sys.stdout is not None:
            sys.stdout.flush()
        end_all(130)
    os._exit(130)


def _ignore_ctrl_c() -> None:
    """Ignore Ctrl-C until the process has ended. (Python resets handlers when it exits, but not SIG_IGN.)"""
    report = sys.unraisablehook
    race = "Signal 2 ignored due to race condition"  # Python reports this if Ctrl-C arrives during signal.signal
    sys.unraisablehook = lambda found: None if str(found.exc_value) == race else report(found)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_begun = argparse.Namespace()  # the flags of the running program


def _what_needs_less() -> str:
    size = getattr(_begun, "batch_size", None) or 1
    return f"try --batch-size {size // 2}" if size > 1 else "use a smaller network or batch"


def _say(text: str) -> None:
    """Print one line to standard error."""
    rank = job().rank
    if rank:
        time.sleep(1)  # gives process 0 time to report an error that all share, and to end the others
    program = Path(sys.argv[0].removesuffix(f"{os.sep}__main__.py")).stem  # with `python -m`, the file of a package
    print(f"{program}: {f'process {rank}: ' * bool(rank)}{message(text)}", file=sys.stderr)


def begin(flags: argparse.Namespace, shared: bool = False, small: bool = False) -> None:
    """Set the device, seed and workers that the flags give, where a program has them; if `shared`, join an MPI job.

    If `small`, the command's matrix products are too small to share, and use one thread each. These are the commands
    that answer or generate: they read a few rows at a time.
    Raises: ScratchError when several processes were started but `shared` is False.
    """
    global _begun
    _begun = flags
    if getattr(flags, "device", None) is not None:
        use(flags.device)
    if getattr(flags, "seed", None) is not None:
        random.seed(flags.seed)
    threads, workers = (getattr(flags, name, None) for name in ("threads", "processes"))
    if threads and workers:
        raise ScratchError("threads or processes share a batch, not both; omit --threads or --workers")
    if getattr(flags, "plain", False) and (threads or workers):
        flag = "--threads" if threads else "--workers"
        raise ScratchError(f"{flag} needs the engine; omit {flag} or --plain")
    use_workers(workers)
    if small:
        # BLAS's threads wait for each other in busy loops: a product stands still while another program has a core of
        # theirs. A large batch still uses all cores, because `fast` cuts its rows over threads of its own. The command
        # decides, not the size of each product: training and evaluation read large batches, and heed --threads.
        limit_blas(1)
    if shared and join().rank:
        leave_writing_to_another()
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    if not shared and size_of_job() > 1:
        raise ScratchError("this command runs in one process; start it without mpiexec")


def writable(folder: str | Path) -> Path:
    """Return `folder`, created if needed, after a trial write: a run should fail at its start, not at its end."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ScratchError(f"{folder}: is a file; expected a folder to write to")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    return folder


def writable_file(path: Path | None, *others: Path | None) -> None:
    """Raise ScratchError unless `path`, if not None, can be written without overwriting one of the `others`.

    If one of the `others` is a data folder, `path` must not be in it.
    """
    if path is None:
        return
    taken = [other.resolve() for other in others if other is not None]
    if path.resolve() in taken or path.resolve().parent in taken:
        raise ScratchError(f"{path}: already in use for something else; choose another name")
    if not path.name or (path.exists() and not path.is_file()):
        raise ScratchError(f"{str(path)!r}: expected the name of a regular file to write to")
    writable(path.parent)
    if len(os.fsencode(path.name)) > 200:
        raise ScratchError(f"{path.name[:20]}...: the file name is too long; use at most 200 bytes")


def answer(given: Sequence[str], what: str, reply: Callable[[Sequence[str]], None]) -> None:
    """Call `reply` with the texts that were given; without any, with the lines of standard input.

    On a terminal, it prompts for lines and answers each at once; a line that `reply` rejects does not end the program.
    Raises: ScratchError ("no `what`") when there is no line.
    """
    if given or sys.stdin is None or not sys.stdin.isatty():
        reply(given or lines_of_stdin(f"{what} given; pass some, or type one per line on standard input"))
        return
    print(f"Type {what}, one per line; Ctrl-D ends the program.", file=sys.stderr)
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        if not (line := sys.stdin.buffer.readline()):
            print(file=sys.stderr)
            return
        try:
            if text := line.decode("utf-8").strip():
                reply([text])
        except UnicodeDecodeError:
            _say("error: this line is not UTF-8")
        except ScratchError as error:
            _say(f"error: {error}")
        print(end="", flush=True)


def invite(given: str, what: str) -> None:
    """If `given` is "-" and standard input is a terminal, say what to type there."""
    if given == "-" and sys.stdin is not None and sys.stdin.isatty():
        print(f"Type {what}, then Ctrl-D on a line of its own.", file=sys.stderr)


def figure(value: float, digits: int) -> str:
    """`value` with `digits` digits after the point, and without a minus sign if it rounds to 0."""
    return f"{round(value, digits) + 0.0:.{digits}f}"  # -0.0 + 0.0 is 0.0


def write_report(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write `figures` as JSON to `path`, if not None."""
    if path is not None:
        write_text(path, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def lines_of_stdin(what: str) -> list[str]:
    """The non-blank lines of standard input. Raises: ScratchError ("no `what`") when there are none."""
    lines = [line for line in standard_input().split("\n") if line.strip()]
    if not lines:
        raise ScratchError(f"no {what}")
    return lines
