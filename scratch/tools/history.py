"""What a run did: its figures, a progress bar, and a stop when the loss is not finite.

    history = History(folder / "history.jsonl")
    for epoch in range(num_epochs):
        for name in progress(names, f"epoch {epoch}"):
            ...
        history.add(epoch=epoch, loss=stop_unless_finite(loss, model, f"epoch {epoch}"))

The file has one line of JSON for each `add`, written at once, so that a run can be watched while it is going on.

Read next: `plots.py`.
"""

import importlib
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from scratch.backend import xp
from scratch.checks import ScratchError
from scratch.layer import Layer
from scratch.tools.files import may_write, write_text

Item = TypeVar("Item")


class History:
    """The figures of a run, a dict for each `add`, in `rows`; and in a file of JSON lines if `path` is given.

    A resumed run gives the rows of its checkpoint, and the file begins with them. With a `log`, which
    `tensorboard_log` makes, the numbers are written there too.
    """

    def __init__(self, path: str | Path | None = None, rows: Sequence[dict[str, Any]] = (), log: Any = None) -> None:
        self.path, self.rows, self.log = path, list(rows), log
        if path is not None:
            write_text(path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def add(self, **figures: Any) -> None:
        """Add one row."""
        line = json.dumps(figures, default=float)  # NumPy's scalars as plain numbers
        self.rows.append(json.loads(line))
        if self.path is not None and may_write():
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        if self.log is not None:
            for name, value in self.rows[-1].items():
                if isinstance(value, (int, float)):
                    self.log.add_scalar(name, value, len(self.rows))
            self.log.flush()

    def column(self, name: str) -> list[Any]:
        """One figure of every row that has it."""
        return [row[name] for row in self.rows if name in row]

    def best(self, name: str, largest: bool = False) -> int:
        """The number of the row, from 1 on, where that figure is smallest (or largest) first; 0 when there is none."""
        values = self.column(name)
        return values.index((max if largest else min)(values)) + 1 if values else 0


def tensorboard_log(path: str | Path | None) -> Any:
    """A log for TensorBoard in the folder `path`, if there is one. Raises: ScratchError without tensorboardX."""
    if path is None or not may_write():
        return None
    try:
        return importlib.import_module("tensorboardX").SummaryWriter(str(path))
    except ImportError:
        raise ScratchError("a log for TensorBoard takes pip install -e '.[data]'") from None


def progress(items: Iterable[Item], label: str = "", total: int | None = None) -> Iterable[Item]:
    """`items` (`total` of them, if it is not len(items)), with a progress bar on stderr, where that is a terminal."""
    if sys.stderr is None or not may_write():  # stderr is closed, or another process draws the bar
        return items
    return tqdm(items, desc=label, total=total, disable=None, leave=False, dynamic_ncols=True)


def stop_unless_finite(loss: float, model: Layer, where: str) -> float:
    """`loss` itself. Raises: ScratchError when it or a weight is not finite: the run has diverged."""
    if not math.isfinite(loss) or not all(bool(xp.isfinite(array).all()) for array in model.params()):
        raise ScratchError(f"the loss is {loss:g}, or a weight not finite, in {where}: a smaller --lr may help")
    return loss
