"""Following a run: a history of its figures, a progress bar, and a check that the loss is finite.

    history = History(folder / "history.jsonl")
    for epoch in range(num_epochs):
        for name in progress(names, f"epoch {epoch}"):
            ...
        history.add(epoch=epoch, loss=stop_unless_finite(loss, model, f"epoch {epoch}"))

Each `add` immediately appends one line of JSON to the file, so a run can be followed while it trains.

Read next: `plots.py`.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from scratch.backend import xp
from scratch.checks import ScratchError
from scratch.layer import Layer
from scratch.tools.extras import extra
from scratch.tools.files import may_write, write_text

Item = TypeVar("Item")
REPORT_EVERY = 60  # seconds, where stderr is no terminal


class History:
    """The figures of a run: one dict in `rows` for each `add`, and one JSON line in the file `path`, if given.

    A resumed run passes the rows of its checkpoint, and the file begins with them. If `log` is given (see
    `tensorboard_log`), numbers are written there too.
    """

    def __init__(self, path: str | Path | None = None, rows: Sequence[dict[str, Any]] = (), log: Any = None) -> None:
        self.path, self.rows, self.log = path, list(rows), log
        if path is not None:
            write_text(path, "".join(json.dumps(row) + "\n" for row in self.rows))

    def add(self, **figures: Any) -> None:
        """Add one row."""
        line = json.dumps(figures, default=float)  # float converts NumPy scalars
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
        """The figure `name` of every row that has it."""
        return [row[name] for row in self.rows if name in row]

    def best(self, name: str, largest: bool = False) -> int:
        """The number, from 1, of the first row whose figure `name` is smallest (or largest); 0 if no row has it."""
        values = self.column(name)
        return values.index((max if largest else min)(values)) + 1 if values else 0


def tensorboard_log(path: str | Path | None) -> Any:
    """A TensorBoard log in the folder `path`, or None without a path. Raises: ScratchError without tensorboardX."""
    if path is None or not may_write():
        return None
    return extra("tensorboardX", "a TensorBoard log").SummaryWriter(str(path))


def progress(items: Iterable[Item], label: str = "", total: int | None = None) -> Iterable[Item]:
    """`items`, with a progress bar on stderr or, if stderr is not a terminal, one line a minute.

    `total` is needed where `items` has no length. A loop of a single step has no bar.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr is None or not may_write() or total == 1:  # stderr is closed, or another process draws the bar
        return items
    if not sys.stderr.isatty():
        return _reported(items, label, total)
    # Some terminals report a size of 0 by 0, on which tqdm would show nothing.
    size = {"dynamic_ncols": True} if all(os.get_terminal_size(sys.stderr.fileno())) else {"ncols": 80, "nrows": 24}
    return tqdm(items, desc=label, total=total, leave=False, **size)


def _reported(items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
    reported = time.monotonic()
    for number, item in enumerate(items):
        if (now := time.monotonic()) - reported >= REPORT_EVERY:
            reported = now
            print(f"{label}: {number}{f' of {total}' if total else ''} done", file=sys.stderr, flush=True)
        yield item


def stop_unless_finite(loss: float, model: Layer, where: str) -> float:
    """Return `loss`. Raises: ScratchError when the run has diverged: the loss or a weight is not finite."""
    if not math.isfinite(loss) or not all(bool(xp.isfinite(array).all()) for array in model.params()):
        cause = f"the loss is {loss:g}, or a weight is not finite"
        raise ScratchError(f"training diverged in {where} ({cause}); try a smaller --lr")
    return loss
