"""Measure how a training step scales over processes: python tests/benchmarks/scaling.py

Two LSTMs of 512, with 64 rows of 100 characters and one thread per process, run in one process and in several under
mpiexec. From that, the step time of more processes on a network is predicted:

    step(P) = compute + P loss + sum(gradient bytes) + sum(P output bytes)
    sum(bytes) = 2 (P - 1) / P * bytes / bandwidth + 2 log2(P) * latency

Each process computes its own 64 rows. The outputs and the gradients are summed over all processes, and each process
computes the loss of the whole batch. The cost of a sum is that of Rabenseifner's all-reduce (2004,
https://doi.org/10.1007/978-3-540-24685-5_1): every number is sent and received about twice, in 2 log2(P) consecutive
messages. No two of these overlap.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "examples")]

from timing import mpiexec  # noqa: E402
from workloads.lstm import LR, Workload  # noqa: E402

from scratch.backend import to_device, xp  # noqa: E402
from scratch.fast import fast  # noqa: E402
from scratch.fast.processes import job  # noqa: E402
from scratch.losses import SoftmaxCrossEntropy  # noqa: E402
from scratch.optimizers import Adam  # noqa: E402
from scratch.tools import program  # noqa: E402
from scratch.tools.history import progress  # noqa: E402

ROWS = 64  # of each process
NETWORKS = {"25 Gbit/s Ethernet": (25e9 / 8, 20e-6), "200 Gbit/s InfiniBand": (200e9 / 8, 2e-6)}  # bytes/s, seconds


def main() -> None:
    parser = program.Parser(__doc__)
    parser.add_argument("--processes", type=program.positive, default=2, help="number of processes (default: 2)")
    parser.add_argument("--rounds", type=program.positive, default=3, help="measurements of each number (default: 3)")
    parser.add_argument("--worker", action="store_true", help="measure in this process")
    flags = parser.parse_args()
    if flags.worker:
        program.begin(Namespace(device=None, seed=0), shared=True)
        print(json.dumps(measured()))
        return
    mpiexec()  # is missed now, not in the middle
    runs: dict[int, list[dict[str, float]]] = {1: [], flags.processes: []}
    for n in progress([n for n in runs for _ in range(flags.rounds)], "measuring"):
        runs[n].append(started(n))
    found = {n: {name: statistics.median(run[name] for run in some) for name in some[0]} for n, some in runs.items()}
    one = found[1]
    gradient_bytes, output_bytes = one["gradient_bytes"], one["output_bytes"]
    print(f"gradients of {gradient_bytes / 1e6:.1f} MB, outputs of {output_bytes / 1e6:.1f} MB per process\n")
    print("| processes | ms per step | of which all-reduces | of which the loss | efficiency |\n|---|---|---|---|---|")
    for n, figures in found.items():
        step, sums, loss = (1000 * figures[name] for name in ("step", "sums", "loss"))
        print(f"| {n} | {step:.0f} | {sums:.1f} | {loss:.1f} | {one['step'] / figures['step']:.2f} |")
    print(f"\n| {' | '.join(['processes', *NETWORKS])} |\n{'|---' * (1 + len(NETWORKS))}|")
    for n in (8, 64, 512):
        cells = []
        for network in NETWORKS.values():
            sums = seconds_of_sum(n, gradient_bytes, *network) + seconds_of_sum(n, n * output_bytes, *network)
            step = one["step"] + (n - 1) * one["loss"] + sums
            cells.append(f"{1000 * step:.0f} ms, efficiency {one['step'] / step:.2f}")
        print(f"| {' | '.join([str(n), *cells])} |")


def seconds_of_sum(num_processes: int, num_bytes: float, bandwidth: float, latency: float) -> float:
    """The time of an all-reduce."""
    n = num_processes
    return 2 * (n - 1) / n * num_bytes / bandwidth + 2 * math.log2(n) * latency


def started(num_processes: int) -> dict[str, float]:
    """The figures of `measured` in the first of so many processes."""
    command = [mpiexec(), "-n", str(num_processes), sys.executable, __file__, "--worker"]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=env).stdout)


def measured(num_steps: int = 8) -> dict[str, float]:
    """Seconds of a step, and of its loss and all-reduces; bytes of the gradients, and of the outputs of a process."""
    workload = Workload("512", ROWS * job().num_ranks)
    model, loss, optimizer = fast(workload.ours(), threads=1), fast(SoftmaxCrossEntropy()), fast(Adam(LR))
    letters, following = to_device(workload.letters), to_device(workload.following)
    steps, losses = [], []
    for _ in range(num_steps):
        begun = time.perf_counter()
        predicted = model.forward(letters)
        begun_loss = time.perf_counter()
        loss.loss(predicted, following)
        gradient = loss.gradient(predicted, following)
        losses.append(time.perf_counter() - begun_loss)
        model.backward(gradient)
        optimizer.step(model)
        steps.append(time.perf_counter() - begun)
    gradients = xp.concatenate([grad.ravel() for grad in model.grads()])
    sums = [seconds_of(lambda: (job().add_up(gradients), job().add_up(predicted))) for _ in range(num_steps)]
    return {
        "step": statistics.median(steps), "loss": statistics.median(losses), "sums": statistics.median(sums),
        "gradient_bytes": gradients.nbytes, "output_bytes": predicted.nbytes / job().num_ranks,
    }


def seconds_of(function: Any) -> float:
    """The time of a call that all processes begin together."""
    job().wait()
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


if __name__ == "__main__":
    program.run(main)
