"""The benchmark of growth: its fit on known points, its tables, and every curve in tiny sizes. No time is asserted."""

import json
import subprocess
import sys
from argparse import Namespace

import numpy
import pytest
from programs import ROOT, environment
from test_ranks import MPIEXEC

sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests" / "benchmarks")]

import growth  # noqa: E402

from scratch.checks import ScratchError  # noqa: E402

SIZES = (1, 4, 16, 64, 256)


def rows_of(time, memory):
    return [{"batch": size, "time": time(size), "memory": memory(size)} for size in SIZES]


def test_the_fit_recovers_known_coefficients():
    rows = rows_of(lambda n: 3 + 0.5 * n + 0.01 * n**2, lambda n: 40 + 2 * n)
    for quantity, model, expected in (("time", "1 + batch + batch²", [3, 0.5, 0.01]), ("memory", "1 + batch", [40, 2])):
        found = growth.fit(growth.terms(model, rows), [row[quantity] for row in rows])
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_fit_weighs_relative_errors():
    draw = numpy.random.default_rng(0)
    rows = rows_of(lambda n: (3 + 0.5 * n) * (1 + 0.05 * draw.uniform(-1, 1)), float)
    assert growth.predicted("1 + batch", rows, "time") == pytest.approx([3 + 0.5 * n for n in SIZES], rel=0.05)


def test_no_coefficient_is_negative():
    rows = rows_of(lambda n: n**2 - 0.4 * n, float)
    found = growth.fit(growth.terms("1 + batch + batch²", rows), [row["time"] for row in rows])
    assert found.min() == 0 and found.max() > 0


def test_the_factor_of_a_doubled_size():
    curve, rows = growth.CURVES["batch-lstm"], rows_of(lambda n: 64 + n, lambda n: 5 * n)
    assert growth.doubled(curve, rows, "time") == pytest.approx(1.5)
    assert growth.doubled(curve, rows, "memory") == pytest.approx(2)


def test_a_table_has_the_points_the_models_and_their_largest_error():
    rows = rows_of(lambda n: 3 + 0.5 * n, lambda n: 40 + 2 * n)
    lines = growth.table(growth.CURVES["batch-lstm"], rows).splitlines()
    assert lines[0] == "| batch | time, ms | model | memory, MB | model |"
    assert lines[2] == "| 1 | 3.5 | 3.5 | 42 | 42 |" and len(lines) == 2 + len(SIZES) + 3
    assert lines[-2].startswith("- time = 3 + 0.5 · batch, in ms, within ")


def test_where_the_quadratic_term_equals_the_linear_one():
    rows = [{"context": n, "time": 3 + 0.5 * n + 0.01 * n**2, "memory": 1} for n in SIZES]
    table = growth.table(growth.CURVES["sequence-gpt"], rows)
    assert "\n- the quadratic term of the time equals the linear one at 50\n" in table


def test_tables_replace_those_of_a_page_and_nothing_else(tmp_path, monkeypatch):
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    figures.write_text(json.dumps({"curves": {"batch-lstm": rows_of(lambda n: 3 + n, lambda n: 40 + n)}}))
    before = "A\n\n<!-- batch-lstm -->\n| old |\n<!-- end -->\n\nB\n<!-- summary -->\n<!-- end -->\nC\n"
    page.write_text(before)
    monkeypatch.setattr(sys, "argv", ["growth.py", "--read", str(figures), "--page", str(page)])
    growth.main()
    written = page.read_text(encoding="utf-8")
    growth.main()
    assert page.read_text(encoding="utf-8") == written and "old" not in written
    assert written.startswith("A\n\n<!-- batch-lstm -->\n| batch | time") and "<!-- end -->\n\nB\n<!-- s" in written
    assert "| batch, 64 to 128 | 1.96 | 1.62 |\n<!-- end -->\nC\n" in written
    page.write_text("<!-- batch-lstm -->\n")
    with pytest.raises(ScratchError, match="expected <!-- batch-lstm -->, and <!-- end --> after it"):
        growth.main()


def test_an_unknown_curve_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["growth.py", "nothing"])
    with pytest.raises(ScratchError, match="unknown curve 'nothing'; choose from batch-lstm"):
        growth.main()


def test_the_page_has_a_place_for_every_table():
    page = (ROOT / "docs" / "growth.md").read_text(encoding="utf-8")
    assert all(page.count(f"<!-- {name} -->\n|") == 1 for name in (*growth.CURVES, "summary"))


def test_a_larger_batch_takes_more_memory():
    curve = growth.CURVES["batch-lstm"]._replace(values=(1, 64))
    small, large = growth.measured(curve, Namespace(rounds=1, seconds=0.01, smoke=False))
    assert 0 < small["memory"] + 30 < large["memory"] and small["time"] > 0


@pytest.mark.thorough
@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.needs("mpi4py"), pytest.mark.skipif(MPIEXEC is None, reason="needs mpiexec")]
                 if name == "ranks" else []) for name in growth.CURVES
])
def test_every_curve_is_measured_in_tiny_sizes(name, tmp_path):
    command = [sys.executable, ROOT / "tests" / "benchmarks" / "growth.py", name, "--smoke", "--rounds", "1"]
    command += ["--seconds", "0.01", "--json", "f.json"]
    (tmp_path / "f.json").write_text('{"curves": {"other": []}}')
    env = environment() | {"SCRATCH_DATA": str(tmp_path / "nothing"), "SCRATCH_DEVICE": "cpu"}
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0 and f"\n{name}\n\n| " in run.stdout, run.stderr
    found = json.loads((tmp_path / "f.json").read_text())["curves"]
    assert found.keys() == {"other", name}
    assert len(found[name]) == 3 and all(row["time"] > 0 and row["memory"] > 0 for row in found[name])
