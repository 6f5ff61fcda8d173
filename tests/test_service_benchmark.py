"""The benchmark of the name service runs, and leaves no process behind."""

import json
import subprocess
import sys

import pytest
from programs import ROOT, environment

pytestmark = pytest.mark.needs("fastapi_offline", "uvicorn")


@pytest.mark.parametrize("flags", [["--json"], []])
def test_the_service_is_measured_alone_and_beside_a_busy_process(flags, tmp_path):
    command = [sys.executable, ROOT / "tests" / "benchmarks" / "service.py", "--seconds", "1", "--rounds", "1"]
    options = {"cwd": tmp_path, "env": environment(), "capture_output": True, "text": True, "timeout": 100}
    run = subprocess.run([*command, "--clients", "2", "--neighbours", "0", "1", *flags], **options)
    assert run.returncode == 0, run.stderr
    if flags:
        rows = json.loads(run.stdout)["rows"]
    else:
        _, _, *lines = run.stdout.splitlines()
        names = ("neighbours", "requests_per_second", "p50_ms", "p95_ms", "p99_ms")
        rows = [dict(zip(names, map(float, line.strip("| ").split(" | ")), strict=True)) for line in lines]
    assert [row["neighbours"] for row in rows] == [0, 1]
    for row in rows:
        assert row["requests_per_second"] > 0 and 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
