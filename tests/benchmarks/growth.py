"""Measure how time and memory grow with the batch, the sequence, the width, the text and the number of processes.

    python tests/benchmarks/growth.py --json figures.json                  # all curves, in 4 minutes
    python tests/benchmarks/growth.py batch-lstm ranks                     # some of them; --help lists them
    python tests/benchmarks/growth.py --read figures.json --page docs/growth.md

Each point of a curve has a process of its own, which makes two steps and waits. The processes then run in turn, for a
slice of --seconds in each of --rounds; the time is the median of the slices. The memory is the peak of a process,
summed over all processes of a point. A model such as `1 + batch` is a sum of terms, each with a coefficient of its own.
The coefficients minimise the sum of the squared relative errors, and none is negative.

--page replaces the tables of a Markdown page, which stand between the comments <!-- NAME --> and <!-- end -->. With
--read, nothing is measured: the figures come from a file that --json wrote.
"""

import json
import math
import re
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy
from slices import Worker
from timing import load, machine, mpiexec

from scratch.backend import use
from scratch.checks import ScratchError
from scratch.fast.processes import job
from scratch.tools.files import read_json, write_text
from scratch.tools.history import progress
from scratch.tools.program import Parser, positive, rate, run, writable_file

WORKLOADS = load("growth")
WORDS = {
    "lstm": "two LSTMs, a training step", "gpt": "transformer, a training step", "text": "reading a text",
    "bpe": "learning byte pairs and encoding the text",
}
USUAL = {"lstm": {"batch": 64, "length": 50, "hidden": 256}, "gpt": {"batch": 12, "context": 64, "features": 128}}
CORES = ("threads", "workers", "ranks")  # what shares a batch
QUANTITIES = {"time": "ms", "memory": "MB"}
Row = dict[str, Any]


class Curve(NamedTuple):
    """What is varied, in which values; the models of time and memory; and the value that the summary doubles."""

    kind: str
    over: str
    values: tuple[Any, ...]
    time: str
    memory: str
    usual: float = 0  # 0: none


def polynomial(kind: str, over: str, values: tuple[float, ...], usual: float, degree: int = 1) -> Curve:
    """A curve whose time and memory are modelled by polynomials of this degree in what is varied."""
    model = f"1 + {over}" + f" + {over}²" * (degree > 1)
    return Curve(kind, over, values, model, model, usual)


def shared(over: str, values: tuple[tuple[int, int], ...]) -> Curve:
    """A curve of an LSTM's batch that is shared. A value is a number of threads, workers or ranks, and a batch."""
    return Curve("lstm", over, values, f"{over} + rows per core", f"{'1 + ' * (over == 'threads')}{over} + batch")


