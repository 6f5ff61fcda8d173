"""How fast each model trains, beside PyTorch: python tests/benchmarks/compare.py

Every side runs in processes of its own, in turn (ours, eager, tuned, ours, ...), with nothing else running, and the
median over all of them is taken. `eager` is PyTorch as a user would write it; `tuned` is the fastest way that was
found to say the same in PyTorch. Before anything is timed, both sides' gradients are compared, so that both are known
to do the same work. The peak speed of a product of float32 matrices is measured before and after each workload; when
it fell far under its own best the machine was busy, and no ratio is given.

    pip install -e '.[bench]'
    python tests/benchmarks/compare.py --json figures.json
    python tests/benchmarks/compare.py --processes 2 lstm-256      # ours under mpiexec: after pip install -e '.[mpi]'
    python tests/benchmarks/compare.py --device cuda               # both on a GPU: after pip install -e '.[cuda12]'

On a GPU `eager` is PyTorch with its own defaults, by which cuDNN's convolutions may round to TF32; ours does not,
unless CUPY_TF32=1. The gradients are compared on the CPU. Beside the times stand two floors, under which no program
comes that makes the same products and passes the same arrays on: the operations at the peak of a product of matrices,
and, at the speed of a copy, the bytes of each layer's output and its gradient, each written and read once, and of each
parameter, its gradient and what the optimizer keeps of it.
"""

import importlib
import json
import math
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy

from scratch.backend import use, xp
from scratch.checks import ScratchError
from scratch.layer import Layer, batch
from scratch.optimizers import Optimizer
from scratch.tools.files import write_text
from scratch.tools.program import Parser, begin, positive, run

HERE = Path(__file__).resolve().parent
WORKLOADS = {
    "characters": "company names, one character a step (2 SimpleRnn of 32, Momentum)",
    "names": "company names, a whole name a step, full BPTT",
    "tutorial": "names to languages, the tutorial's network, one name of 7 letters a step",
    "lstm-256": "2 LSTM of 256, batch 64, sequences of 50, 65 characters, Adam",
    "lstm-512": "2 LSTM of 512, batch 64, sequences of 100, 65 characters, Adam",
    "lstm-alice": "Alice, 1 LSTM of 256, batch 128, windows of 100, Adam",
    "lstm-alice2": "Alice, 2 LSTM of 256, batch 128, windows of 100, Adam",
    "charcnn-150": "char-CNN, small, batch 128, texts of 150, SGD with momentum",
    "charcnn-1014": "char-CNN, small, batch 128, texts of 1014, SGD with momentum",
    "images-128": "CIFAR-10, 3x3 convolutions of 64, 128, 256, 256 with BatchNorm, batch 128, SGD with momentum",
    "images-512": "CIFAR-10, the same, batch 512",
    "bidaf-32": "BiDAF, batch 32, contexts of 200, questions of 30, hidden 100, Adam",
}
FORWARD = {  # without learning, a batch of one and of 64 of each
    f"{name}:{size}": f"{label}, batch {size}"
    for name, label in {
        "names": "company names, 10 letters", "tutorial": "names to languages, 7 letters",
        "lstm-256": "2 LSTM of 256, sequences of 50", "lstm-512": "2 LSTM of 512, sequences of 100",
        "lstm-alice": "Alice, 1 LSTM of 256, windows of 100", "lstm-alice2": "Alice, 2 LSTM of 256, windows of 100",
        "charcnn-150": "char-CNN, texts of 150", "charcnn-1014": "char-CNN, texts of 1014",
        "images-128": "CIFAR-10's network", "bidaf-32": "BiDAF",
    }.items()
    for size in (1, 64)
}
SHARED = {name for name in WORKLOADS if re.search("[0-9]$|alice", name)}  # those with a batch to be shared
BUSY = 0.7  # a peak below this part of the best one seen means that something else was running


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD",
        help=f"of: {', '.join([*WORKLOADS, *FORWARD])}; NAME:BATCH is a forward without learning (default: all)",
    )
    parser.add_argument("--rounds", type=positive, default=5, help="processes for each side (default: 5)")
    parser.add_argument("--seconds", type=positive, default=3, help="seconds of timing in each (default: 3)")
    parser.add_argument(
        "--processes", type=positive, default=1, help="how many share the batches of ours by MPI (default: 1)"
    )
    parser.common(device="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--worker", nargs=2, metavar=("WORKLOAD", "SIDE"), help="time one side in this process")
    flags = parser.parse_args()
    if flags.worker:
        print(json.dumps(worker(*flags.worker, flags.seconds, flags.device)))
        return
    known = WORKLOADS | FORWARD
    unknown = set(flags.workloads) - set(known)
    if unknown:
        raise ScratchError(f"unknown workload {min(unknown)!r}; choose of: {', '.join(known)}")
    names = flags.workloads or [name for name in known if flags.processes == 1 or name in SHARED]
    if flags.processes > 1 and not SHARED.issuperset(names):
        raise ScratchError(f"with --processes, choose of: {', '.join(sorted(SHARED))}")
    rows, headings = [], HEADINGS if flags.device == "cpu" else HEADINGS.replace("share of peak", FLOORS)
    use(flags.device)
    print(f"{machine()}\n\n{headings}\n{re.sub('[^|]+', '---', headings)}", flush=True)
    for name in names:
        rows.append(compare(name, flags.rounds, flags.seconds, flags.processes, flags.device))
        print(as_line(rows[-1]), flush=True)
        if flags.json:
            write_text(flags.json, json.dumps(rows, indent=1) + "\n")


