"""How a step of learning scales over processes: python tests/benchmarks/scaling.py

Measures 2 LSTM of 512 (64 rows of 100 characters to each process, one thread each) in one process and in several under
mpiexec, and the all-reduce by itself; and says by a model of the cost what to expect of more processes on a network.

    step(P) = compute + 2 (P - 1) / P * bytes / bandwidth + 2 log2(P) * latency

which is Rabenseifner's all-reduce (2004, https://doi.org/10.1007/978-3-540-24685-5_1), nothing overlapped: every number
of the gradient is sent and received about twice, in 2 log2(P) messages one after the other.
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

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "examples")]

from compare import mpiexec  # noqa: E402
from scratch.parallel import in_threads  # noqa: E402
from workloads.lstm import LR, Workload  # noqa: E402

from scratch.backend import to_device, xp  # noqa: E402
from scratch.layer import batch, in_one_vector  # noqa: E402
from scratch.losses import SoftmaxCrossEntropy  # noqa: E402
from scratch.optimizers import Adam  # noqa: E402
from scratch.tools import program  # noqa: E402

NETWORKS = {"25 Gbit/s Ethernet": (25e9 / 8, 20e-6), "200 Gbit/s InfiniBand": (200e9 / 8, 2e-6)}  # bytes/s, seconds


def main() -> None:
    parser = program.Parser(__doc__)
    parser.add_argument("--processes", type=program.positive, default=2, help="how many to measure (default: 2)")
    parser.add_argument("--rounds", type=program.positive, default=3, help="measurements of each (default: 3)")
    parser.add_argument("--worker", action="store_true", help="measure in this process")
    flags = parser.parse_args()
    if flags.worker:
        program.begin(Namespace(device=None, seed=0), shared=True)
        print(json.dumps(measured()))
        return
    runs = {n: [started(n) for _ in range(flags.rounds)] for n in (1, flags.processes)}
    step, reduce = ({n: statistics.median(run[name] for run in runs[n]) for n in runs} for name in ("step", "reduce"))
    num_bytes = runs[1][0]["bytes"]
    print(f"a gradient of {num_bytes / 1e6:.1f} MB\n\n| processes | ms a step | of it the all-reduce | efficiency |")
    print("|---|---|---|---|")
    for n in runs:
        print(f"| {n} | {1000 * step[n]:.0f} | {1000 * reduce[n]:.1f} | {step[1] / step[n]:.2f} |")
    print(f"\n| {' | '.join(['processes', *NETWORKS])} |\n{'|---' * (1 + len(NETWORKS))}|")
    for n in (8, 64, 512):
        cells = []
        for bandwidth, latency in NETWORKS.values():
            sent = 2 * (n - 1) / n * num_bytes / bandwidth + 2 * math.log2(n) * latency
            cells.append(f"{1000 * (step[1] + sent):.0f} ms, efficiency {step[1] / (step[1] + sent):.2f}")
        print(f"| {' | '.join([str(n), *cells])} |")


def started(num_processes: int) -> dict[str, float]:
    """What `measured` says in the first of so many processes."""
    command = [mpiexec(), "-n", str(num_processes), sys.executable, __file__, "--worker"]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, check=True, capture_output=True, env=env).stdout)


def measured(num_steps: int = 8) -> dict[str, float]:
    """Seconds of a step, and of the all-reduce in it; bytes of the gradient."""
    workload = Workload("512")
    model, loss, optimizer = workload.ours(), SoftmaxCrossEntropy(), Adam(LR)
    parallel = in_threads(model, 1)
    letters, following = to_device(workload.letters), to_device(workload.following)  # the rows of this process
    times = []
    for _ in range(num_steps):
        begun = time.perf_counter()
        predicted = parallel.forward(letters)
        loss.loss(predicted, following)
        parallel.backward(loss.gradient(predicted, following))
        optimizer.step(model)
        times.append(time.perf_counter() - begun)
    data, _ = in_one_vector(model.parameters())
    vector, sums = xp.ones_like(data), []
    for _ in range(num_steps):
        batch.get().wait()
        begun = time.perf_counter()
        batch.get().add_up(vector)
        sums.append(time.perf_counter() - begun)
    return {"step": statistics.median(times), "reduce": statistics.median(sums), "bytes": data.nbytes}


if __name__ == "__main__":
    program.run(main)
