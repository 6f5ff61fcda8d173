"""Pictures of the project as a whole: names, house, speed, growth, twins."""

import json
import math
import random
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy
from matplotlib.patches import FancyBboxPatch
from style import MONO, Ink, bare, page, quiet

import scratch as book
from scratch.fast import fast

ROOT = Path(__file__).resolve().parents[2]


@cache
def company_names() -> tuple[list[float], list[str], list[tuple[str, str]]]:
    """The losses and the names of the 300 epochs of `python examples/company_names.py`, and its last twenty names,
    each with its kind: new, garbage or verbatim."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(ROOT / "examples/company_names.py"), "--out", out]
        text = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        rows = [json.loads(line) for line in (Path(out) / "history.jsonl").read_text().splitlines()]
    twenty = [line.split(maxsplit=1) for line in text.partition("Twenty names:\n")[2].split("\n\n")[0].splitlines()]
    return [row["loss"] for row in rows], [row["name"] for row in rows], [(kind, name) for kind, name in twenty]


def names(ink: Ink) -> Any:
    """The default run of examples/company_names.py (300 epochs, seed 0): its loss, and what it printed on the way."""
    losses, invented, twenty = company_names()
    figure, axes = page(6.6, 2.95)
    epochs = range(1, len(losses) + 1)
    chance, floor = math.log(52), math.log(100) / 8.87  # the second is from weights/README.md
    for level, start in ((chance, 2.2), (floor, 0.97)):
        axes.plot([start, 330], [level, level], color=ink.faint, linewidth=1.2, zorder=0, solid_capstyle="butt")
    axes.text(330, chance + 0.12, "a guess among 52 characters: 3.95", color=ink.pale, size=10, ha="right")
    axes.text(0.97, floor + 0.1, "the list, memorised: 0.52", color=ink.pale, size=10)
    axes.text(186, 0.8, "learning rate ÷ 10", color=ink.pale, size=10, ha="right")
    axes.plot(epochs, losses, color=ink.blue, linewidth=2.4, solid_joinstyle="round")
    for epoch in (1, 3, 10, 30, 100, 300):
        loss, name = losses[epoch - 1], invented[epoch - 1]
        axes.plot(epoch, loss, "o", color=ink.blue, markersize=5.5)
        axes.annotate(
            name if len(name) <= 16 else name[:15] + "…", (epoch, loss), (7, 10 if epoch == 100 else 5),
            textcoords="offset points", size=14, color=ink.text, weight="bold" if epoch == 300 else "normal",
        )
    fresh = [name for kind, name in twenty if kind == "new"][:4]
    for y, words in zip((3.42, 2.98, 2.55, 2.12, 1.69), ("and then, new:", *fresh), strict=False):
        header = y > 3.2
        axes.text(390, y, words, size=10 if header else 14, color=ink.pale if header else ink.blue)
    axes.set(xscale="log", xlim=(0.93, 1250), ylim=(0, 4.2))
    axes.set_xticks([1, 3, 10, 30, 100, 300], ["epoch 1", "3", "10", "30", "100", "300"])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(5))
    axes.set_title("loss, nats per character", loc="left", size=10, color=ink.pale)
    quiet(axes, ink, "left")
    axes.title.set_color(ink.pale)
    axes.spines["bottom"].set_bounds(0.93, 330)
    axes.tick_params(axis="y", length=0)
    return figure


def house(ink: Ink) -> Any:
    """What may import what: no run, the rules of the README's page on the design (tests/test_house.py checks them)."""
    figure, axes = page(6.4, 2.5)
    bare(axes)
    axes.set(xlim=(-1, 101), ylim=(-2.5, 42.5))

    def box(x: float, y: float, name: str, words: str, colour: str, width: float = 27) -> None:
        axes.add_patch(FancyBboxPatch(
            (x, y), width, 11.5, boxstyle="round,pad=0,rounding_size=1.2", facecolor="none", edgecolor=colour,
            linewidth=1.6, mutation_aspect=0.7,
        ))
        axes.text(x + 1.8, y + 7.6, name, family=MONO, size=11, color=colour, va="center", weight="bold")
        axes.text(x + 1.8, y + 3.4, words, size=10, color=ink.text, va="center")

    def arrow(start: tuple[float, float], end: tuple[float, float], bend: float = 0, dashed: bool = False) -> None:
        axes.annotate("", end, start, arrowprops={
            "arrowstyle": "-|>,head_width=0.25,head_length=0.5", "color": ink.pale, "linewidth": 1.2, "shrinkA": 2,
            "shrinkB": 2, "connectionstyle": f"arc3,rad={bend}", "linestyle": "--" if dashed else "-",
        })

    box(0, 1, "scratch/*.py", "the book: plain NumPy", ink.blue, 32)
    box(0, 27, "scratch/fast/", "the engine: same layers", ink.orange, 32)
    box(68, 14, "examples/", "one folder a program", ink.green, 32)
    box(38, 14, "scratch/tools/", "what runs need", ink.text, 26)
    arrow((16, 27), (16, 12.5))
    axes.text(17.4, 19.8, "a test proves\nthem equal", size=10, color=ink.pale, va="center")
    arrow((51, 14), (32, 7), -0.25)
    arrow((51, 25.5), (32, 33), 0.25, dashed=True)
    axes.text(38, 35.5, "only program.py", size=10, color=ink.pale)
    arrow((68, 19.8), (64, 19.8))
    arrow((84, 14), (32, 4), -0.3)
    arrow((84, 25.5), (32, 36), 0.32)
    return figure


