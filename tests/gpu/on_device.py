"""One measurement on the GPU, in a process of its own, for `first_run.py`; its figures are printed as one line of JSON.

    python tests/gpu/on_device.py machine
    python tests/gpu/on_device.py gradients lstm-256
    python tests/gpu/on_device.py times lstm-256
    CUDA_LAUNCH_BLOCKING=1 python tests/gpu/on_device.py profile lstm-256    # each launch waits for its kernel

A process of its own, because after one illegal access to memory every later call of CUDA fails in the same process.
"""

import cProfile
import importlib
import json
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

from timing import load  # noqa: E402

from scratch import optimizers, regular  # noqa: E402
from scratch.backend import precision, to_host, use, xp  # noqa: E402
from scratch.fast.optimizers import OneVector  # noqa: E402
from scratch.gradient_check import relative_error  # noqa: E402
from scratch.layer import Layer  # noqa: E402
from scratch.tools.program import Parser, run  # noqa: E402

PACKAGES = ("numpy", "torch", "cupy-cuda12x", "cupy-cuda13x", "nvidia-nccl-cu12", "nvidia-nccl-cu13", "mpi4py")
MOST_FUNCTIONS = 25  # in a profile
Gradients = dict[str, numpy.ndarray]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("what", choices=("machine", "gradients", "times", "profile"), help="what to measure")
    parser.add_argument("workload", nargs="?", default="characters", help="a workload of compare.py that trains")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of timing (default: 3)")
    flags = parser.parse_args()
    use("cuda")
    if flags.what == "machine":
        found = of_machine()
    elif flags.what == "gradients":
        found = gradient_errors(flags.workload)
    else:
        steps = warm_steps(flags.workload)
        found = (times if flags.what == "times" else profile)(steps, flags.seconds)
    print(json.dumps(found))


# The machine ----------------------------------------------------------------------------------------------------


def on_stand_in() -> bool:
    """Whether the device is the stand-in for CuPy, of tests/stand_in."""
    return not hasattr(xp, "__version__")


def synchronize() -> None:
    """Wait until the GPU has computed everything."""
    if not on_stand_in():
        xp.cuda.Device().synchronize()


def of_machine() -> dict[str, Any]:
    """What the figures are measured on, and the peak speeds of the GPU. What cannot be found out is left out."""
    found: dict[str, Any] = {"stand_in": on_stand_in(), "python": sys.version.split()[0], "packages": {}}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found["packages"][name] = metadata.version(name)
    sources = [of_pytorch] if on_stand_in() else [of_driver, of_cupy, of_pytorch, speeds]
    for source in sources:
        try:
            found |= source()
        except Exception as error:  # the rest is worth having
            found[f"{source.__name__}_error"] = f"{type(error).__name__}: {error}"
    return found


def of_driver() -> dict[str, Any]:
    query = "name,driver_version,memory.total,clocks.max.sm,power.limit"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.splitlines()
    return dict(zip(("gpu", "driver", "memory", "clock", "power"), lines[0].split(", "), strict=False))


def of_cupy() -> dict[str, Any]:
    runtime = xp.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    return {
        "gpu": properties["name"].decode(), "capability": f"{properties['major']}.{properties['minor']}",
        "cupy": xp.__version__, "cuda": in_words(runtime.runtimeGetVersion()),
        "driver_cuda": in_words(runtime.driverGetVersion()),
        "cupy_libraries": str(importlib.import_module("cupyx").get_runtime_info()),
    }


def in_words(version: int) -> str:
    """12040 is CUDA 12.4."""
    return f"{version // 1000}.{version % 1000 // 10}"


