"""Compare each model's speed with PyTorch's: python tests/benchmarks/compare.py

There are four sides. `ours` is the model run by the engine, `fast(model)`; `plain` is the same model as the book has
it, which shows what clarity costs. `eager` is PyTorch as a user would write it; `tuned` is the fastest equivalent that
was found. Before anything is timed, the gradients of `ours` are compared with PyTorch's, which proves that both do the
same work.

Each side of a workload has a process, which lives as long as its row is measured. The sides run in turn, for slices of
a quarter of a second, every other round in reverse order. The ratio to PyTorch is taken between neighbouring slices,
so whatever slows down both cancels out. The table has the typical ratio (the geometric mean of the middle half) and its
95 % confidence interval, by the bootstrap. A row is `ahead` where the intervals of both ratios are above 1, `behind`
where that of one is below 1, and `even` otherwise. A slice of a large float32 matrix product runs in turn with the
others; the share of peak is the throughput of `ours` relative to it.

    pip install -e '.[bench]'
    python tests/benchmarks/compare.py --json figures.json         # all rows, in 12 minutes
    python tests/benchmarks/compare.py lstm-256 lstm-256:1
    python tests/benchmarks/compare.py --neighbours                # also beside 1 and 4 busy processes
    python tests/benchmarks/compare.py --processes 2 lstm-256      # ours under mpiexec: after pip install -e '.[mpi]'
    python tests/benchmarks/compare.py --device cuda               # all on a GPU: after pip install -e '.[cuda12]'

On a GPU `eager` is PyTorch with its own defaults, by which cuDNN's convolutions may round to TF32; ours do not, unless
CUPY_TF32=1. The gradients are compared on the CPU. Two lower bounds are reported beside the times, for any program that
computes the same products and passes on the same arrays. One is the number of operations at the peak speed of a matrix
product. The other is a number of bytes at the speed of a copy: each layer's output and its gradient, each written and
read once, and each parameter, its gradient and the optimizer's state.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from slices import Worker, answers, in_words, measure, neighbours, ratios, times, verdict, with_interval
from timing import load, machine, mpiexec

from scratch.backend import use
from scratch.checks import ScratchError
from scratch.tools.extras import extra
from scratch.tools.files import write_text
from scratch.tools.history import progress
from scratch.tools.program import Parser, positive, rate, run, say_when_stopped, writable_file

WORKLOADS = {
    "characters": "company names, one character a step (2 SimpleRnn of 32, Momentum)",
    "names": "company names, a whole name a step, full BPTT",
    "tutorial": "names to languages, the PyTorch tutorial's network, one name of 7 letters a step",
    "lstm-256": "2 LSTM of 256, batch 64, sequences of 50, 65 characters, Adam",
    "lstm-512": "2 LSTM of 512, batch 64, sequences of 100, 65 characters, Adam",
    "lstm-alice": "Alice, 1 LSTM of 256, batch 128, windows of 100, Adam",
    "lstm-alice2": "Alice, 2 LSTM of 256, batch 128, windows of 100, Adam",
    "charcnn-150": "char-CNN, small, batch 128, texts of 150, SGD with momentum",
    "charcnn-1014": "char-CNN, small, batch 128, texts of 1014, SGD with momentum",
    "images-128": "CIFAR-10, 3x3 convolutions of 64, 128, 256, 256 with BatchNorm, batch 128, SGD with momentum",
    "images-512": "CIFAR-10, the same, batch 512",
    "bidaf-32": "BiDAF, batch 32, contexts of 200, questions of 30, hidden 100, Adam",
    "gpt-small": "transformer, 4 layers of 128 features, 4 heads, context 64, batch 12, AdamW",
    "gpt-64": "transformer, 4 layers of 192 features, 6 heads, context 128, batch 64, AdamW",
    "lstm-letters": "2 LSTM of 512 generate text, one letter",
    "gpt-letters": "gpt-small generates text with a key-value cache, one letter",
}
FORWARD = {  # prediction only, for a batch of 1 and of 64
    f"{name}:{size}": f"{label}, batch {size}"
    for name, label in {
        "names": "company names, 10 letters", "tutorial": "names to languages, 7 letters",
        "lstm-256": "2 LSTM of 256, sequences of 50", "lstm-512": "2 LSTM of 512, sequences of 100",
        "lstm-alice": "Alice, 1 LSTM of 256, windows of 100", "lstm-alice2": "Alice, 2 LSTM of 256, windows of 100",
        "charcnn-150": "char-CNN, texts of 150", "charcnn-1014": "char-CNN, texts of 1014",
        "images-128": "CIFAR-10's network", "bidaf-32": "BiDAF", "gpt-small": "transformer, 64 letters",
    }.items()
    for size in (1, 64)
}
KNOWN = WORKLOADS | FORWARD
SHARED = {name for name in WORKLOADS if re.search("[0-9]$|alice|gpt-small", name)}  # a batch that processes can share
BESIDE = (1, 4)  # busy processes
BESIDE_NEIGHBOURS = ("names:1", "lstm-letters", "lstm-256")  # where no workload is given
FEWEST = 6  # rounds of a row, as long as the table's time is not over
FLOORS = "lower bounds, ms: operations, bytes"
HEADINGS = (
    "| workload | ours, ms | plain book, ms | eager, ms | tuned, ms | ratio to eager | ratio to tuned | verdict | "
    "share of peak | peak memory: ours, PyTorch |"
)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD",
        help=f"one of {', '.join(KNOWN)}; NAME:BATCH only predicts (default: all)",
    )
    parser.add_argument("--minutes", type=rate, default=12, help="time for the whole table (default: 12)")
    parser.add_argument("--rounds", type=positive, default=40, help="slices of each side at most (default: 40)")
    parser.add_argument("--seconds", type=rate, default=0.25, help="seconds of a slice (default: 0.25)")
    parser.add_argument(
        "--neighbours", action="store_true",
        help=f"also measure the workloads (by default {', '.join(BESIDE_NEIGHBOURS)}) beside 1 and 4 busy processes",
    )
    parser.add_argument(
        "--processes", type=positive, default=1, help="number of processes that share each batch of `ours` (default: 1)"
    )
    parser.common(device="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the machine and the rows to FILE as JSON")
    flags = parser.parse_args()
    if unknown := set(flags.workloads) - set(KNOWN):
        raise ScratchError(f"unknown workload {min(unknown)!r}; choose from {', '.join(KNOWN)}")
    names = flags.workloads or [name for name in KNOWN if flags.processes == 1 or name in SHARED]
    if flags.processes > 1 and not SHARED.issuperset(names):
        raise ScratchError(f"with --processes, choose from {', '.join(sorted(SHARED))}")
    todo = [(name, 0) for name in names]
    if flags.neighbours:
        todo += [(name, busy) for name in flags.workloads or BESIDE_NEIGHBOURS for busy in BESIDE]
    extra("torch", "this benchmark")
    if flags.processes > 1:
        mpiexec()  # is missed now, not in the middle
    writable_file(flags.json)
    end = time.monotonic() + 60 * flags.minutes
    rows: list[dict[str, Any]] = []
    say_when_stopped(lambda: f"{len(rows)} of {len(todo)} rows were measured")
    use(flags.device)
    found, headings = machine(), HEADINGS if flags.device == "cpu" else HEADINGS.replace("share of peak", FLOORS)
    use("cpu")
    print("; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in found.items()))
    print(f"\n{headings}\n{re.sub('[^|]+', '---', headings)}", flush=True)
    with Worker("peak-product", "ours", flags.device) as peak:
        peak.answer()
        for number, (name, busy) in enumerate(todo):
            now = time.monotonic()
            if rows and now > end:
                left = ", ".join(dict.fromkeys(name for name, _ in todo[number:]))
                print(f"\nno time was left in {flags.minutes:g} minutes for: {left}")
                break
            rows.append(compare(name, busy, now + (end - now) / (len(todo) - number), end, flags, peak))
            print(as_line(rows[-1]), flush=True)
            if flags.json:
                write_text(flags.json, json.dumps({"machine": found, "rows": rows}, indent=1) + "\n")


def as_line(row: dict[str, Any]) -> str:
    """A row of the table."""
    name = row["workload"]
    if row["neighbours"]:
        name += f", beside {row['neighbours']} busy process{'es' * (row['neighbours'] > 1)}"
    ms = " | ".join(f"{row[f'{side}_ms']:.4g}" for side in ("ours", "plain", "eager", "tuned"))
    to_eager, to_tuned = (in_words(row[f"ratio_{side}"]) for side in ("eager", "tuned"))
    if "ratio_lists" in row:
        to_tuned += f"; plain lists: {row['ratio_lists'][0]:.0f}"
    share = f"{row['share_of_peak']:.2g}"
    if "floors_ms" in row:
        share = ", ".join(f"{floor:.3g}" for floor in row["floors_ms"])
    memory = row["peak_memory_mb"]
    return (
        f"| {name} | {ms} | {to_eager} | {to_tuned} | {row['verdict']} | {share} | "
        f"{memory['ours']:.0f} MB, {memory['eager']:.0f} MB |"
    )


@cache
def checked(name: str) -> float:
    """The largest relative difference between gradients. Raises: ScratchError when it is too large."""
    if (error := load(name).gradient_error()) > 1e-4:
        raise ScratchError(f"{name}: gradients differ by {error:.1e} relative to PyTorch's; nothing was timed")
    return error


def compare(name: str, busy: int, until: float, end: float, flags: Any, peak: Worker) -> dict[str, Any]:
    """Measure a row until this time, or with the fewest rounds until the end, beside so many busy processes."""
    begun, workload, forward, device = time.monotonic(), load(name), ":" in name, flags.device
    sides = [side for side in workload.SIDES if side != "lists" or device == "cpu"]
    with ExitStack() as stack:
        workers: dict[str, Any] = {
            side: stack.enter_context(Worker(name, side, device, flags.processes if side == "ours" else 1))
            for side in sides
        }
        error = checked(name.partition(":")[0])  # while they start
        num_bytes = {side: worker.answer()["bytes"] for side, worker in workers.items()}["ours"]
        stack.enter_context(neighbours(busy))
        numbers = progress(rounds(until, end, flags.rounds), name, flags.rounds)
        measured = measure(workers | {"peak": peak}, numbers, flags.seconds)
    operations = workload.operations(forward) if hasattr(workload, "operations") else workload.OPERATIONS
    found, peaks = {side: answers(measured, side) for side in sides}, times(measured, "peak")  # seconds per operation
    row = {
        "name": name, "workload": KNOWN[name], "device": device, "forward_only": forward,
        "processes": flags.processes, "neighbours": busy, "rounds": len(measured), "gradient_error": error,
        **{f"{side}_ms": 1000 * median(times(measured, side)) for side in sides},
        **{f"ratio_{side}": with_interval(ratios(measured, side)) for side in sides if side != "ours"},
        "share_of_peak": operations * with_interval(ratios(measured, "peak"))[0],
        "peak_gflops": [1e-9 / seconds for seconds in (max(peaks), median(peaks), min(peaks))],
        "peak_memory_mb": {side: max(answer["peak_mb"] for answer in found[side]) for side in sides},
        "page_faults": {side: round(median(answer["faults"] for answer in found[side])) for side in sides},
    }
    if device != "cpu":
        with Worker("peak-copy", "ours", device) as copy:
            copy.answer()
            byte = min(times([{"copy": copy.run(flags.seconds)} for _ in range(5)], "copy"))
        row["floors_ms"] = [1000 * operations * min(peaks), 1000 * num_bytes * byte]
    verdicts = [verdict(*row[f"ratio_{side}"][1:]) for side in ("eager", "tuned")]
    row["verdict"] = next(word for word in ("-", "behind", "even", "ahead") if word in verdicts)
    return row | {"seconds": time.monotonic() - begun}


def rounds(until: float, end: float, most: int) -> Iterator[int]:
    """The numbers of the rounds: until this time, or the fewest until the end; one at least and `most` at most."""
    for number in range(most):
        if number and time.monotonic() > (end if number < FEWEST else until):
            return
        yield number


if __name__ == "__main__":
    run(main)