# Short names for the rows of the tables in docs/speed.md: all of the first, then those of a batch of one.
TRAINING = [
    "company names, a letter a step", "company names, a name a step", "names to languages",
    "2 LSTM of 256, sequences of 50", "2 LSTM of 512, sequences of 100", "Alice, 1 LSTM of 256", "Alice, 2 LSTM of 256",
    "char-CNN, texts of 150", "char-CNN, texts of 1014", "CIFAR-10, batch of 128", "CIFAR-10, batch of 512", "BiDAF",
    "transformer of 128, batch of 12", "transformer of 192, batch of 64",
]
PREDICTION = [
    "company names", "names to languages", "2 LSTM of 256", "2 LSTM of 512", "Alice, 1 LSTM of 256",
    "Alice, 2 LSTM of 256", "char-CNN, texts of 150", "char-CNN, texts of 1014", "CIFAR-10's network", "BiDAF",
    "transformer of 128",
]


def ratios() -> tuple[list[float], list[float]]:
    """The better of eager and tuned PyTorch over ours, for the rows above: from the tables in docs/speed.md."""
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8").partition("\n## Generation")[0]
    rows = re.findall(r"^\| (.+?) \|.* \| (\d\.\d+) \([^|]*\| (\d\.\d+) \(", page, flags=re.MULTILINE)
    better = [(name, min(float(eager), float(tuned))) for name, eager, tuned in rows]
    training, prediction = better[: len(TRAINING)], better[len(TRAINING) :]
    return [ratio for _, ratio in training], [ratio for name, ratio in prediction if name.endswith("batch 1")]


def speed(ink: Ink) -> Any:
    """The ratios of the tables in docs/speed.md: no run of its own."""
    figure, axes = page(6.4, 5.9)
    training, prediction = ratios()
    rows = [*zip(TRAINING, training, strict=True), None, None, *zip(PREDICTION, prediction, strict=True)]
    for y, row in enumerate(rows):
        if row is None:
            continue
        ratio = row[1]
        colour = ink.pale if 0.9 < ratio < 1.1 else ink.blue if ratio > 1 else ink.orange  # a tenth is noise
        axes.plot([1, ratio], [y, y], color=colour, linewidth=7, solid_capstyle="butt")
        side = 1 if ratio >= 1 else -1
        axes.annotate(f"{ratio:.2f}", (ratio, y), (5 * side, 0), textcoords="offset points", color=colour, size=10,
                      va="center", ha="left" if ratio >= 1 else "right")
    axes.axvline(1, color=ink.text, linewidth=1)
    axes.set(xscale="log", xlim=(0.25, 8), ylim=(len(rows) - 0.4, -1.6))
    ticks = [y for y, row in enumerate(rows) if row]
    axes.set_yticks(ticks, [row[0] for row in rows if row])
    axes.set_xticks([0.5, 1, 2, 4], ["half as fast", "equal", "twice", "4 times"])
    axes.set_xticks([], minor=True)
    for y, words in ((-1, "training steps"), (len(TRAINING) + 1, "forward passes, batch of one")):
        axes.text(-0.01, y, words, transform=axes.get_yaxis_transform(), ha="right", va="center", size=11,
                  weight="bold", color=ink.text)
    axes.text(1.06, -1.05, "faster than PyTorch", size=10, color=ink.blue, va="center")
    axes.text(0.94, -1.05, "slower", size=10, color=ink.orange, va="center", ha="right")
    quiet(axes, ink, "left")
    axes.tick_params(axis="y", length=0, labelcolor=ink.text)
    return figure


def points(name: str) -> numpy.ndarray:
    """The table of a curve in docs/growth.md: rows of a size, the time and its model, the memory and its model."""
    page = (ROOT / "docs" / "growth.md").read_text(encoding="utf-8")
    table = page.partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| (\d.*) \|$", table, flags=re.MULTILINE)
    return numpy.array([[float(cell) for cell in row.split(" | ")] for row in rows])


