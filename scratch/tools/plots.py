"""Plots of a run, written to PNG files. They open no window, so they work on any machine.

    curve("loss.png", {"training": losses}, "epoch", "loss (nats per character)")
    confusion_matrix("confusion.png", shares, ["Czech", "Dutch"])
    image_grid("mistakes.png", pictures, ["cat, mistaken for a dog"])

Read next: `program.py`.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratch.tools.files import replacing

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns that it keeps no cache, where HOME is not writable
_LONGEST = 40  # characters of a label


def curve(
    path: str | Path,
    lines: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    levels: Mapping[str, float] | None = None,
    every: int = 1,
) -> None:
    """Plot each list as a line over 1, 2, 3, ... (times `every`), and each level (such as chance) as a dashed line."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(7, 4.2)
    for label, values in lines.items():
        places = range(every, every * len(values) + 1, every)
        axes.plot(places, values, label=label, marker="." if len(values) < 20 else "")
    for label, level in (levels or {}).items():
        axes.axhline(level, linestyle="--", linewidth=1, color="gray", label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.margins(y=0.08)
    if min(min(values) for values in lines.values()) >= 0:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    _write(path, figure)


def confusion_matrix(path: str | Path, shares: Any, labels: Sequence[str], title: str = "") -> None:
    """Plot how often each label (row) was classified as each label (column): `shares` (K, K) on the host, 0 to 1."""
    labels = _short(labels)
    size = 2.5 + _room(labels) + 0.3 * len(labels)
    figure, axes = _figure(size + 0.7, size)
    image = axes.matshow(shares, vmin=0, vmax=1, cmap="viridis")
    figure.colorbar(image, ax=axes, label="fraction of the row")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="guess", ylabel="truth", title=title)
    _write(path, figure)


def attention_map(path: str | Path, weights: Any, rows: Sequence[str], columns: Sequence[str], title: str = "") -> None:
    """Plot the attention of each word (row) to each word (column): `weights` (rows, columns) on the host, 0 to 1."""
    rows, columns = _short(rows), _short(columns)
    figure, axes = _figure(2.5 + _room(rows) + 0.3 * len(columns), 1.5 + _room(columns) + 0.2 * len(rows))
    image = axes.imshow(weights, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    figure.colorbar(image, ax=axes)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(title=title)
    _write(path, figure)


def image_grid(path: str | Path, images: Sequence[Any], captions: Sequence[str], columns: int = 5) -> None:
    """Draw images, each (H, W, 3) on the host, in bytes or in floats from 0 to 1, with a caption below each."""
    rows = max(-(-len(images) // columns), 1)  # without images, one empty row
    captions = ["\n".join(_short(caption.split("\n"))) for caption in captions]
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    figure, axes = _figure(2 * columns, (1.75 + 0.18 * lines) * rows, (rows, columns))
    for place, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if place < len(images):
            ax.imshow(images[place], interpolation="nearest")
            ax.text(0.5, -0.03, captions[place], transform=ax.transAxes, ha="center", va="top", fontsize=9)
    _write(path, figure)


def histograms(
    path: str | Path, values: Mapping[str, tuple[Sequence[int], int]], xlabel: str, title: str = "", columns: int = 2
) -> None:
    """Plot a histogram of integers for each name in `values`: a pair of the integers and a limit, drawn dashed."""
    rows = -(-len(values) // columns)
    figure, axes = _figure(4 * columns, 2.6 * rows, (rows, columns))
    for ax, (name, (numbers, limit)) in zip(axes.flat, values.items(), strict=False):
        lowest, highest = min(numbers, default=0), max(numbers, default=0)
        width = -(-(highest - lowest + 1) // 60)  # an integer, so that every bar covers equally many values
        ax.hist(numbers, bins=range(lowest, highest + width + 1, width))
        ax.axvline(limit, linestyle="--", linewidth=1, color="gray")
        ax.set(title=name, xlabel=xlabel, ylabel="count")
    figure.suptitle(title)
    _write(path, figure)


def labelled_points(path: str | Path, points: Any, labels: Sequence[str], title: str = "") -> None:
    """Draw each label at its point: `points` (K, 2) on the host."""
    figure, axes = _figure(7, 7)
    axes.scatter(points[:, 0], points[:, 1], s=0)  # invisible, but sets the limits of the axes
    for (x, y), label in zip(points, _short(labels), strict=True):
        axes.text(x, y, label, ha="center", va="center")
    axes.set(title=title, xticks=[], yticks=[])
    _write(path, figure)


def _short(texts: Sequence[str]) -> list[str]:
    """The texts, cut to a length that a plot has room for: a file may hold a label or a word of a million letters."""
    return [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..." for text in texts]


def _room(labels: Sequence[str]) -> float:
    """What the longest label needs beside a plot, in inches, beyond the room for eight letters."""
    return 0.14 * max(max(map(len, labels), default=0) - 8, 0)


def _figure(width: float, height: float, grid: tuple[int, int] | None = None) -> tuple[Any, Any]:
    # pyplot is avoided, because it would select a window system for the whole program.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    return figure, figure.subplots() if grid is None else figure.subplots(*grid, squeeze=False)


def _write(path: str | Path, figure: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar sign is text, not the start of a formula
        text.set_text(text.get_text().encode("utf-8", "backslashreplace").decode())  # a file name may not be UTF-8
    with replacing(path) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a character missing from the font becomes a box
        FigureCanvasAgg(figure).print_png(file)
