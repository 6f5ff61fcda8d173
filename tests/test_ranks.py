"""Processes of an MPI job that share every batch: the same weights as one process; one voice; one end."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ON_A_DEVICE, ON_THREADS
from programs import ROOT, environment, run, weights

from scratch.backend import xp
from scratch.fast.processes import job, size_of_job
from scratch.gradient_check import relative_error
from scratch.tools.locks import claim

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
pytestmark = [
    pytest.mark.needs("mpi4py"), pytest.mark.skipif(MPIEXEC is None, reason="needs mpiexec: pip install -e '.[dev]'"),
]
HELPER = ROOT / "tests" / "ranks_program.py"
LEARN = ("train", "--smoke", "--dropout", "0", "--threads", "1")


def start(num_ranks, program, *arguments, cwd):
    # Each with one thread for its products: they share the cores.
    env = environment() | {"OPENBLAS_NUM_THREADS": "1"}
    if ON_A_DEVICE and xp.cuda.runtime.getDeviceCount() < 3:  # each would take one
        env["SCRATCH_DEVICE"] = "cpu"
    command = [MPIEXEC, "-n", str(num_ranks), sys.executable, str(program), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        encoding="utf-8",
    )


def together(num_ranks, program, *arguments, cwd):
    process = start(num_ranks, program, *arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        process.terminate()  # which mpiexec passes on; if it has ended, nothing happens
        process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_steps_are_those_of_one_process(num_ranks, tmp_path):
    for n in (1, num_ranks):
        code, _, err = together(n, HELPER, "steps", f"{n}.npz", cwd=tmp_path)
        assert code == 0, err
    one, many = (dict(np.load(tmp_path / f"{n}.npz")) for n in (1, num_ranks))
    assert one.keys() == many.keys()
    for name, value in one.items():
        assert relative_error(many[name], value) < 1e-9, name


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_a_run_is_that_of_one_process_and_has_one_voice(num_ranks, tmp_path):
    code, alone, err = run("char_lm", *LEARN, "--out", "one", cwd=tmp_path)
    assert code == 0, err
    program = ROOT / "examples" / "char_lm"
    code, out, err = together(num_ranks, program, *LEARN, "--out", "many", "--report", "r.json", cwd=tmp_path)
    assert code == 0 and not err, err
    said = [line for line in out.splitlines() if line.startswith("epoch")]
    assert said == [line for line in alone.splitlines() if line.startswith("epoch")]
    left = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert left == sorted(path.name for path in (tmp_path / "one").iterdir()) and (tmp_path / "r.json").exists()
    one, many = weights(tmp_path / "one" / "weights.npz"), weights(tmp_path / "many" / "weights.npz")
    for name, value in one.items():
        assert relative_error(many[name], value) < 1e-3, name  # float32, hundreds of steps


@ON_THREADS
def test_dropout_masks_do_not_depend_on_threads_or_processes(tmp_path):
    flags = ("train", "--recipe", "small", "--smoke", "--dropout", "0.3", "--epochs", "3")  # in batches of 64
    for out, threads in (("one", "1"), ("threads", "2")):
        code, _, err = run("alice", *flags, "--threads", threads, "--out", out, cwd=tmp_path)
        assert code == 0, err
    program = ROOT / "examples" / "alice"
    code, _, err = together(2, program, *flags, "--threads", "1", "--out", "ranks", cwd=tmp_path)
    assert code == 0, err
    one, *others = (weights(tmp_path / out / "weights.npz") for out in ("one", "threads", "ranks"))
    for name, value in one.items():
        for other in others:
            assert relative_error(other[name], value) < 1e-4, name


@pytest.mark.parametrize(("program", "flags"), [
    ("alice", ("--smoke",)), ("char_cnn", ("--smoke",)), ("movie_reviews", ("--smoke", "--model", "lstm")),
    ("cifar10", ("--smoke", "--epochs", "2")), ("name_languages", ("--smoke",)),
    ("bidaf", ("--smoke", "--epochs", "2")),
])
def test_every_program_that_trains_in_batches(program, flags, tmp_path):
    out = "--output" if program == "char_cnn" else "--out"
    code, said, err = together(2, ROOT / "examples" / program, "train", *flags, out, "r", cwd=tmp_path)
    assert code == 0, err
    epochs = [line.split()[1] for line in said.splitlines() if line.startswith("epoch")]
    assert epochs and epochs == sorted(set(epochs), key=int)  # each line once
    assert list((tmp_path / "r").glob("*weights.npz"))


def test_a_killed_process_ends_the_job_and_a_smaller_one_resumes_from_the_checkpoint(tmp_path):
    program, flags = ROOT / "examples" / "char_lm", (*LEARN, "--epochs", "60", "--out", "r")
    process = start(3, program, *flags, cwd=tmp_path)
    for line in process.stdout:
        if line.startswith("epoch   3"):
            break
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    ranks = [pid for pid in pids if _is_python_in(tmp_path, pid)]
    assert len(ranks) == 3
    os.kill(ranks[-1], signal.SIGKILL)
    started = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0 and time.monotonic() - started < 50
    assert "kill" in (out + err).lower()  # mpiexec's message
    code, out, err = together(2, program, *flags, "--resume", cwd=tmp_path)
    assert code == 0, err
    assert "epoch   1 " not in out and "Held out" in out


def _is_python_in(folder, pid):
    try:
        program, place = (os.readlink(f"/proc/{pid}/{name}") for name in ("exe", "cwd"))
    except OSError:  # it has ended, or is another user's
        return False
    return Path(place) == folder and "python" in Path(program).name


def test_an_error_in_one_process_ends_all_with_its_words(tmp_path):
    code, _, err = together(2, HELPER, "fails", cwd=tmp_path)
    assert code != 0 and "RuntimeError: only here" in err


def test_bad_input_is_one_message_and_the_exit_code_of_one_process(tmp_path):
    code, _, err = together(2, ROOT / "examples" / "char_lm", "train", "--data", "nowhere", cwd=tmp_path)
    assert code == 2 and err.count("char_lm: error: nowhere: no such") == 1, err


def test_a_folder_in_use_is_refused_by_the_first_for_all(tmp_path):
    (tmp_path / "r").mkdir()
    claim(tmp_path / "r", [])
    code, _, err = together(2, ROOT / "examples" / "char_lm", "train", "--smoke", "--out", "r", cwd=tmp_path)
    assert code == 2 and err.count("in use by") == 1, err


def test_all_have_the_first_ones_chance(tmp_path):
    code, out, err = together(3, HELPER, "chance", cwd=tmp_path)
    assert code == 0, err
    _, *others = out.split()
    assert len(others) == 3 and len(set(others)) == 1


def test_what_is_not_shared_is_refused(tmp_path):
    code, _, err = together(2, ROOT / "examples" / "company_names.py", "--smoke", cwd=tmp_path)
    assert code == 2 and "start it without mpiexec" in err and not list(tmp_path.iterdir())


def test_alone_it_is_a_job_of_one_process(monkeypatch):
    assert size_of_job() == 1 and job().num_ranks == 1 and job().sum(3) == 3
    monkeypatch.setenv("PMI_SIZE", "4")
    assert size_of_job() == 4