def growth(ink: Ink) -> Any:
    """The tables of docs/growth.md, which tests/benchmarks/growth.py writes: no run of its own."""
    figure, grid = page(6.6, 4.9, 2, 3, sharey="row", sharex="col")
    for (times, memories), over, title, ticks in zip(
        grid.T, ("batch", "sequence", "width"), ("batch", "sequence length", "width"),
        ((1, 16, 256), (32, 128, 512), (64, 256, 1024)), strict=True,
    ):
        for model, colour in (("lstm", ink.blue), ("gpt", ink.orange)):
            size, *values = points(f"{over}-{model}").T
            for axes, measured, fitted in ((times, *values[:2]), (memories, *values[2:])):
                axes.plot(size, fitted, color=colour, linewidth=1.4)
                axes.plot(size, measured, "o", color=colour, markersize=4.5)
                axes.set(xscale="log", yscale="log")
                axes.set_xticks(ticks, list(map(str, ticks)))
                axes.set_xticks([], minor=True)
                quiet(axes, ink)
        times.set_title(title, loc="left", size=11)
    for axes, label, ticks in ((grid[0, 0], "ms per training step", (10, 100, 1000)),
                               (grid[1, 0], "peak memory, MB", (50, 200, 800))):
        axes.set_ylabel(label)
        axes.set_yticks(ticks, list(map(str, ticks)))
        axes.set_yticks([], minor=True)
    grid[0, 0].text(0.05, 0.93, "transformer", color=ink.orange, size=11, transform=grid[0, 0].transAxes, va="top")
    grid[0, 0].text(0.05, 0.81, "2 LSTM", color=ink.blue, size=11, transform=grid[0, 0].transAxes, va="top")
    return figure


@cache
def differences() -> dict[str, numpy.ndarray]:
    """For each kind of layer, |fast - plain| of outputs and gradients in float32, over the largest of plain."""
    random.seed(0)
    rng = numpy.random.default_rng(0)
    found = {}
    for name, layer, shape in (
        ("Linear", book.Linear(128, 128), (64, 128)), ("LSTM", book.LSTM(64, 64), (32, 40, 64)),
        ("GRU", book.GRU(64, 64), (32, 40, 64)), ("Conv1d", book.Conv1d(32, 64, 5), (32, 80, 32)),
        ("Conv2d", book.Conv2d(64, 64, 3, "same"), (8, 16, 16, 64)),
        ("BatchNorm", book.BatchNorm(64), (64, 40, 64)), ("Gelu", book.Gelu(), (64, 512)),
    ):
        x = rng.normal(size=shape).astype("float32")
        results = []
        for one in (layer, fast(layer, threads=2)):
            layer.zero_grads()
            output = one.forward(x).copy()
            gradient = numpy.random.default_rng(1).normal(size=output.shape).astype("float32")
            x_grad = one.backward(gradient).copy()
            results.append([output, x_grad, *(p.grad.copy() for p in layer.parameters() if not p.fixed)])
        found[name] = numpy.concatenate([
            (numpy.abs(quick - plain) / numpy.abs(plain).max()).ravel() for plain, quick in zip(*results, strict=True)
        ])
    return found


def twins(ink: Ink) -> Any:
    """Layers of random weights on random inputs, plain and through `fast` with two threads, in float32 (seed 0)."""
    found = differences()
    figure, axes = page(6.4, 3.2)
    for y, values in enumerate(found.values()):
        positive = numpy.log10(values[values > 0])
        heights, edges = numpy.histogram(positive, bins=numpy.arange(-12, -4.7, 0.25))
        curve = 0.85 * heights / max(heights.max(), 1)
        centres = 10 ** ((edges[1:] + edges[:-1]) / 2)
        axes.fill_between(centres, y, y - curve, color=ink.blue, alpha=0.55, linewidth=0)
        axes.plot([values.max()] * 2, [y, y - 0.45], color=ink.blue, linewidth=2)
        same = (values == 0).mean()
        axes.text(1.25e-12, y - 0.2, f"{100 * same:.0f} % equal", size=10, color=ink.pale, va="center")
    axes.axvline(1e-5, color=ink.orange, linewidth=1.4)
    axes.text(8e-6, -0.75, "the test's limit", size=10, color=ink.orange, ha="right", va="bottom")
    axes.set(xscale="log", xlim=(1e-12, 2e-5), ylim=(len(found) - 0.7, -1.1))
    axes.text(max(found["Linear"]) * 1.3, -0.25, "largest", size=10, color=ink.blue, va="center")
    axes.set_yticks([y - 0.2 for y in range(len(found))], list(found))
    axes.set_xticks([1e-12, 1e-10, 1e-8, 1e-6], ["1e-12", "1e-10", "1e-8", "1e-6"])
    axes.set_xlabel("difference between plain and fast, relative to the largest value")
    quiet(axes, ink, "left")
    axes.tick_params(axis="y", length=0, labelcolor=ink.text)
    return figure


ALL = {"names": names, "house": house, "speed": speed, "growth": growth, "twins": twins}
ALT = {
    "names": "The loss of the network for company names falls from 3.65 to 0.61 nats per character over 300 epochs. "
    "Names that it invents stand along the curve: from vh and Fmaestdine to Thitudy and Buildzead.",
    "house": "Four boxes: examples import tools, the engine and the book; tools import the book; the engine imports "
    "the book. A test proves that engine and book are equal.",
    "speed": "Bars of the speed relative to PyTorch, the better of eager and tuned. Training steps lie between 0.74 "
    "and 4.8; of eleven forward passes with a batch of one, five lie below 1.",
    "growth": "Six small plots of the time and the peak memory of a training step against batch, length and width, for "
    "two LSTMs and a transformer. Measured points lie close to the lines of the models, which bend upwards.",
    "twins": "Histograms of the differences between plain and fast layers in float32. All lie below the test's limit "
    "of 1e-5 of the largest value.",
}
