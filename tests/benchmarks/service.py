"""Measure the name service, alone and beside busy processes: python tests/benchmarks/service.py

Several clients, each a thread with a connection of its own, send a new name as soon as the last one is answered. The
clients run on the same cores as the service. Beside it run 0, 1 and 4 processes that each keep a core busy; the numbers
take turns, for --seconds in each of --rounds. The table has the answers per second, and the milliseconds within which
50, 95 and 99 % of them came.
"""

import http.client
import json
import os
import platform
import random
import statistics
import string
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import programs
from slices import neighbours

from scratch.checks import ScratchError
from scratch.tools import program
from scratch.tools.history import progress

WARM_UP = 0.5  # seconds that are not counted, while processes start

def main() -> None:
    parser = program.Parser(__doc__)
    parser.add_argument("--seconds", type=program.positive, default=5, help="length of a measurement (default: 5)")
    parser.add_argument("--rounds", type=program.positive, default=3, help="measurements of each number (default: 3)")
    parser.add_argument("--clients", type=program.positive, default=8, help="number of clients (default: 8)")
    parser.add_argument(
        "--neighbours", type=int, choices=range(257), nargs="+", default=[0, 1, 4], metavar="N",
        help="numbers of busy processes (default: 0 1 4)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    flags = parser.parse_args()
    program.begin(flags)
    times: dict[int, list[float]] = {n: [] for n in flags.neighbours}
    seconds = dict.fromkeys(times, 0.0)
    with tempfile.TemporaryDirectory() as folder, programs.name_service(folder) as (port, _):
        for n in progress([*times] * flags.rounds, "measuring"):
            with neighbours(n):
                some, length = measured(port, flags.clients, flags.seconds)
            times[n] += some
            seconds[n] += length
    rows = []
    for n, some in times.items():
        shares = statistics.quantiles(some, n=100)
        rows.append({
            "neighbours": n, "requests_per_second": len(some) / seconds[n],
            **{f"p{k}_ms": 1000 * shares[k - 1] for k in (50, 95, 99)},
        })
    if flags.json:
        known = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        print(json.dumps({**known, "clients": flags.clients, "rows": rows}, indent=1))
        return
    print("| busy processes | requests a second | ms: median | 95 % | 99 % |\n|---|---|---|---|---|")
    for row in rows:
        n, *figures = row.values()
        print(f"| {n} | {' | '.join(f'{value:.4g}' for value in figures)} |")


def measured(port: int, clients: int, seconds: float) -> tuple[list[float], float]:
    """The seconds of each answer, and how long was measured."""
    start = time.perf_counter() + WARM_UP
    with ThreadPoolExecutor(clients) as pool:
        tasks = [pool.submit(client, port, start, start + seconds) for _ in range(clients)]
    times = [value for task in tasks for value in task.result()]
    if len(times) < 2:
        raise ScratchError("the service gave no two answers in this time; try more --seconds")
    return times, time.perf_counter() - start


def client(port: int, start: float, end: float) -> list[float]:
    """The seconds of each answer to one client; those before `start` do not count."""
    connection, times = http.client.HTTPConnection("localhost", port, timeout=60), []
    while (asked := time.perf_counter()) < end:
        name = "".join(random.choices(string.ascii_lowercase, k=random.randint(4, 12))).title()
        connection.request("GET", f"/{name}")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise ScratchError(f"the service answered {answer.status} to {name}")
        if asked >= start:
            times.append(time.perf_counter() - asked)
    connection.close()
    return times


if __name__ == "__main__":
    program.run(main)
