"""Everything that should be measured when a GPU is at hand, in less than 25 minutes and in one file.

    python tests/gpu/first_run.py --json runs/gpu.json
    python tests/gpu/first_run.py --table runs/gpu.json         # the tables of docs/gpu.md, as Markdown
    PYTHONPATH="$PWD/tests/stand_in" python tests/gpu/first_run.py --smoke    # a little of each step, without a GPU

1. The suite on the GPU: how many tests passed, failed and were skipped, and which failed.
2. The gradients of each workload of the benchmark, compared with the plain book's on the CPU.
3. The benchmark beside PyTorch, where PyTorch with CUDA is installed.
4. The time of a step, and a profile of it, for each row of the benchmark that falls short; without PyTorch, for each
   workload, as far as the time goes.

Each step has its share of the minutes, and what one leaves goes to the next. Each measurement runs in a process of its
own; if it fails or takes too long, the others go on. The file is written anew after each.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gpu_tables import as_markdown, of_machine, ratio_of, reach_of

from scratch import __version__
from scratch.checks import ScratchError
from scratch.tools.files import read_json, write_text
from scratch.tools.incoming import read_text
from scratch.tools.program import Parser, positive, run, say_when_stopped, writable_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COMPARE = ROOT / "tests" / "benchmarks" / "compare.py"
SHARES = {"suite": 10, "gradients": 4, "benchmark": 8, "profiles": 2}  # of the minutes, relative to each other
# Those that train, in the order in which they are measured: first one of each kind.
WORKLOADS = (
    "lstm-256", "images-128", "charcnn-150", "bidaf-32", "gpt-64", "lstm-512", "lstm-alice2", "images-512",
    "charcnn-1014", "gpt-small", "lstm-alice", "names", "tutorial", "characters",
)
SMOKE = ("names", "tutorial")
FEW_TESTS = ("tests/test_stand_in.py", "tests/test_sums.py")
FILES_AT_ONCE, LONGEST = 6, 240  # of the suite: files in one process, and seconds that it may take
GRACE = 15  # seconds in which a process that was interrupted may still say what it has found
LEAST = 10  # seconds that a measurement needs at least
OUTCOME = re.compile(r"(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
KINDS = {
    "PASSED": "passed", "XPASS": "passed", "FAILED": "failed", "ERROR": "failed", "SKIPPED": "skipped",
    "XFAIL": "skipped",
}
REPORTS = re.compile(r"^=+ (?:FAILURES|ERRORS) =+$", flags=re.MULTILINE)
PYTEST = ("-m", "pytest", "-v", "--tb=short", "--color=no", "-p", "no:cacheprovider")


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--minutes", type=positive, default=25, help="how long it may take (default: 25)")
    parser.add_argument(
        "--json", type=Path, default=Path("runs/gpu.json"), metavar="FILE",
        help="where the results go (default: runs/gpu.json)",
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the results in FILE as Markdown, and end")
    parser.common(smoke=False)
    flags = parser.parse_args()
    if flags.table:
        try:
            print(as_markdown(read_json(flags.table)))
        except (LookupError, TypeError, AttributeError) as error:
            raise ScratchError(f"{flags.table}: not a file that this program wrote ({error!r})") from error
        return
    writable_file(flags.json)
    first = FirstRun(flags.json, flags.minutes, flags.smoke)
    say_when_stopped(lambda: first.stopped())
    first.machine()
    for name in SHARES:
        first.step(name)
    print(f"\n{flags.json} has everything; {Path(sys.argv[0]).name} --table {flags.json} prints its tables")


class FirstRun:
    """The steps, and the report that they fill."""

    def __init__(self, path: Path, minutes: float, smoke: bool) -> None:
        self.path, self.smoke, self.end = path, smoke, time.monotonic() + 60 * minutes - 2 * GRACE
        self.workloads = SMOKE if smoke else WORKLOADS
        self.child: subprocess.Popen | None = None
        self.until = self.end  # of the present step
        self.share = 0.0  # seconds of the present workload, if all that are left have equally many
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.report: dict[str, Any] = {
            "program": "first_run", "begun": now, "minutes": minutes, "smoke": smoke, "scratch": __version__,
            "commit": commit(), "steps": {},
        }

    def save(self) -> None:
        write_text(self.path, json.dumps(self.report, indent=1, ensure_ascii=False) + "\n")

    def machine(self) -> None:
        """Find out what there is. Raises: ScratchError when it has no GPU that can be used."""
        code, out, err = self.call([str(HERE / "on_device.py"), "machine"], 180)
        if code != 0:
            lines = err.strip().splitlines() or [f"the GPU cannot be used: no answer (exit code {code})"]
            raise ScratchError(lines[-1].removeprefix("on_device: error: "))
        self.report["machine"] = json.loads(out.splitlines()[-1])
        self.save()
        print(of_machine(self.report), flush=True)

    def step(self, name: str) -> None:
        """Run one step. Its errors are part of the report, and stop no other."""
        names = list(SHARES)
        share = SHARES[name] / sum(SHARES[other] for other in names[names.index(name) :])
        started = time.monotonic()
        self.until = started + share * (self.end - started)
        entry: dict[str, Any] = {"result": {}}
        self.report["steps"][name] = entry
        try:
            getattr(self, name)(entry["result"])
        except Exception as error:
            entry["error"] = f"{type(error).__name__}: {error}"
            entry["traceback"] = traceback.format_exc().replace(f"{ROOT}{os.sep}", "")  # the report may be shared
        entry["seconds"] = round(time.monotonic() - started, 1)
        self.save()
        print(f"{name}: {entry['seconds']:.0f} s{': ' + entry['error'] if 'error' in entry else ''}", flush=True)

    # The steps ------------------------------------------------------------------------------------------------

    def suite(self, result: dict[str, Any]) -> None:
        """A few files at a time: a crash, or an error after which CUDA answers no more, ends only their tests."""
        files = FEW_TESTS if self.smoke else files_of_tests()
        result |= {"passed": 0, "failed": 0, "skipped": 0, "output": ""}
        result |= {"failures": [], "unfinished": [], "not_run": []}
        for start in range(0, len(files), FILES_AT_ONCE):
            some = files[start : start + FILES_AT_ONCE]
            if self.left() < LEAST:
                result["not_run"] += some
                continue
            limit = min(self.left(), LONGEST)
            code, out, err = self.call([*PYTEST, *some], limit, {"SCRATCH_DEVICE": "cuda"})
            unfinished = add_outcomes(result, out)
            if code not in (0, 5):  # 5: all tests of these files are of a kind that is left out
                result["output"] += f"{' '.join(some)}: exit code {code}\n{ending(out)}\n{err[-5000:]}\n"
            if code not in (0, 1, 5):
                result["unfinished"].append(f"{unfinished or ' '.join(some)} ({why(code, '', limit)})")
            self.save()
        if not result["passed"]:
            raise RuntimeError("no test has passed")

    def gradients(self, result: dict[str, Any]) -> None:
        self.each(result, lambda name, seconds: self.measured("gradients", name, seconds))

    def benchmark(self, result: dict[str, Any]) -> None:
        machine = self.report["machine"]
        on_gpu = machine.get("torch_on_gpu")
        if not on_gpu and not (self.smoke and machine.get("torch")):
            raise RuntimeError("PyTorch with CUDA is not installed; nothing was compared")
        result |= {"options": ["--device", "cuda" if on_gpu else "cpu"], "rows": {}}
        names = self.workloads[: 1 if self.smoke else None]
        self.each(result["rows"], lambda name, seconds: self.compared(name, result["options"], seconds), names)

    def profiles(self, result: dict[str, Any]) -> None:
        rows = self.report["steps"].get("benchmark", {}).get("result", {}).get("rows", {})
        ratios = {name: ratio for name in self.workloads if (ratio := ratio_of(rows.get(name))[0]) is not None}
        short = {name: ratio / (reach_of(name) or ratio) for name, ratio in ratios.items()}
        names = [name for name in sorted(short, key=lambda name: short[name]) if short[name] < 1]
        self.each(result, self.profiled, names if ratios and not self.smoke else self.workloads)

    # What they need -------------------------------------------------------------------------------------------

    def left(self) -> float:
        """Seconds of the present step."""
        return self.until - time.monotonic()

    def each(self, result: dict[str, Any], measure: Callable[[str, float], Any], names: Any = None) -> None:
        """Measure one workload after the other. A failure is the result of its workload."""
        names = list(self.workloads if names is None else names)
        for number, name in enumerate(names):
            self.share = self.left() / (len(names) - number)
            if self.left() < LEAST:
                result[name] = {"error": "not reached: no time was left"}
                continue
            try:
                result[name] = measure(name, self.left())
            except Exception as error:
                result[name] = {"error": str(error)}
            self.save()
            print(f"  {name}: {result[name].get('error', 'done').splitlines()[-1]}", flush=True)

    def measured(self, what: str, name: str, seconds: float, env: dict[str, str] | None = None) -> Any:
        """The figures of `on_device.py`."""
        timing = ["--seconds", "0.5" if self.smoke else "3"]
        code, out, err = self.call([str(HERE / "on_device.py"), what, name, *timing], seconds, env)
        if code != 0:
            raise RuntimeError(why(code, err, seconds))
        return json.loads(out.splitlines()[-1], parse_constant=str)  # NaN would be no JSON

    def profiled(self, name: str, seconds: float) -> Any:
        found = self.measured("times", name, seconds)
        try:
            waiting = {"CUDA_LAUNCH_BLOCKING": "1"}
            return found | {"profile": self.measured("profile", name, max(LEAST, self.left()), waiting)}
        except RuntimeError as error:
            return found | {"profile": {"error": str(error)}}

    def compared(self, name: str, options: list[str], seconds: float) -> Any:
        """What `compare.py` writes about one workload: its only row, if it is a list of rows."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "row.json"
            limits = ["--minutes", f"{0.1 if self.smoke else self.share / 60:.2f}"]
            code, _, err = self.call([str(COMPARE), name, *options, *limits, "--json", str(path)], seconds)
            if code != 0:
                raise RuntimeError(why(code, err, seconds))
            found = read_json(path)
        rows = found.get("rows", found) if isinstance(found, dict) else found
        return rows[0] if isinstance(rows, list) and len(rows) == 1 else found

    def call(
        self, arguments: list[str], seconds: float, env: dict[str, str] | None = None
    ) -> tuple[int | None, str, str]:
        """Run Python; returns its exit code, None if the time was over, and what it has printed."""
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environ = os.environ | {"PYTHONPATH": path} | (env or {})
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            self.child = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True,  # so that its own children can be ended, too
            )
            try:
                code: int | None = self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
                self.child.send_signal(signal.SIGINT)  # pytest then reports the failures until now
                with suppress(subprocess.TimeoutExpired):
                    self.child.wait(GRACE)
            self.end_child()
            printed = []
            for file in (out, err):
                file.seek(0)
                printed.append(file.read().decode("utf-8", "replace"))
        return code, *printed

    def end_child(self) -> None:
        """End the present process, and all that it has started."""
        self.kill_child()
        if self.child is not None:
            self.child.wait()
            self.child = None

    def kill_child(self) -> None:
        if self.child is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def stopped(self) -> str:
        """End what runs, because of Ctrl-C; returns what to say."""
        self.kill_child()
        return f"{self.path} has what was measured until now" if "machine" in self.report else ""