FLOORS = "floors, ms: operations, bytes"
HEADINGS = "| workload | ours, ms | eager | tuned | ratio: eager, tuned | share of peak | peak memory: ours, PyTorch |"


def as_line(row: dict[str, Any]) -> str:
    """A row of the table. Of a busy machine there are no ratios."""
    ratios = "none: the machine was busy"
    if row["ratio"] is not None:
        ratios = f"{row['ratio']:.2f}, {row['ratio_tuned']:.2f}"
        if "ratio_lists" in row:
            ratios += f" (and {row['ratio_lists']:.0f} to plain lists)"
    share = "-" if row["share_of_peak"] is None else f"{row['share_of_peak']:.2f}"
    if "floors_ms" in row:
        share = ", ".join(f"{floor:.3g}" for floor in row["floors_ms"])
    times = " | ".join(f"{row[f'{side}_ms']:.4g}" for side in ("ours", "eager", "tuned"))
    memory = row["peak_memory_mb"]
    return f"| {row['workload']} | {times} | {ratios} | {share} | {memory['ours']:.0f} MB, {memory['eager']:.0f} MB |"


def machine() -> str:
    """What the figures were measured on."""
    gpu = ""
    if xp.device != "cpu":
        runtime = xp.cuda.runtime
        gpu = f"{runtime.getDeviceProperties(0)['name'].decode()}, driver for CUDA {runtime.driverGetVersion()}, CuPy "
        gpu += f"{xp.__version__}; "
    try:
        model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    except OSError:
        model = None
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("numpy", "torch"))
    processor = model[1] if model else platform.machine()
    return f"{gpu}{processor}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"


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
    for _ in range(rounds):
        for side in sides:
            options = ["--seconds", str(seconds), "--device", device]
            command = [sys.executable, __file__, "--worker", name, side, *options]
            if side == "ours" and processes > 1:
                command = [mpiexec(), "-n", str(processes), *command]
            figures[side].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        peaks.append(peak_gflops())
    ms = {f"{side}_ms": statistics.median(run["ms"] for run in runs) for side, runs in figures.items()}
    busy = min(peaks) < BUSY * max(peaks)
    ratios = {"ratio" if side == "eager" else f"ratio_{side}": None if busy else ms[f"{side}_ms"] / ms["ours_ms"]
              for side in figures if side != "ours"}
    operations = workload.operations(forward) if hasattr(workload, "operations") else workload.OPERATIONS
    row = {
        "workload": (WORKLOADS | FORWARD)[name], "device": device, "forward_only": forward, "processes": processes,
        **ms, **ratios,
        "gradient_error": error,
        "share_of_peak": None if busy else operations / (ms["ours_ms"] / 1000) / (max(peaks) * 1e9),
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


def worker(name: str, side: str, seconds: int, device: str) -> dict[str, float]:
    """The median time of a step of one side, in this process, its page faults, and the most memory it took."""
    begin(Namespace(device=device, seed=0), shared=True)
    torch: Any = None
    if side in ("eager", "tuned") and device != "cpu":
        torch = importlib.import_module("torch")
        torch.set_default_device(device)
        torch.backends.cudnn.benchmark = side == "tuned"

    def wait() -> None:
        if device != "cpu":  # there a step has only been asked for when it returns
            (xp.cuda.Device() if torch is None else torch.cuda).synchronize()

    workload = load(name)
    steps = workload.forward(side) if ":" in name else workload.steps(side)
    with counted_bytes() as num_bytes:
        first = steps()
    for _ in range(2):
        steps()
    times, num_all = [], 0
    faults, end = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter() + seconds
    while batch.get().of_first(time.perf_counter() < end or not times):  # processes take as many steps as the first
        wait()
        started = time.perf_counter()
        num_steps = steps()
        wait()
        times.append((time.perf_counter() - started) / num_steps)
        num_all += num_steps
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    memory = peak_memory_mb() if torch is None else torch.cuda.max_memory_reserved() / 2**20
    ms, needed = 1000 * statistics.median(times), num_bytes[0] / first
    return {"ms": ms, "faults": faults / num_all, "peak_mb": memory, "bytes": needed}


@contextmanager
def counted_bytes() -> Iterator[list[int]]:
    """What the steps of ours inside it have to read and write: see the floors in the opening. The list's only item."""
    num_bytes, remember, step = [0], Layer.remember, Optimizer.step

    def remember_and_count(layer: Layer, output_shape: tuple[int, ...], *values: Any) -> None:
        num_bytes[0] += 4 * (4 if layer.train else 2) * math.prod(output_shape)
        remember(layer, output_shape, *values)

    def step_and_count(optimizer: Optimizer, layer: Layer) -> None:
        step(optimizer, layer)
        states = 2 * len(optimizer.slots)
        num_bytes[0] += 4 * (6 + states) * sum(p.data.size for p in layer.parameters())

    Layer.remember, Optimizer.step = remember_and_count, step_and_count  # type: ignore[method-assign]
    try:
        yield num_bytes
    finally:
        Layer.remember, Optimizer.step = remember, step  # type: ignore[method-assign]


def peak_memory_mb() -> float:
    """The most memory that this process has had. (Linux's getrusage would count the parent's in.)"""
    if xp.device != "cpu":
        return xp.get_default_memory_pool().total_bytes() / 2**20
    try:
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    except (OSError, TypeError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def best_time(function: Callable[[], Any]) -> float:
    """The least of ten times, in seconds."""
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        function()
        if xp.device != "cpu":
            xp.cuda.Device().synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def peak_gflops() -> float:
    """The best of ten products of float32 matrices, in billions of operations a second."""
    size = 1536 if xp.device == "cpu" else 8192
    a = xp.ones((size, size), dtype=numpy.float32)
    return 2 * size**3 / best_time(lambda: a @ a) / 1e9


def copied_bytes_a_second() -> float:
    """Read and written, by a copy of a large array."""
    a = xp.ones(2**28, dtype=numpy.float32)
    b = xp.empty_like(a)
    return 2 * a.nbytes / best_time(lambda: b.__setitem__(..., a))


def mpiexec() -> str:
    """The launcher beside this Python, or on the path. Raises: ScratchError when there is none."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=places)
    if found is None:
        raise ScratchError("there is no mpiexec; pip install -e '.[mpi]' mpich")
    return found


def load(name: str) -> Any:
    """The module, or the object, that knows how to run one workload."""
    for folder in (HERE, HERE.parents[1] / "examples"):  # a workload trains an example's own network
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    name, _, batch = name.partition(":")
    module, _, case = name.partition("-")
    found = importlib.import_module(f"workloads.{module}")
    return found.Workload(case, *([int(batch)] if batch else [])) if case or batch else found


if __name__ == "__main__":
    run(main)
