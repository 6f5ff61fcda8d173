"""How fast each model trains, beside PyTorch: python tests/benchmarks/compare.py

Every side runs in processes of its own, in turn (ours, eager, tuned, ours, ...), with nothing else running, and the
median over all of them is taken. `eager` is PyTorch as a user would write it; `tuned` is the fastest way that was
found to say the same in PyTorch. Before anything is timed, both sides' gradients are compared, so that both are known
to do the same work. The peak speed of a product of float32 matrices is measured before and after each workload; when
it fell far under its own best the machine was busy, and no ratio is given.

    pip install -e '.[bench]'
    python tests/benchmarks/compare.py --json figures.json
"""

import importlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy

from scratch.backend import ScratchError
from scratch.files import write_text
from scratch.program import Parser, positive, run

HERE = Path(__file__).resolve().parent
WORKLOADS = {
    "characters": "company names, one character a step (2 SimpleRnn of 32, Momentum)",
    "names": "company names, a whole name a step, full BPTT",
}
BUSY = 0.7  # a peak below this part of the best one seen means that something else was running


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of: {', '.join(WORKLOADS)} (default: all)")
    parser.add_argument("--rounds", type=positive, default=5, help="processes for each side (default: 5)")
    parser.add_argument("--seconds", type=positive, default=3, help="seconds of timing in each (default: 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--worker", nargs=2, metavar=("WORKLOAD", "SIDE"), help="time one side in this process")
    flags = parser.parse_args()
    if flags.worker:
        print(json.dumps(worker(*flags.worker, flags.seconds)))
        return
    unknown = set(flags.workloads) - set(WORKLOADS)
    if unknown:
        raise ScratchError(f"unknown workload {min(unknown)!r}; choose of: {', '.join(WORKLOADS)}")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ")
    rows = [compare(name, flags.rounds, flags.seconds) for name in flags.workloads or WORKLOADS]
    for row in rows:
        print(f"\n{row['workload']}")
        for side in row["sides"]:
            ratio = f"  {row[f'{side}_ms'] / row['ours_ms']:6.2f} x ours" if side != "ours" else ""
            print(f"  {side:6} {row[f'{side}_ms']:8.4f} ms a step, {row['peak_memory_mb'][side]:5.0f} MB{ratio}")
        print(f"  busy machine, no result: peak {row['peak_gflops']}" if row["busy"] else "")
    if flags.json:
        write_text(flags.json, json.dumps(rows, indent=1) + "\n")


def compare(name: str, rounds: int, seconds: int) -> dict[str, Any]:
    """Time all sides of one workload in turn."""
    workload = load(name)
    error = workload.gradient_error()
    if error > 1e-4:
        raise ScratchError(f"{name}: gradients differ by {error:.1e} relative to PyTorch's; nothing was timed")
    figures: dict[str, list[dict[str, float]]] = {side: [] for side in workload.SIDES}
    peaks = [peak_gflops()]
    for _ in range(rounds):
        for side in workload.SIDES:
            command = [sys.executable, __file__, "--worker", name, side, "--seconds", str(seconds)]
            figures[side].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        peaks.append(peak_gflops())
    ms = {f"{side}_ms": statistics.median(run["ms"] for run in runs) for side, runs in figures.items()}
    return {
        "workload": WORKLOADS[name], "sides": list(figures), **ms, "gradient_error": error,
        "ratio": ms["eager_ms"] / ms["ours_ms"], "ratio_tuned": ms["tuned_ms"] / ms["ours_ms"],
        "peak_memory_mb": {side: max(run["peak_mb"] for run in runs) for side, runs in figures.items()},
        "peak_gflops": [round(peak) for peak in peaks], "busy": min(peaks) < BUSY * max(peaks),
    }


def worker(name: str, side: str, seconds: int) -> dict[str, float]:
    """The median time of a step of one side, in this process."""
    steps = load(name).steps(side)
    for _ in range(3):
        steps()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or not times:
        started = time.perf_counter()
        num_steps = steps()
        times.append((time.perf_counter() - started) / num_steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": 1000 * statistics.median(times), "peak_mb": peak}


def peak_gflops(size: int = 1536) -> float:
    """The best of ten products of float32 matrices, in billions of operations a second."""
    a = numpy.ones((size, size), dtype=numpy.float32)
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def load(name: str) -> Any:
    """The module that knows how to run one workload."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module(f"workloads.{name}")


if __name__ == "__main__":
    run(main)
