"""How `compare.py` measures: workers that run short slices in turn, and the ratio of neighbouring slices.

A worker is a process (`timing.py`) that has loaded one side of one workload. Over a pipe it is told how long a slice to
run, and it answers with its steps and seconds. Only one worker runs at a time.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy
from timing import mpiexec

from scratch.checks import ScratchError

LIMIT = 300  # seconds without an answer, after which a worker is ended
# The order of a round's slices. Every other round runs backwards, so that a steady drift of the machine's speed cancels
# out. `ours` stands between the two sides that it is compared with.
ORDER = ("plain", "lists", "eager", "ours", "tuned", "peak")
SELDOM = {"plain", "lists"}  # only in every third round
RESAMPLES = 2000


class Worker:
    """A process that runs slices of one side of a workload; under mpiexec, several processes. A context manager."""

    def __init__(self, name: str, side: str, device: str = "cpu", processes: int = 1) -> None:
        self.name = f"{name}, {side}"
        command = [sys.executable, str(Path(__file__).with_name("timing.py")), name, side, device]
        if processes > 1:
            command = [mpiexec(), "-n", str(processes), *command]
        # In a session of its own it gets no Ctrl-C. It ends when this process does, because that closes its input.
        self.process: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def answer(self) -> dict[str, Any]:
        """The next answer; the first comes when the worker is ready. Raises: ScratchError when none comes."""
        try:
            line = self._lines.get(timeout=LIMIT)
        except queue.Empty:
            self.process.kill()
            raise ScratchError(f"{self.name}: no answer in {LIMIT} seconds; the process was ended") from None
        if not line:
            raise ScratchError(f"{self.name}: the process ended without an answer, exit code {self.process.wait()}")
        return json.loads(line)

    def start(self, seconds: float) -> None:
        """Tell it to run a slice, and do not wait."""
        with suppress(OSError):  # it has ended; `answer` says so
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()

    def run(self, seconds: float) -> dict[str, Any]:
        """Run a slice of so many seconds, at least one step; returns its steps, seconds, page faults and peak_mb."""
        self.start(seconds)
        return self.answer()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.process.stdin.close()  # at which it ends
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(timeout=10)


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """So many processes that keep a core busy each."""
    with ExitStack() as stack:
        for _ in range(number):
            neighbour = stack.enter_context(Worker("peak-neighbour", "ours"))
            neighbour.answer()
            neighbour.start(seconds=1e9)
        yield


def measure(workers: Mapping[str, Any], rounds: Iterable[int], seconds: float) -> list[dict[str, dict[str, Any]]]:
    """For each round, the answer of each side that ran in it."""
    measured = []
    for number in rounds:
        order = [side for side in ORDER if side in workers and (number % 3 == 0 or side not in SELDOM)]
        order = order[::-1] if number % 2 else order
        measured.append({side: workers[side].run(seconds) for side in order})
    return measured


def answers(measured: Iterable[Mapping[str, Any]], side: str) -> list[dict[str, float]]:
    """Those of one side, in the rounds that it ran in."""
    return [ran[side] for ran in measured if side in ran]


def times(measured: Iterable[Mapping[str, Any]], side: str) -> list[float]:
    """Seconds per step in each slice of a side."""
    return [answer["seconds"] / answer["steps"] for answer in answers(measured, side)]


def ratios(measured: Iterable[Mapping[str, Any]], side: str) -> list[float]:
    """The step time of `side` over that of `ours`, in each round that it ran in."""
    both = [ran for ran in measured if side in ran]
    return [a / b for a, b in zip(times(both, side), times(both, "ours"), strict=True)]


def typical(logs: numpy.ndarray) -> numpy.ndarray:
    """The mean of the middle half along the last axis: a slice that a neighbour disturbed does not count."""
    cut = logs.shape[-1] // 4
    return numpy.sort(logs)[..., cut : logs.shape[-1] - cut].mean(axis=-1)


def with_interval(pairs: Iterable[float]) -> tuple[float, float | None, float | None]:
    """The typical ratio of pairs, a geometric mean, and its 95 % confidence interval; None for fewer than 3 pairs.

    The interval is the bootstrap's percentile interval of the logarithm. It is widened by n / (n - 2), because that of
    few pairs is too narrow: for normal noise, Student's t needs about this factor.
    """
    logs = numpy.log(list(pairs))
    middle, n = float(typical(logs)), len(logs)
    if n < 3:
        return float(numpy.exp(middle)), None, None
    drawn = typical(numpy.random.default_rng(0).choice(logs, (RESAMPLES, n)))
    ends = middle + (numpy.quantile(drawn, [0.025, 0.975]) - middle) * n / (n - 2)
    low, high = map(float, numpy.exp(ends))
    return float(numpy.exp(middle)), low, high


def in_words(ratio: tuple[float, float | None, float | None]) -> str:
    """A ratio and its interval, if it has one, as a table says it."""
    middle, low, high = ratio
    return f"{middle:.2f}" if low is None else f"{middle:.2f} ({low:.2f} to {high:.2f})"


def verdict(low: float | None, high: float | None) -> str:
    """"ahead" or "behind" only where the interval lies on one side of 1; "even" otherwise, and "-" without one."""
    if low is None or high is None:
        return "-"
    return "ahead" if low > 1 else "behind" if high < 1 else "even"
