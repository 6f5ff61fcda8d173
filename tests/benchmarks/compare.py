"""Compare each model's training speed with PyTorch's: python tests/benchmarks/compare.py

There are four sides. `ours` is the model run by the engine, `fast(model)`; `plain` is the same model as the book has
it, which shows what clarity costs. `eager` is PyTorch as a user would write it; `tuned` is the fastest equivalent that
was found. Each side runs in its own processes, in turn (ours, plain, eager, tuned, ours, ...), with nothing else
running, and the median over all of them is reported. Before anything is timed, the gradients of `ours` are compared
with PyTorch's, which proves that both do the same work. The peak speed of a float32 matrix product is measured before
and after each workload; when it fell far below its best, the machine was busy, and no ratio is given.

    pip install -e '.[bench]'
    python tests/benchmarks/compare.py --json figures.json
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
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from timing import copied_bytes_a_second, load, machine, mpiexec, peak_gflops, worker

from scratch.backend import use
from scratch.checks import ScratchError
from scratch.tools.extras import extra
from scratch.tools.files import write_text
from scratch.tools.history import progress
from scratch.tools.program import Parser, positive, run

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
    "gpt-letters": "gpt-small generates 64 letters with a key-value cache, one letter",
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
SHARED = {name for name in WORKLOADS if re.search("[0-9]$|alice|gpt-small", name)}  # a batch that processes can share
# The products of a batch of one are small matrices, or vectors; the peak of large ones says nothing about them.
BATCH_OF_ONE = {name for name in WORKLOADS | FORWARD if name.endswith(":1")} | WORKLOADS.keys() - SHARED
BUSY = 0.7  # a peak below this fraction of the best one means that something else was running
FLOORS = "lower bounds, ms: operations, bytes"
HEADINGS = (
    "| workload | ours, ms | plain book, ms | eager, ms | tuned, ms | ratio: eager, tuned | share of peak | "
    "peak memory: ours, PyTorch |"
)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD",
        help=f"one of {', '.join([*WORKLOADS, *FORWARD])}; NAME:BATCH only predicts (default: all)",
    )
    parser.add_argument("--rounds", type=positive, default=5, help="number of processes per side (default: 5)")
    parser.add_argument("--seconds", type=positive, default=3, help="seconds of timing per process (default: 3)")
    parser.add_argument(
        "--processes", type=positive, default=1, help="number of processes that share each batch of `ours` (default: 1)"
    )
    parser.common(device="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE as JSON")
    parser.add_argument("--worker", nargs=2, metavar=("WORKLOAD", "SIDE"), help="time one side in this process")
    flags = parser.parse_args()
    if flags.worker:
        print(json.dumps(worker(*flags.worker, flags.seconds, flags.device)))
        return
    known = WORKLOADS | FORWARD
    unknown = set(flags.workloads) - set(known)
    if unknown:
        raise ScratchError(f"unknown workload {min(unknown)!r}; choose from {', '.join(known)}")
    names = flags.workloads or [name for name in known if flags.processes == 1 or name in SHARED]
    if flags.processes > 1 and not SHARED.issuperset(names):
        raise ScratchError(f"with --processes, choose from {', '.join(sorted(SHARED))}")
    extra("torch", "this benchmark")
    if flags.processes > 1:
        mpiexec()  # is missed now, not in the middle
    rows, headings = [], HEADINGS if flags.device == "cpu" else HEADINGS.replace("share of peak", FLOORS)
    use(flags.device)
    print(f"{machine()}\n\n{headings}\n{re.sub('[^|]+', '---', headings)}", flush=True)
    for name in names:
        rows.append(compare(name, flags.rounds, flags.seconds, flags.processes, flags.device))
        print(as_line(rows[-1]), flush=True)
        if flags.json:
            write_text(flags.json, json.dumps(rows, indent=1) + "\n")


def as_line(row: dict[str, Any]) -> str:
    """A row of the table. There are no ratios when the machine was busy."""
    ratios = "none: the machine was busy"
    if row["ratio"] is not None:
        ratios = f"{row['ratio']:.2f}, {row['ratio_tuned']:.2f}"
        if "ratio_lists" in row:
            ratios += f" (and {row['ratio_lists']:.0f} to plain lists)"
    share = "-" if row["share_of_peak"] is None else f"{row['share_of_peak']:.2f}"
    if "floors_ms" in row:
        share = ", ".join(f"{floor:.3g}" for floor in row["floors_ms"])
    times = " | ".join(f"{row[f'{side}_ms']:.4g}" for side in ("ours", "plain", "eager", "tuned"))
    memory = row["peak_memory_mb"]
    return f"| {row['workload']} | {times} | {ratios} | {share} | {memory['ours']:.0f} MB, {memory['eager']:.0f} MB |"


def compare(name: str, rounds: int, seconds: int, processes: int, device: str) -> dict[str, Any]:
    """Time all sides of one workload in turn."""
    workload, forward = load(name), ":" in name
    use("cpu")
    error = load(name.split(":")[0]).gradient_error()
    use(device)
    if error > 1e-4:
        raise ScratchError(f"{name}: gradients differ by {error:.1e} relative to PyTorch's; nothing was timed")
    sides = [side for side in workload.SIDES if side != "lists" or device == "cpu"]
    figures: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    peaks = [peak_gflops()]
    for side in progress(sides * rounds, name):
        options = ["--seconds", str(seconds), "--device", device]
        command = [sys.executable, __file__, "--worker", name, side, *options]
        if side == "ours" and processes > 1:
            command = [mpiexec(), "-n", str(processes), *command]
        figures[side].append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        if side == sides[-1]:
            peaks.append(peak_gflops())
    ms = {f"{side}_ms": statistics.median(run["ms"] for run in runs) for side, runs in figures.items()}
    busy = min(peaks) < BUSY * max(peaks)
    ratios = {"ratio" if side == "eager" else f"ratio_{side}": None if busy else ms[f"{side}_ms"] / ms["ours_ms"]
              for side in figures if side != "ours"}
    operations = workload.operations(forward) if hasattr(workload, "operations") else workload.OPERATIONS
    share = operations / (ms["ours_ms"] / 1000) / (max(peaks) * 1e9)
    row = {
        "workload": (WORKLOADS | FORWARD)[name], "device": device, "forward_only": forward, "processes": processes,
        **ms, **ratios,
        "gradient_error": error,
        "share_of_peak": None if busy or name in BATCH_OF_ONE else share,
        "peak_memory_mb": {side: max(run["peak_mb"] for run in runs) for side, runs in figures.items()},
        "page_faults": {
            side: round(statistics.median(run["faults"] for run in runs)) for side, runs in figures.items()
        },
        "peak_gflops": [round(peak) for peak in peaks], "busy": busy,
    }
    if device != "cpu":
        times = operations / (max(peaks) * 1e9), figures["ours"][0]["bytes"] / copied_bytes_a_second()
        row["floors_ms"] = [1000 * time for time in times]
    return row


if __name__ == "__main__":
    run(main)
