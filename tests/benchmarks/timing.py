"""What `compare.py` measures: the steps of one side, their memory and bytes, and the peak speeds of the machine."""

import importlib
import math
import os
import platform
import re
import resource
import shutil
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy

from scratch.backend import xp
from scratch.checks import ScratchError
from scratch.fast.optimizers import OneVector
from scratch.fast.parts import InParts
from scratch.fast.processes import job
from scratch.layer import Layer
from scratch.tools.extras import extra
from scratch.tools.program import begin

HERE = Path(__file__).resolve().parent


def load(name: str) -> Any:
    """The module, or the object, that runs the workload of this name."""
    for folder in (HERE, HERE.parents[1] / "examples"):  # a workload trains the network of an example
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    name, _, batch = name.partition(":")
    module, _, case = name.partition("-")
    found = importlib.import_module(f"workloads.{module}")
    return found.Workload(case, *([int(batch)] if batch else [])) if case or batch else found


def worker(name: str, side: str, seconds: int, device: str) -> dict[str, float]:
    """The median time of a step of one side in this process, its page faults, and the process's peak memory."""
    begin(Namespace(device=device, seed=0), shared=True)
    torch: Any = None
    if side in ("eager", "tuned") and device != "cpu":
        torch = importlib.import_module("torch")
        torch.set_default_device(device)
        torch.backends.cudnn.benchmark = side == "tuned"

    def wait() -> None:
        if device != "cpu":  # a GPU may still be computing when a step returns
            (xp.cuda.Device() if torch is None else torch.cuda).synchronize()

    workload = load(name)
    steps = workload.forward(side) if ":" in name else workload.steps(side)
    with counted_bytes() as num_bytes:
        first = steps()
    for _ in range(2):
        steps()
    times, num_all = [], 0
    faults, end = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter() + seconds
    while job().of_first(time.perf_counter() < end or not times):  # all processes take as many steps as the first
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
    """The bytes that our fast steps inside it must read and write (see `compare.py`), as the list's only item."""
    num_bytes, remember, step = [0], Layer.remember, OneVector.step

    def remember_and_count(layer: Layer, output_shape: tuple[int, ...], *values: Any) -> None:
        if not isinstance(layer, InParts):  # its output is that of its parts, which are counted
            num_bytes[0] += 4 * (4 if layer.train else 2) * math.prod(output_shape)
        remember(layer, output_shape, *values)

    def step_and_count(optimizer: OneVector, layer: Layer) -> None:
        step(optimizer, layer)
        states = 2 * len(optimizer.slots)
        num_bytes[0] += 4 * (6 + states) * sum(p.data.size for p in layer.parameters() if not p.fixed)

    Layer.remember, OneVector.step = remember_and_count, step_and_count  # type: ignore[method-assign]
    try:
        yield num_bytes
    finally:
        Layer.remember, OneVector.step = remember, step  # type: ignore[method-assign]


def peak_memory_mb() -> float:
    """The peak memory of this process. (Linux's getrusage would include the parent's.)"""
    if xp.device != "cpu":
        return xp.get_default_memory_pool().total_bytes() / 2**20
    try:
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    except (OSError, TypeError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def best_time(function: Callable[[], Any]) -> float:
    """The shortest of ten times, in seconds."""
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        function()
        if xp.device != "cpu":
            xp.cuda.Device().synchronize()
        best = min(best, time.perf_counter() - started)
    return best


def peak_gflops() -> float:
    """The speed of a float32 matrix product, the best of ten, in billions of operations per second."""
    size = 1536 if xp.device == "cpu" else 8192
    a = xp.ones((size, size), dtype=numpy.float32)
    return 2 * size**3 / best_time(lambda: a @ a) / 1e9


def copied_bytes_a_second() -> float:
    """Bytes read and written per second by a copy of a large array."""
    a = xp.ones(2**28, dtype=numpy.float32)
    b = xp.empty_like(a)
    return 2 * a.nbytes / best_time(lambda: b.__setitem__(..., a))


def machine() -> str:
    """The hardware and the versions that the figures were measured on."""
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


def mpiexec() -> str:
    """The launcher beside this Python, or on the path. Raises: ScratchError when it or mpi4py is missing."""
    extra("mpi4py", "sharing a batch among processes")
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=places)
    if found is None:
        raise ScratchError("mpiexec not found; run pip install -e '.[mpi]' mpich")
    return found
