"""Starting an example program as a user does, and reading what it left."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SCRATCH_DATA") or ROOT.parent / "shared" / "data")  # real data sets, where they are


def needs_data(folder):
    """A mark: the test is skipped where this real data set is not."""
    return pytest.mark.skipif(not (DATA / folder).is_dir(), reason=f"the data set {folder} is not here")


def environment():
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path}


def start(name, *arguments, cwd, env=None, **options):
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    env = environment() | (env or {})
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"} | options
    return subprocess.Popen(command, cwd=cwd, env=env, **options)


def run(name, *arguments, cwd, input=None, **options):
    process = start(name, *arguments, cwd=cwd, stdin=subprocess.PIPE, **options)
    out, err = process.communicate(input, timeout=120)
    return process.returncode, out, err


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def name_service(cwd):
    """The service of the names, running: its port, and its process."""
    port = free_port()
    process = start("name_languages", "serve", "--port", port, cwd=cwd)
    try:
        assert f"http://localhost:{port}/" in process.stdout.readline()
        yield port, process
    finally:
        process.kill()
        process.communicate()


def scores(name, cwd):
    """The report of a program that evaluates its own weights on the real data set."""
    code, _, err = run(name, "evaluate", "--report", "e.json", cwd=cwd, env={"SCRATCH_DATA": str(DATA)})
    assert code == 0, err
    return json.loads((cwd / "e.json").read_text())


def refused(name, *arguments, cwd, **options):
    """The one line on stderr of a program that must not run."""
    code, _, err = run(name, *arguments, cwd=cwd, **options)
    assert code == 2, err
    assert err.count("\n") == 1 and "Traceback" not in err, err
    return err


def weights(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name != "metadata"}


def goes_on_to_the_bit(name, *flags, line, cwd):
    """A run killed when it prints a line that begins so, and resumed, ends with the weights of one left alone."""
    code, _, err = run(name, *flags, "--out", "whole", cwd=cwd)
    assert code == 0, err
    process = start(name, *flags, "--out", "killed", cwd=cwd)
    for printed in process.stdout:
        if printed.startswith(line):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    code, _, err = run(name, *flags, "--out", "killed", "--resume", cwd=cwd)
    assert code == 0, err
    killed, whole = (weights(cwd / folder / "weights.npz") for folder in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all(np.array_equal(killed[name], whole[name]) for name in whole)


def plain_and_fast(name, *flags, cwd, engine=("--threads", 2)):
    """The losses of the epochs of a run with --plain, and of the same run with the engine."""
    losses = []
    for folder, more in (("plain", ["--plain"]), ("fast", engine)):
        code, _, err = run(name, *flags, *more, "--out", folder, cwd=cwd)
        assert code == 0, err
        lines = (cwd / folder / "history.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    return losses
