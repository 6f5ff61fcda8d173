"""The benchmark beside PyTorch: its statistics on known samples, and its workers, which may die or hang."""

import json
import os
import signal
import subprocess
import sys
import time
from unittest.mock import MagicMock

import numpy
import pytest
from programs import ROOT, environment

from scratch.checks import ScratchError

sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests" / "benchmarks")]

import compare  # noqa: E402
import slices  # noqa: E402


@pytest.mark.parametrize("num_pairs", [3, 6, 12, 40])
def test_the_interval_covers_the_true_ratio(num_pairs):
    draw, covered = numpy.random.default_rng(0), 0
    for _ in range(100):
        pairs = 1.1 * numpy.exp(0.1 * draw.standard_normal(num_pairs))
        middle, low, high = slices.with_interval(pairs)
        assert low <= middle <= high
        covered += low <= 1.1 <= high
    assert covered >= 88


def test_the_interval_of_many_pairs_is_narrow_and_a_disturbed_slice_does_not_count():
    draw = numpy.random.default_rng(0)
    pairs = 1.1 * numpy.exp(0.02 * draw.standard_normal(40))
    pairs[[3, 17]] = 5.0
    middle, low, high = slices.with_interval(pairs)
    assert 1.08 < low < 1.1 < high < 1.12 and middle == pytest.approx(1.1, abs=0.01)


@pytest.mark.parametrize(("pairs", "word"), [
    ([1.1, 1.2, 1.15, 1.13], "ahead"), ([0.9, 0.8, 0.85, 0.87], "behind"), ([0.9, 1.1, 1.0, 1.2], "even"),
    ([1.2, 1.2, 1.2], "ahead"), ([1.5, 1.5], "-"),
])
def test_the_verdict(pairs, word):
    assert slices.verdict(*slices.with_interval(pairs)[1:]) == word


class Simulated:
    """Answers like a worker, by a clock of its own. The machine slows down to a third while it is used."""

    now = 0.0

    def __init__(self, step):
        self.step = step

    def run(self, seconds):
        taken = self.step * 3 ** (Simulated.now / 60)
        Simulated.now += seconds
        return {"steps": round(seconds / taken), "seconds": round(seconds / taken) * taken}


def test_a_drift_that_all_slices_share_cancels_out():
    steps = {"ours": 1e-3, "eager": 1.2e-3, "tuned": 0.9e-3, "plain": 2e-3, "peak": 1e-3}
    Simulated.now = 0.0
    measured = slices.measure({side: Simulated(step) for side, step in steps.items()}, range(40), 0.25)
    for side, step in steps.items():
        middle, low, high = slices.with_interval(slices.ratios(measured, side))
        assert middle == pytest.approx(step / 1e-3, rel=0.01)
        assert low <= middle <= high and high / low < 1.05
    assert max(slices.times(measured, "ours")) > 1.5 * min(slices.times(measured, "ours"))


def test_neighbouring_slices_are_compared_and_every_other_round_runs_backwards():
    ran = []

    class Noted(Simulated):
        def run(self, seconds):
            ran.append(self.step)
            return {}

    slices.measure({side: Noted(side) for side in ("ours", "plain", "eager", "tuned", "peak")}, range(4), 0.25)
    there = ["eager", "ours", "tuned", "peak"]
    assert ran == ["plain", *there, *there[::-1], *there, *there[::-1], "plain"]


@pytest.mark.parametrize(("until", "end", "num_rounds"), [(1e6, 1e6, 40), (0, 1e6, compare.FEWEST), (0, 0, 1)])
def test_a_row_has_few_rounds_when_its_time_is_over_and_one_when_all_time_is(until, end, num_rounds):
    now = time.monotonic()
    assert len(list(compare.rounds(until and now + until, end and now + end, 40))) == num_rounds


def test_rows_that_are_not_reached_are_named(monkeypatch, capsys, tmp_path):
    replaced = {
        "extra": lambda *_: None, "use": lambda _: None, "machine": lambda: {"cores": 2}, "Worker": MagicMock(),
        "compare": lambda name, *_: {"name": name}, "as_line": lambda row: f"| {row['name']} |",
    }
    for name, value in replaced.items():
        monkeypatch.setattr(compare, name, value)
    path = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["compare.py", "names", "tutorial", "--minutes", "0", "--json", str(path)])
    compare.main()
    out = capsys.readouterr().out
    assert out.startswith("cores: 2\n") and out.endswith("| names |\n\nno time was left in 0 minutes for: tutorial\n")
    assert json.loads(path.read_text()) == {"machine": {"cores": 2}, "rows": [{"name": "names"}]}


def test_a_worker_answers_until_its_input_ends():
    with slices.Worker("peak-product", "ours") as worker:
        assert worker.answer() == {"bytes": 0}
        answer = worker.run(0.001)
        assert answer["steps"] >= 2 * 1536**3 and answer["seconds"] > 0 and answer["peak_mb"] > 1
    assert worker.process.returncode == 0


def test_a_worker_that_dies_is_reported():
    with slices.Worker("peak-neighbour", "ours") as worker:
        worker.answer()
        worker.process.kill()
        with pytest.raises(ScratchError, match="peak-neighbour, ours: the process ended without an answer"):
            worker.run(0.001)


def test_a_worker_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(slices, "LIMIT", 60)
    with slices.Worker("peak-neighbour", "ours") as worker:
        worker.answer()
        monkeypatch.setattr(slices, "LIMIT", 0.1)
        with pytest.raises(ScratchError, match=r"no answer in 0\.1 seconds; the process was ended"):
            worker.run(1e6)
    assert worker.process.returncode not in (None, 0)


PARENT = """
import sys
from slices import Worker
worker = Worker("peak-neighbour", "ours")
worker.answer()
worker.start(1e6)
print(worker.process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs Unix's signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL] if hasattr(signal, "SIGKILL") else [])
def test_a_worker_ends_with_its_parent(number):
    env = environment()
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(ROOT / "tests" / "benchmarks")])
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "encoding": "utf-8"}
    with subprocess.Popen([sys.executable, "-c", PARENT], env=env, **options) as parent:
        worker = int(parent.stdout.readline())
        parent.send_signal(number)
        parent.wait(timeout=60)
    for _ in range(600):
        if not running(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker is still running")


def running(pid):
    """Whether a process runs. One that has ended may stay in the list of processes, marked Z."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")