CURVES = {
    "batch-lstm": polynomial("lstm", "batch", (1, 4, 16, 64, 256), 64),
    "batch-gpt": polynomial("gpt", "batch", (1, 4, 16, 64, 256), 12),
    "sequence-lstm": polynomial("lstm", "length", (25, 50, 100, 200, 400, 800), 50),
    "sequence-gpt": polynomial("gpt", "context", (32, 64, 128, 256, 512, 1024), 64, degree=2),
    "width-lstm": polynomial("lstm", "hidden", (64, 128, 256, 512, 1024), 256, degree=2),
    "width-gpt": polynomial("gpt", "features", (64, 128, 256, 512), 128, degree=2),
    "text": polynomial("text", "MB of text", (1, 10, 100), 10),
    "bpe": polynomial("bpe", "MB of text", (1, 3, 10), 3),
    "ngrams": Curve("ngrams", "MB of text", (0.125, 0.25, 0.5, 1), "1 + MB of text", "1 + millions of n-grams"),
    "threads": shared("threads", ((1, 32), (1, 64), (1, 128), (2, 32), (2, 64), (2, 128))),
    "workers": shared("workers", ((1, 32), (1, 64), (1, 128), (2, 32), (2, 64), (2, 128))),
    "ranks": shared("ranks", ((1, 64), (2, 64), (4, 64), (2, 128), (4, 256))),
}


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("curves", nargs="*", metavar="CURVE", help=f"one of {', '.join(CURVES)} (default: all)")
    parser.add_argument("--rounds", type=positive, default=5, help="slices of each point (default: 5)")
    parser.add_argument("--seconds", type=rate, default=0.3, help="seconds of a slice (default: 0.3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE, beside those in it")
    parser.add_argument("--read", type=Path, metavar="FILE", help="take the figures from FILE; measure nothing")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the tables into this Markdown page")
    parser.common(smoke=False)
    flags = parser.parse_args()
    if unknown := set(flags.curves) - set(CURVES):
        raise ScratchError(f"unknown curve {min(unknown)!r}; choose from {', '.join(CURVES)}")
    if flags.read and (flags.json or flags.curves or flags.smoke):
        raise ScratchError("--read measures nothing; omit it, or the curves, --json and --smoke")
    writable_file(flags.json)
    writable_file(flags.page, flags.json, flags.read)
    known = flags.read or flags.json
    found = read_json(known) if known and (flags.read or known.is_file()) else {"curves": {}}
    if not flags.read:
        names = flags.curves or list(CURVES)
        if "ranks" in names:
            mpiexec()  # is missed now, not in the middle
        use("cpu")
        if find_spec("torch"):  # which knows the instruction set
            found["machine"] = machine()
            print("; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in found["machine"].items()))
        for name in names:
            found["curves"][name] = measured(CURVES[name], flags)
            print(f"\n{name}\n\n{table(CURVES[name], found['curves'][name])}", flush=True)
            if flags.json:
                write_text(flags.json, json.dumps(found, indent=1) + "\n")
    if flags.page:
        page = flags.page.read_text(encoding="utf-8")
        tables = {name: table(CURVES[name], rows) for name, rows in found["curves"].items()}
        for name, text in (tables | {"summary": summary(found["curves"])}).items():
            before, mark, rest = page.partition(f"<!-- {name} -->\n")
            _, end, after = rest.partition("<!-- end -->")
            if not end:
                raise ScratchError(f"{flags.page}: expected <!-- {name} -->, and <!-- end --> after it")
            page = f"{before}{mark}{text}\n{end}{after}"
        write_text(flags.page, page)


def measured(curve: Curve, flags: Any) -> list[Row]:
    """The sizes of each point, with its time in milliseconds and its memory in MB."""
    values = curve.values
    if flags.smoke:
        values = tuple(value / 1000 if curve.over == "MB of text" else value for value in (4, 8, 16))
        values = ((1, 4), (2, 4), (1, 8)) if curve.over in CORES else values
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rows, workers = [], []
        for value in values:
            row, arguments, ranks = point(curve, value, flags.smoke, Path(folder))
            name = f"growth-{','.join([curve.kind, *(f'{name}={size}' for name, size in arguments.items())])}"
            rows.append(row)
            workers.append(stack.enter_context(Worker(name, "ours", processes=ranks)))
            workers[-1].answer()
        ran = [[worker.run(flags.seconds) for worker in workers]
               for _ in progress(range(flags.rounds), f"{curve.kind}, {curve.over}")]
        for row, worker, slices in zip(rows, workers, zip(*ran, strict=True), strict=True):
            row["time"] = 1000 * median(answer["seconds"] / answer["steps"] for answer in slices)
            row["memory"] = peak_mb(worker.process.pid) or max(answer["peak_mb"] for answer in slices)
    return rows


def point(curve: Curve, value: Any, smoke: bool, folder: Path) -> tuple[Row, Row, int]:
    """The sizes of a point, the arguments of its workload, and how many processes mpiexec starts."""
    if curve.over == "MB of text":
        path = folder / f"{value}.txt"
        path.write_text(WORKLOADS.text_of(round(1e6 * value), smoke), encoding="utf-8")
        row: Row = {curve.over: value}
        if curve.kind == "ngrams":
            row["millions of n-grams"] = sum(len(level.keys) for level in WORKLOADS.ngrams(path).levels) / 1e6
        return row, {"path": path}, 1
    arguments: Row = {name: 4 if smoke else size for name, size in USUAL[curve.kind].items()}
    if curve.over not in CORES:
        return {curve.over: value}, arguments | {curve.over: value}, 1
    number, batch = value
    row = {curve.over: number, "batch": batch, "rows per core": batch / min(number, job().num_cores)}
    if curve.over == "ranks":
        return row, arguments | {"batch": batch, "threads": 1}, number
    return row, arguments | {"batch": batch, curve.over: number}, 1


def peak_mb(pid: int) -> float:
    """The peak memory of a process and of those that it started, in MB; 0 where the system does not say."""
    try:
        own = int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
        children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (OSError, TypeError):
        return 0
    return own + sum(peak_mb(int(child)) for some in children for child in some)


def terms(model: str, rows: list[Row]) -> numpy.ndarray:
    """The terms of a model, such as `1 + batch + batch²`, at each row: (rows, terms)."""
    columns = [[1.0 if term == "1" else row[term.rstrip("²")] ** (1 + term.endswith("²")) for row in rows]
               for term in model.split(" + ")]
    return numpy.array(columns, dtype=float).T


def fit(columns: numpy.ndarray, values: Any) -> numpy.ndarray:
    """The coefficients by which the columns add up to `values`, with the least squares of the relative errors.

    No cost is negative: the most negative coefficient is set to 0 until none is.
    """
    relative, kept = columns / numpy.asarray(values)[:, None], list(range(columns.shape[1]))
    while True:
        coefficients = numpy.zeros(columns.shape[1])
        coefficients[kept] = numpy.linalg.lstsq(relative[:, kept], numpy.ones(len(relative)))[0]
        if coefficients.min() >= 0:
            return coefficients
        kept.remove(int(coefficients.argmin()))


def predicted(model: str, rows: list[Row], quantity: str, at: list[Row] | None = None) -> numpy.ndarray:
    """What the model that is fitted to the rows says of these rows, or of those of `at`."""
    coefficients = fit(terms(model, rows), [row[quantity] for row in rows])
    return terms(model, at or rows) @ coefficients


def doubled(curve: Curve, rows: list[Row], quantity: str) -> float:
    """By how much the model multiplies the quantity where the usual value is doubled."""
    at = [{curve.over: curve.usual}, {curve.over: 2 * curve.usual}]
    once, twice = predicted(getattr(curve, quantity), rows, quantity, at)
    return twice / once


def table(curve: Curve, rows: list[Row]) -> str:
    """The measured values beside those of the models, and the models, in Markdown."""
    headings = [name for name in rows[0] if name not in QUANTITIES]
    columns, sentences = [[row[name] for row in rows] for name in headings], []
    for quantity, unit in QUANTITIES.items():
        model, values = getattr(curve, quantity), [row[quantity] for row in rows]
        said, c = predicted(model, rows, quantity), fit(terms(model, rows), values)
        headings += [f"{quantity}, {unit}", "model"]
        columns += [values, said]
        parts = [f"{k:.3g}" + f" · {term}" * (term != "1") for k, term in zip(c, model.split(" + "), strict=True) if k]
        error = math.ceil(100 * abs(said / values - 1).max())
        sentences.append(f"- {quantity} = {' + '.join(parts)}, in {unit}, within {error} %")
        if model.endswith("²") and c[1:].all():
            sentences.append(f"- the quadratic term of the {quantity} equals the linear one at {c[1] / c[2]:.0f}")
    cells = [[f"{value:.4g}" for value in row] for row in zip(*columns, strict=True)]
    return "\n".join([*map(line, (headings, ["---"] * len(headings), *cells)), "", *sentences])


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def summary(found: dict[str, list[Row]]) -> str:
    """What doubling costs, for each curve that is there, in Markdown."""
    lines = [line(["what", "doubled", "time: factor", "memory: factor"]), line(["---"] * 4)]
    for name, curve in CURVES.items():
        if curve.usual and name in found:
            factors = [f"{doubled(curve, found[name], quantity):.2f}" for quantity in QUANTITIES]
            lines.append(line([WORDS[curve.kind], f"{curve.over}, {curve.usual} to {2 * curve.usual}", *factors]))
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
