"""The report of `first_run.py` as Markdown: what docs/gpu.md has from it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

Report = dict[str, Any]
# What each kind of workload is to reach on a GPU: PyTorch's time, as a user would write it, divided by ours.
REACH = {"lstm": 0.5, "bidaf": 0.5, "images": 0.7, "charcnn": 0.7, "gpt": 0.7}
# Above these, gradients are not the same: in float64; and in float32, in which the CPU's engine shows how much is
# rounding, in multiples of its error, or absolutely.
LARGEST_64, MULTIPLE_32, LARGEST_32 = 1e-9, 10, 1e-4
MOST_FUNCTIONS = 8  # in a table


def reach_of(name: str) -> float | None:
    """The ratio that this workload is to reach, if there is one."""
    return REACH.get(name.partition("-")[0])


def ratio_of(row: Any) -> list[float | None]:
    """A row's ratio to eager PyTorch, and the ends of its confidence interval; None for what was not measured."""
    ratio = row.get("ratio_eager", row.get("ratio")) if isinstance(row, dict) else None
    return list(ratio) if isinstance(ratio, (list, tuple)) else [ratio, None, None]


def are_equal(row: Report) -> bool:
    """Whether a workload's gradients on the GPU are those of the CPU."""
    limit = max(LARGEST_32, MULTIPLE_32 * float(row["cpu_float32"]))  # a NaN comes as a word
    return float(row["cuda_float64"]) <= LARGEST_64 and float(row["cuda_float32"]) <= limit


def as_markdown(report: Report) -> str:
    """The tables of all steps that the report has."""
    parts = [of_machine(report)]
    for name, write in {
        "suite": of_suite, "gradients": of_gradients, "benchmark": of_benchmark, "profiles": of_profiles,
    }.items():
        step = report["steps"].get(name, {"result": {}, "error": "not run"})
        failed = [f"Failed: {one_line(step['error'])}."] if "error" in step else []
        lines = "\n".join([*write(step["result"]), *([""] if step["result"] else []), *failed]).strip()
        parts.append(f"### {name.capitalize()}\n\n{lines or 'Nothing to report.'}")
    return "\n\n".join(parts)


def of_machine(report: Report) -> str:
    """What the figures were measured on, in a paragraph."""
    machine = report["machine"]
    what = ["the stand-in for CuPy, so no time means anything"] if machine["stand_in"] else [
        f"{machine.get('gpu', 'a GPU')}, driver {machine.get('driver', 'unknown')}",
        f"CuPy {machine.get('cupy', 'unknown')} for CUDA {machine.get('cuda', 'unknown')}",
    ]
    what += [f"NumPy {machine['packages'].get('numpy')}", f"PyTorch {machine.get('torch') or 'not installed'}"]
    text = f"Measured on {', '.join(what)}; Python {machine['python']}; {report['begun'][:10]}"
    if commit := report.get("commit"):
        text += f", commit {commit[:10]}{' with changes' if commit.endswith('-dirty') else ''}"
    if "peak_gflops" in machine:
        text += f". A float32 product: {machine['peak_gflops'] / 1000:.1f} trillion operations a second; a copy: "
        text += f"{machine['copied_gb_a_second']:.0f} GB a second; a launch: {machine['launch_us']:.1f} µs"
    return text + (". A smoke run: a little of each step." if report["smoke"] else ".")


def of_suite(result: Report) -> Iterator[str]:
    if not result:
        return
    yield from table(["passed", "failed", "skipped"], [[result[key] for key in ("passed", "failed", "skipped")]])
    if result["unfinished"]:
        yield "\nBegun and not ended, so that other tests of the same process did not run either:\n"
        yield from (f"- `{test}`" for test in result["unfinished"])
    if result["not_run"]:
        yield f"\nNo time was left for {len(result['not_run'])} files: {', '.join(result['not_run'])}."
    if result["failures"]:
        yield "\nFailed:\n"
        yield from (f"- `{name}`" for name in result["failures"])


def of_gradients(result: Report) -> Iterator[str]:
    rows = []
    for name, row in result.items():
        if "error" in row:
            rows.append([name, *3 * ["-"], failure(row)])
        else:
            errors = [number(row[key], 1) for key in ("cuda_float64", "cuda_float32", "cpu_float32")]
            rows.append([name, *errors, "yes" if are_equal(row) else f"no: `{row['worst_parameter']}`"])
    headings = ["workload", "GPU, float64", "GPU, float32", "CPU, float32", "equal"]
    yield from table(headings, rows) if rows else ()


def of_benchmark(result: Report) -> Iterator[str]:
    rows, sides = [], ("ours_ms", "plain_ms", "eager_ms", "tuned_ms")
    for name, row in result.get("rows", {}).items():
        reach, (ratio, low, high) = reach_of(name), ratio_of(row)
        said = failure(row) if "error" in row else number(ratio, 3)
        if low is not None:
            said += f" ({number(low, 3)} to {number(high, 3)})"
        rows.append([name, *(number(row.get(side), 4) for side in sides), said, "-" if reach is None else reach])
    headings = ["workload", "ours, ms", "plain book, ms", "eager, ms", "tuned, ms", "ratio to eager", "to reach"]
    yield from table(headings, rows) if rows else ()
    if rows and "cpu" in result["options"]:
        yield "\nPyTorch has no GPU here: both sides ran on the CPU."


def of_profiles(result: Report) -> Iterator[str]:
    for name, row in result.items():
        if "error" in row:
            yield f"`{name}`: {failure(row)}\n"
            continue
        yield f"`{name}`: {number(row['ms'], 4)} ms a step" + (
            f"; {number(row['host_ms'], 4)} ms on the host, {number(row['device_ms'], 4)} ms by the GPU's clock"
            if "host_ms" in row else ""
        )
        if "error" in row["profile"]:
            yield f"\nNo profile: {failure(row['profile'])}\n"
            continue
        functions = row["profile"]["functions"][:MOST_FUNCTIONS]
        lines = [[f"`{line['function']}`", number(line["calls"], 3), number(line["ms"], 3)] for line in functions]
        yield ""
        yield from table(["function", "calls a step", "ms a step"], lines)
        yield ""


def table(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    headings = list(headings)
    yield f"| {' | '.join(headings)} |"
    yield "|---" * len(headings) + "|"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


def number(value: Any, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, (int, float)) else "-" if value is None else str(value)


def failure(row: Report) -> str:
    """The last line of an error."""
    return one_line(row["error"].strip().splitlines()[-1])


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:300]
