"""A worker of `compare.py`: one side of one workload, run in slices. Also the machine that the figures come from.

    python tests/benchmarks/timing.py lstm-256 ours cpu      # started by `slices.py`

Each line of standard input is a number of seconds to run for. Each line of standard output is an answer in JSON. The
first has the bytes that a step reads and writes, and says that the worker is ready.
"""

import importlib
import io
import json
import math
import os
import platform
import queue
import re
import resource
import shutil
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from scratch.backend import xp
from scratch.checks import ScratchError
from scratch.fast.optimizers import OneVector
from scratch.fast.parts import InParts
from scratch.fast.processes import cores_of_process, job, size_of_job
from scratch.layer import Layer
from scratch.tools.extras import extra
from scratch.tools.program import begin, run

HERE = Path(__file__).resolve().parent


def main() -> None:
    name, side, device = sys.argv[1:]
    messages: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    threading.Thread(target=listen, args=[messages], daemon=True).start()
    begin(Namespace(device=device, seed=0), shared=True)
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        loaded = Side(name, side, device)
        answer: dict[str, float] = {"bytes": loaded.bytes}
        while True:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
            if (seconds := next_message(messages)) is None:
                return
            answer = loaded.slice(seconds)


def listen(messages: "queue.SimpleQueue[float | None]") -> None:
    """Pass on the lines of standard input. At its end the worker ends at once, even in the middle of a step.

    The file has no buffer: at its exit Python could not close one that this thread still reads from.
    """
    with io.FileIO(0, closefd=False) as lines:
        for line in lines:
            messages.put(float(line))
    if size_of_job() == 1:
        os._exit(0)
    messages.put(None)  # all processes of a job end together


def next_message(messages: "queue.SimpleQueue[float | None]") -> float | None:
    """The first process's next message, for all. (While MPI itself waits, it keeps a core busy.)"""
    seconds = None if job().rank else messages.get()
    if job().num_ranks > 1:
        arrived = job().comm.Ibarrier()  # type: ignore[attr-defined]
        while not arrived.Test():
            time.sleep(0.001)
    return job().of_first(seconds)


class Side:
    """One side of a workload, after its first two steps."""

    def __init__(self, name: str, side: str, device: str) -> None:
        self.device, self.torch = device, None
        if side in ("eager", "tuned") and device != "cpu":
            torch = self.torch = importlib.import_module("torch")
            torch.set_default_device(device)
            torch.backends.cudnn.benchmark = side == "tuned"
        workload = load(name)
        self.steps = workload.forward(side) if ":" in name else workload.steps(side)
        with counted_bytes() as num_bytes:
            num_steps = self.steps()
        self.bytes, begun = num_bytes[0] / num_steps, time.perf_counter()
        self.steps()
        self.usual = time.perf_counter() - begun  # seconds of a call of `steps`

    def slice(self, seconds: float) -> dict[str, float]:
        """Make steps for so many seconds, at least one call of `steps`; returns their number, time and page faults.

        Short steps first run uncounted for a tenth of that time, since the worker before had the caches.
        """
        begun = time.perf_counter()
        while job().of_first(self.usual < seconds / 10 and time.perf_counter() - begun < seconds / 10):
            self.steps()
        self.wait()
        num_steps, num_calls, taken, faults = 0, 0, 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        begun = time.perf_counter()
        while job().of_first(taken < seconds):  # all processes of a job make as many steps as the first
            num_steps += self.steps()
            num_calls += 1
            self.wait()
            taken = time.perf_counter() - begun
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        self.usual = taken / num_calls
        until_idle()
        return {"steps": num_steps, "seconds": taken, "faults": faults / num_steps, "peak_mb": self.peak_memory_mb()}

    def wait(self) -> None:
        """Until a GPU, which may still be computing when a step returns, has ended it."""
        if self.device != "cpu":
            (xp.cuda.Device() if self.torch is None else self.torch.cuda).synchronize()

    def peak_memory_mb(self) -> float:
        """The peak memory of this process. (Linux's getrusage would include the parent's.)"""
        if self.torch is not None:
            return self.torch.cuda.max_memory_reserved() / 2**20
        if xp.device != "cpu":
            return xp.get_default_memory_pool().total_bytes() / 2**20
        try:
            return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
        except (OSError, TypeError):
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def until_idle() -> None:
    """Wait, a quarter of a second at most, until no thread of this process uses a core.

    Those of a matrix product wait busily for the next one for a while, and would slow down the next worker.
    """
    for _ in range(50):
        used = time.process_time()
        time.sleep(0.005)
        if time.process_time() - used < 0.001:
            return


def load(name: str) -> Any:
    """The module, or the object, that runs the workload of this name."""
    for folder in (HERE, HERE.parents[1] / "examples"):  # a workload trains the network of an example
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    name, _, batch = name.partition(":")
    module, _, case = name.partition("-")
    found = importlib.import_module(f"workloads.{module}")
    return found.Workload(case, *([int(batch)] if batch else [])) if case or batch else found


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


def machine() -> dict[str, Any]:
    """The hardware, the libraries and their versions. Imports PyTorch, which knows the instruction set."""
    torch = importlib.import_module("torch")
    try:
        model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    except OSError:
        model = None
    blas = [f"{library['internal_api']} {library['version']}, kernel {library.get('architecture', 'unknown')}, "
            f"threads {library['num_threads']}" for library in threadpool_info() if library["user_api"] == "blas"]
    found = {
        "processor": model[1] if model else platform.machine(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(), "cores": len(cores_of_process()),
        "BLAS": " and ".join(blas), "PyTorch_threads": torch.get_num_threads(), "Python": platform.python_version(),
        "NumPy": metadata.version("numpy"), "PyTorch": metadata.version("torch"),
    }
    if xp.device != "cpu":
        runtime = xp.cuda.runtime
        found["GPU"] = runtime.getDeviceProperties(0)["name"].decode()
        found |= {"CUDA_driver": runtime.driverGetVersion(), "CuPy": xp.__version__}
    return found


def mpiexec() -> str:
    """The launcher beside this Python, or on the path. Raises: ScratchError when it or mpi4py is missing."""
    extra("mpi4py", "sharing a batch among processes")
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("mpiexec", path=places)
    if found is None:
        raise ScratchError("mpiexec not found; run pip install -e '.[mpi]' mpich")
    return found


if __name__ == "__main__":
    run(main)