def of_pytorch() -> dict[str, Any]:
    """PyTorch's version, and whether it has a GPU."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return {"torch": None, "torch_on_gpu": False}
    return {"torch": torch.__version__, "torch_cuda": torch.version.cuda, "torch_on_gpu": torch.cuda.is_available()}


def speeds() -> dict[str, Any]:
    """The peak speed of a float32 product, of a copy (bytes read and written), and the time of one launch."""
    size = 8192
    a, b = (xp.ones((size, size), dtype=numpy.float32) for _ in range(2))
    product, copy = best_time(lambda: a @ b), best_time(lambda: b.__setitem__(..., a))
    one = xp.zeros(1, dtype=numpy.float32)
    launches = best_time(lambda: [xp.add(one, 1, out=one) for _ in range(1000)])
    return {
        "peak_gflops": 2 * size**3 / product / 1e9, "copied_gb_a_second": 2 * a.nbytes / copy / 1e9,
        "launch_us": launches * 1000,
    }


def best_time(function: Callable[[], Any]) -> float:
    """The shortest of ten times, in seconds."""
    found = []
    for _ in range(10):
        synchronize()
        started = time.perf_counter()
        function()
        synchronize()
        found.append(time.perf_counter() - started)
    return min(found)


# Gradients ------------------------------------------------------------------------------------------------------


class SecondStep(Exception):
    """Carries the gradients of the second training step out of its workload."""


def gradient_errors(name: str) -> dict[str, float]:
    """The largest relative errors of a training step's gradients, against the plain book's in float64 on the CPU.

    Those of the engine are compared: on the CPU in float32, which shows how much is rounding; and on the GPU in both.
    """
    # A GPU draws other numbers than a CPU, so nothing is dropped.
    regular.Dropout.__init__ = lambda self, p: setattr(self, "p", 0.0)  # type: ignore[method-assign]
    expected = gradients(name, "plain", "cpu", "float64")
    errors = {}
    for device, dtype in (("cpu", "float32"), ("cuda", "float64"), ("cuda", "float32")):
        found = gradients(name, "ours", device, dtype)
        assert found.keys() == expected.keys()
        of_each = {key: relative_error(found[key], expected[key]) for key in expected}
        errors[f"{device}_{dtype}"] = max(of_each.values())
    return errors | {"worst_parameter": max(of_each, key=lambda key: of_each[key]), "parameters": len(expected)}


def gradients(name: str, side: str, device: str, dtype: str) -> Gradients:
    """The gradients of the second training step, by parameter. The first one changes no weight.

    (In the second, buffers are used again, and a network that is trained letter by letter has a state.)
    """
    calls = []

    def step(optimizer: Any, layer: Layer) -> None:
        calls.append(layer)
        if len(calls) == 2:
            raise SecondStep({key: numpy.array(to_host(p.grad)) for key, p in layer.named_parameters().items()})
        layer.zero_grads()

    before = optimizers.Optimizer.step, OneVector.step
    use(device)
    optimizers.Optimizer.step = OneVector.step = step  # type: ignore[method-assign]
    try:
        with precision(dtype):
            steps = load(name).steps(side)
            while True:
                steps()
    except SecondStep as found:
        return found.args[0]
    finally:
        optimizers.Optimizer.step, OneVector.step = before  # type: ignore[method-assign]


# Times and profiles ---------------------------------------------------------------------------------------------


def warm_steps(name: str) -> Callable[[], int]:
    """A function that trains on the GPU and returns the number of steps. Its kernels are compiled already."""
    steps = load(name).steps("ours")
    for _ in range(3):
        steps()
    synchronize()
    return steps


def until_over(seconds: float, steps: Callable[[], int]) -> tuple[int, list[float]]:
    """Train for so many seconds; returns the number of steps, and how long each took, with the GPU's work."""
    total, found, end = 0, [], time.perf_counter() + seconds
    while time.perf_counter() < end or not found:
        started = time.perf_counter()
        count = steps()
        synchronize()
        found.append((time.perf_counter() - started) / count)
        total += count
    return total, found


def times(steps: Callable[[], int], seconds: float) -> dict[str, float]:
    """Milliseconds of a step; on a GPU also how long the host needs, and what passes by the GPU's own clock.

    If the host's time is nearly the whole, the GPU waits for the host's launches.
    """
    _, found = until_over(seconds, steps)
    figures = {"ms": 1000 * statistics.median(found)}
    if on_stand_in():
        return figures
    count = steps()
    benchmark = importlib.import_module("cupyx.profiler").benchmark
    timed = benchmark(steps, n_repeat=50, n_warmup=1, max_duration=seconds)
    host, device = (float(numpy.median(kind)) for kind in (timed.cpu_times, timed.gpu_times))
    return figures | {"host_ms": 1000 * host / count, "device_ms": 1000 * device / count}


def profile(steps: Callable[[], int], seconds: float) -> dict[str, Any]:
    """The functions in which a step spends most time, in milliseconds per step and without those that they call.

    With CUDA_LAUNCH_BLOCKING=1 a kernel counts for the function that launches it.
    """
    profiler = cProfile.Profile()
    profiler.enable()
    count, _ = until_over(seconds, steps)
    profiler.disable()
    functions = pstats.Stats(profiler).stats.items()  # type: ignore[attr-defined]
    rows = [
        {"function": place(*key), "calls": calls / count, "ms": 1000 * own / count,
         "with_callees_ms": 1000 * whole / count}
        for key, (_, calls, own, whole, _) in functions
    ]
    rows.sort(key=lambda row: -row["ms"])
    return {"steps": count, "ms": sum(row["ms"] for row in rows), "functions": rows[:MOST_FUNCTIONS]}


def place(file: str, line: int, name: str) -> str:
    """Where a function is, without the folders of this machine."""
    if file == "~":
        return name
    path = Path(file)
    inside = path.is_absolute() and path.is_relative_to(ROOT) and ".venv" not in path.parts
    return f"{path.relative_to(ROOT).as_posix() if inside else '/'.join(path.parts[-2:])}:{line} {name}"


if __name__ == "__main__":
    run(main)
