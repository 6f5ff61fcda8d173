"""The program for the first hours with a GPU, on the stand-in for one; and the page that is made of its figures."""

import json
import os
import re
import shlex
import subprocess
import sys
import time

import pytest
from conftest import ON_A_DEVICE
from programs import ROOT, environment, run

FOLDER = ROOT / "tests" / "gpu"
PROGRAM = FOLDER / "first_run.py"
STAND_IN = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "stand_in")])}
PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")


@pytest.fixture
def first_run(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import first_run

    return first_run


@pytest.fixture
def begun(first_run, tmp_path):
    """A run of which the machine is known already."""
    found = first_run.FirstRun(tmp_path / "gpu.json", 25, True)
    found.report["machine"] = {"stand_in": True, "python": "3", "packages": {}, "torch_on_gpu": False}
    return found


def call(*arguments, cwd, env):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment() | env, capture_output=True, text=True, timeout=900)


@pytest.mark.thorough
@pytest.mark.skipif(ON_A_DEVICE, reason="once is enough")
def test_a_little_of_everything_runs_on_the_stand_in(first_run, tmp_path):
    done = call("--smoke", "--json", "gpu.json", cwd=tmp_path, env=STAND_IN)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads((tmp_path / "gpu.json").read_text())
    steps = report["steps"]
    assert report["machine"]["stand_in"] and list(steps) == list(first_run.SHARES)
    suite = steps["suite"]["result"]
    assert suite["passed"] > 20 and not suite["failures"] + suite["unfinished"] + suite["not_run"], suite
    assert steps["gradients"]["result"].keys() == steps["profiles"]["result"].keys() == set(first_run.SMOKE)
    for row in steps["gradients"]["result"].values():
        assert row["cuda_float64"] < 1e-12 and 1e-9 < row["cuda_float32"] < 1e-5
    for row in steps["profiles"]["result"].values():
        assert row["ms"] > 0 and any("scratch/fast/" in line["function"] for line in row["profile"]["functions"])
    if report["machine"]["torch"]:
        assert set(steps["benchmark"]["result"]["rows"]) == set(first_run.SMOKE[:1])
        assert "error" not in steps["benchmark"]["result"]["rows"][first_run.SMOKE[0]]
    else:
        assert "PyTorch" in steps["benchmark"]["error"]
    assert str(ROOT) not in (tmp_path / "gpu.json").read_text()
    printed = call("--table", "gpu.json", cwd=tmp_path, env={}).stdout
    assert "stand-in" in printed and "| names | " in printed and printed.count("### ") == len(steps)


def test_without_a_gpu_it_says_so_in_a_line(tmp_path):
    (tmp_path / "cupy.py").write_text("raise ModuleNotFoundError(\"No module named 'cupy'\")")
    done = call("--json", "gpu.json", cwd=tmp_path, env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])})
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"first_run: error: device cuda needs CuPy .*\n", done.stderr)
    assert not (tmp_path / "gpu.json").exists()


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.json").write_text('{"steps": []}')
    done = call("--table", "other.json", cwd=tmp_path, env={})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("first_run: error: other.json: not a file that this program wrote")


def test_every_workload_that_trains_is_measured(first_run, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    import compare

    assert set(first_run.WORKLOADS) == {name for name in compare.WORKLOADS if not name.endswith("-letters")}
    for name in first_run.WORKLOADS:
        small = name in ("names", "tutorial", "characters")
        assert (first_run.reach_of(name) is None) == small


def test_a_step_that_fails_stops_no_other(first_run, begun, monkeypatch):
    monkeypatch.setattr(first_run.FirstRun, "suite", lambda self, result: 1 / 0)
    monkeypatch.setattr(first_run.FirstRun, "call", lambda *_: (1, "", "one line\nthe last line"))
    for name in first_run.SHARES:
        begun.step(name)
    report = json.loads(begun.path.read_text())
    assert report["steps"]["suite"]["error"].startswith("ZeroDivisionError")
    assert report["steps"]["gradients"]["result"]["names"]["error"].endswith("the last line")
    assert "PyTorch with CUDA" in report["steps"]["benchmark"]["error"]
    printed = first_run.as_markdown(report)
    assert "ZeroDivisionError" in printed and "| names | - | - | - | the last line |" in printed


def test_the_minutes_are_shared_and_what_is_left_goes_to_the_next(first_run, begun, monkeypatch):
    limits = {}
    for name in first_run.SHARES:
        monkeypatch.setattr(first_run.FirstRun, name, lambda self, _, name=name: limits.update({name: self.left()}))
        begun.step(name)
    whole, last = begun.end - time.monotonic(), list(first_run.SHARES)[-1]
    assert limits["suite"] < 0.5 * whole and 0.95 * whole < limits[last] <= 1.05 * whole


def test_only_rows_that_fall_short_are_profiled_the_worst_first(first_run, begun, monkeypatch):
    begun.smoke, begun.workloads = False, first_run.WORKLOADS
    ratios = {"lstm-256": [0.45, 0.4, 0.6], "gpt-64": [0.2, None, None], "images-128": [0.9, 0.8, 1]}
    rows = {name: {"ratio_eager": ratio} for name, ratio in ratios.items()} | {"bidaf-32": {"error": "it failed"}}
    begun.report["steps"]["benchmark"] = {"result": {"rows": rows}}
    monkeypatch.setattr(first_run.FirstRun, "profiled", lambda self, name, seconds: {"ms": 1.0})
    result = {}
    begun.until = time.monotonic() + 60
    begun.profiles(result)
    assert list(result) == ["gpt-64", "lstm-256"]


def test_a_process_that_takes_too_long_is_ended_with_its_children(first_run, begun, monkeypatch):
    monkeypatch.setattr(first_run, "GRACE", 1)
    sleep = "import subprocess, sys; print('begun', flush=True); "
    sleep += "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    started = time.monotonic()
    assert begun.call(["-c", sleep], 1)[:2] == (None, "begun\n")
    assert time.monotonic() - started < 20 and begun.child is None


def test_outcomes_are_read_from_what_pytest_prints(first_run, tmp_path):
    (tmp_path / "test_a.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.parametrize('x', ['a b', 'c'])\ndef test_p(x): pass\n"
        "def test_f(): print('test_a.py::test_p PASSED'); assert 0\n"
        "def test_s(): pytest.skip()\ndef test_end(): os._exit(3)\n"
    )
    command = [sys.executable, *first_run.PYTEST, "-c", os.devnull, "--rootdir", str(tmp_path), "test_a.py"]
    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    result = {"passed": 0, "failed": 0, "skipped": 0, "failures": []}
    assert first_run.add_outcomes(result, out) == "test_a.py::test_end"
    assert result == {"passed": 2, "failed": 1, "skipped": 1, "failures": ["test_a.py::test_f"]}


LONG = re.findall(r"^python (examples/.* train .*--device cuda)$", PAGE, flags=re.MULTILINE)


def test_the_page_has_the_long_trainings_and_the_program():
    for words in ("examples/cifar10 train --recipe modern", "examples/alice train --recipe large", "nanogpt-gpu"):
        assert any(words in line for line in LONG), words
    assert "python tests/gpu/first_run.py" in PAGE


@pytest.mark.thorough
@pytest.mark.parametrize("command", LONG)
def test_a_long_training_begins_on_a_device(command, tmp_path):
    program, *flags = shlex.split(command.removeprefix("examples/"))
    env = {} if ON_A_DEVICE else STAND_IN
    code, _, err = run(program, *flags, "--smoke", "--epochs", 1, cwd=tmp_path, env=env)
    assert code == 0, err