def why(code: int | None, err: str, seconds: float) -> str:
    """Why a process has failed: the end of what it said."""
    if code is None:
        return f"not finished in {seconds:.0f} s"
    return err.strip()[-3000:] or (f"crashed, signal {-code}" if code < 0 else f"exit code {code}")


def files_of_tests() -> list[str]:
    """The files of tests; those that start programs, which takes longer, come last."""
    paths = sorted((ROOT / "tests").glob("test_*.py"), key=lambda path: ("programs import" in read_text(path), path))
    return [path.relative_to(ROOT).as_posix() for path in paths]


def add_outcomes(result: dict[str, Any], out: str) -> str | None:
    """Add what `pytest -v` has printed to `result`; returns the test that has begun and not ended, if there is one."""
    unfinished = None
    for line in REPORTS.split(out)[0].splitlines():
        if found := OUTCOME.match(line):
            result[KINDS[found[2]]] += 1
            unfinished = None
            if KINDS[found[2]] == "failed":
                result["failures"].append(found[1])
        elif re.match(r"\S+\.py::", line):
            unfinished = line.strip()
    return unfinished


def ending(out: str) -> str:
    """What pytest says of the failures; without any, the end of its output."""
    return out[len(REPORTS.split(out)[0]) :][:60_000] or out[-5000:]


def commit() -> str | None:
    """The commit that is measured, where Git knows it; "-dirty" if files were changed since."""
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=20).stdout.strip()
    return None


if __name__ == "__main__":
    run(main)
