"""What surrounds a training loop: one object for resuming, figures, checkpoints, the best weights and Ctrl-C.

The loop itself stays in the program, with its five lines:

    with Run(flags, model, optimizer, settings, "char_lm", known=metadata, best="validation", chance=chance) as run:
        for epoch in run.epochs():
            for x, y in run.progress(batches(...)):
                ...
            run.record(loss=mean, validation=validation)
    run.finish(held_out=...)

A run has a folder, `flags.out`, with a checkpoint, its figures a line an epoch (history.jsonl), its weights and its
curve. Of several processes that share a batch, the first one prints and writes.

Read next: `plots.py`.
"""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scratch.checks import ScratchError
from scratch.layer import Layer
from scratch.optimizers import Optimizer
from scratch.tools import history, program
from scratch.tools.checkpoint import load_checkpoint, save_checkpoint, set_aside
from scratch.tools.files import may_write
from scratch.tools.locks import claim
from scratch.tools.plots import curve
from scratch.tools.schema import Maybe, rate
from scratch.tools.weights import load_weights, metadata_of, save_weights

Item = TypeVar("Item")
OWN_FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "loss.png")


class Run:
    """A run of `program`, begun in the folder `flags.out`, or resumed there with `flags.resume`.

    settings: what a resumed run must have in common with the one it continues; plain JSON values.
    known: metadata that is saved with the weights.
    best: the figure by which the best epoch is chosen, whose weights are kept ("-accuracy" for the largest); None keeps
        the last epoch's.
    chance, unit: the loss of a uniform guess, which is printed and drawn beside the loss, and the unit of both.
    every: after how many epochs a checkpoint is saved.
    inputs: files that the program reads, which it must not overwrite; files: what else it writes to its folder.
    state: what else changes from epoch to epoch and is saved in the checkpoint, as JSON.
    figures: the schema of the figures that the program reads back from the history (see `schema.py`).
    write: writes a weights file, given the model, the path and the metadata.

    It reads from the flags: out, epochs, resume; and, where they exist, report, plot, patience, log_path, checkpoint
    (False: keep none) and prefix (of the names of its files).
    Raises: ScratchError when there is nothing to resume, the checkpoint does not fit, or a path cannot be written.
    """

    def __init__(
        self, flags: Namespace, model: Layer, optimizer: Optimizer, settings: Mapping[str, Any], name: str,
        known: Mapping[str, Any] | None = None, best: str | None = None, chance: float | None = None,
        unit: str = "nats", every: int = 1, inputs: Sequence[Path | None] = (), files: Sequence[str] = (),
        state: dict[str, Any] | None = None, figures: Mapping[str, Any] | None = None,
        write: Callable[[Layer, Path, Mapping[str, Any]], None] = save_weights,
    ) -> None:
        self.flags, self.model, self.optimizer, self.name, self.write = flags, model, optimizer, name, write
        self.settings, self.known = dict(settings), {"program": name, **(known or {}), "settings": dict(settings)}
        self.best, self.chance, self.unit, self.every, self.figures = best, chance, unit, every, dict(figures or {})
        self.out, self.state = Path(flags.out), state if state is not None else {}
        paths = check_paths(flags, inputs, files)
        self.checkpoint, history_file, self.weights, loss_png = paths[:4]
        self.plot = getattr(flags, "plot", None) or loss_png
        self.keeps_checkpoint = getattr(flags, "checkpoint", True)
        log = history.tensorboard_log(getattr(flags, "log_path", None))
        done = self._begin(paths)
        self.epoch = self.saved_epoch = done["epoch"]
        self.state.update(done["state"])
        self.history = history.History(history_file, done["rows"], log)
        if self.best and self.history.rows:
            self._check_weights()
        self.started = time.perf_counter() - done["seconds"]

    def _begin(self, paths: list[Path]) -> dict[str, Any]:
        """The progress of the run: resumed, or begun after what an earlier run left has been moved into a folder."""
        done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "state": dict(self.state)}
        if self.flags.resume:
            if not self.checkpoint.exists():
                raise ScratchError(f"{self.checkpoint}: there is no run to resume; omit --resume to start one")
            return self._resumed()
        if may_write():
            if aside := set_aside(paths):
                print(f"{self.out} held an earlier run (--resume would have continued it); it is now in {aside}")
            if self.keeps_checkpoint:
                save_checkpoint(self.checkpoint, self.model, self.optimizer, self.settings, done)
        program.job().wait()
        if self.keeps_checkpoint and not self.checkpoint.exists():
            raise ScratchError(f"{self.checkpoint}: not visible to every process; use a folder that all machines share")
        return done

    def _resumed(self) -> dict[str, Any]:
        """Restore the model and the optimizer from the checkpoint; returns its progress."""
        chosen = {self.best.lstrip("-"): float} if self.best else {}
        row = {"epoch": int, "loss": float, "validation": Maybe(float), **chosen, **self.figures}
        progress = {"epoch": range(10**6 + 1), "rows": [row], "seconds": rate, "state": dict}
        done = load_checkpoint(self.checkpoint, self.model, self.optimizer, self.settings, progress)
        if [row["epoch"] for row in done["rows"]] != list(range(1, done["epoch"] + 1)):
            raise ScratchError(f"{self.checkpoint}: expected one row of figures for each of {done['epoch']} epochs")
        return done

    def _check_weights(self) -> None:
        """Raise ScratchError unless the weights of the best epoch are there."""
        saved = metadata_of(self.weights, self.name, settings=dict, best_epoch=int)
        # A kill may have come after the weights of an epoch were saved, and before its checkpoint was.
        epochs = self.best_epoch, *range(self.epoch + 1, self.epoch + self.every + 1)
        if saved["settings"] != json.loads(json.dumps(self.settings)) or saved["best_epoch"] not in epochs:
            found = f"{self.weights}: not of the run in {self.out}"
            raise ScratchError(f"{found}, which needs the weights of its best epoch")

    @property
    def best_epoch(self) -> int:
        """The number of the best epoch so far; without `best`, of the last one."""
        rows = self.history.rows
        if not self.best or not self.history.column(self.best.lstrip("-")):
            return len(rows)
        return self.history.best(self.best.lstrip("-"), largest=self.best.startswith("-"))

    def epochs(self) -> Iterator[int]:
        """The epochs that are still to come, until `flags.patience` of them in a row were not the best."""
        patience = getattr(self.flags, "patience", None)
        for epoch in range(self.epoch + 1, self.flags.epochs + 1):
            if patience and epoch - self.best_epoch > patience:
                print(f"stopped: no improvement in {patience} epochs")
                return
            yield epoch

    def progress(self, items: Iterable[Item], total: int | None = None) -> Iterable[Item]:
        """`items` with a progress bar."""
        return history.progress(items, f"epoch {self.epoch + 1}", total)

    def finite(self, loss: float) -> float:
        """`loss`, if it and the weights are finite; a ScratchError otherwise, before the model is used further."""
        return history.stop_unless_finite(loss, self.model, f"epoch {self.epoch + 1}")

    def record(self, *, note: str = "", **figures: Any) -> None:
        """The figures of an epoch, `loss` among them: printed, and saved with the checkpoint and the best weights.

        Numbers and texts are printed, with the `note` after the first; lists are only saved.
        Raises: ScratchError when the loss or a weight is not finite.
        """
        epoch = self.epoch + 1
        self.finite(figures["loss"])
        figures = program.job().of_first(figures)
        self.history.add(epoch=epoch, **figures)
        print(f"epoch {epoch:3}  {self._line(figures, note)}", flush=True)
        if self.best and self.best_epoch == epoch:
            self.write(self.model, self.weights, self.known | {"best_epoch": epoch})
        self.epoch = epoch
        if self.keeps_checkpoint and (epoch % self.every == 0 or epoch == self.flags.epochs):
            self.save()

    def save(self) -> None:
        """Save a checkpoint."""
        done = {"epoch": self.epoch, "rows": self.history.rows, "seconds": self.seconds, "state": self.state}
        save_checkpoint(self.checkpoint, self.model, self.optimizer, self.settings, done)
        self.saved_epoch = self.epoch

    def _line(self, figures: Mapping[str, Any], note: str) -> str:
        parts: list[str] = []
        for name, value in figures.items():
            if isinstance(value, (int, float)):
                shown = f"{name.replace('_', ' ')} {program.figure(value, 4)}"
                parts.append(shown + (f" {note}" if note and not parts else ""))
            elif isinstance(value, str):
                parts.append(program.one_line(value))
            if name == "loss" and self.chance is not None:
                parts[-1] += f" (chance {self.chance:.3f})"
        return "  ".join(parts)

    @property
    def seconds(self) -> float:
        """How long the run has taken, in all its sessions."""
        return time.perf_counter() - self.started

    def how_to_resume(self) -> str:
        """The hint that Ctrl-C prints during training."""
        return f"--resume continues after epoch {self.saved_epoch}" if self.keeps_checkpoint else ""

    def __enter__(self) -> "Run":
        program.say_when_stopped(self.how_to_resume)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        program.say_when_stopped(str)

    def load_best(self) -> None:
        """Give the model the weights of its best epoch, which need not be the last."""
        if self.best:
            program.job().wait()  # the first process may just have written the file
            load_weights(self.model, self.weights)

    def finish(self, title: str = "", xlabel: str = "epoch", every: int = 1, **figures: Any) -> dict[str, Any]:
        """Save the weights with the figures of the run, the report and the curve; returns the figures.

        The curve has `title`, and epochs along x, or `every` of `xlabel` for each epoch.
        """
        figures = {
            **figures, "loss": self.history.column("loss")[self.best_epoch - 1], "best_epoch": self.best_epoch,
            "epochs": self.epoch, "seconds": self.seconds, "seed": getattr(self.flags, "seed", None),
            "command": program.command_line(f"examples/{Path(sys.argv[0]).name}", sys.argv[1:]),
        }
        self.write(self.model, self.weights, self.known | figures)
        program.write_report(getattr(self.flags, "report", None), figures)
        names = {"training": "loss", "validation": "validation"}
        lines = {label: self.history.column(name) for label, name in names.items() if self.history.column(name)}
        levels = {} if self.chance is None else {"chance": self.chance}
        curve(self.plot, lines, xlabel, f"loss ({self.unit})", title or self.name, levels, every)
        return figures


def check_paths(flags: Namespace, inputs: Sequence[Path | None], files: Sequence[str] = ()) -> list[Path]:
    """The files of a run: OWN_FILES and `files`, in `flags.out`, which is claimed for this process.

    Raises: ScratchError unless all can be written.
    """
    prefix = getattr(flags, "prefix", "")
    paths = [Path(flags.out) / f"{prefix}{name}" for name in (*OWN_FILES, *files)]
    program.writable(flags.out)
    plot, others = getattr(flags, "plot", None) or paths[3], [path for path in paths if path != paths[3]]
    report = getattr(flags, "report", None)
    written = [path.name for path in (*paths, plot, report) if path and path.parent == paths[0].parent]
    claim(flags.out, written, prefix)
    program.writable_file(plot, *inputs, *others)
    program.writable_file(report, *inputs, plot, *paths)
    return paths
