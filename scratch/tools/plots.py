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

import numpy

from scratch.tools.files import replacing
from scratch.tools.program import one_line

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no warning about its cache if HOME is not writable


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
    axes.set(xlabel=xlabel, ylabel=ylabel, title=_cut(title, 60))
    axes.margins(y=0.08)
    if min(min(values) for values in lines.values()) >= 0:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    _write(path, figure)


def confusion_matrix(path: str | Path, shares: Any, labels: Sequence[str], title: str = "") -> None:
    """Plot how often each label (row) was classified as each label (column): `shares` (K, K) on the host, 0 to 1.

    Each cell shows its percentage of the row, unless there are too many cells.
    """
    cell = min(0.45, 11 / len(labels))  # inches; shrinks so that many labels still fit on a screen
    side, size = max(cell * len(labels), 1.5), min(10.0, 55 * cell)  # of the matrix; of the letters, in points
    figure, axes = _figure(side + 4, side + 2.2)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    if cell < 0.3:
        _per_cent(figure.colorbar(image, ax=axes, shrink=0.8), "of the row")
    else:
        for (row, column), share in numpy.ndenumerate(shares):
            if share >= 0.005:
                color = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=color, fontsize=0.9 * size)
    names = [_cut(label, 24) for label in labels]
    slanted = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if cell > 0.2 else {"rotation": 90}
    axes.set_xticks(range(len(labels)), names, fontsize=size, **slanted)
    axes.set_yticks(range(len(labels)), names, fontsize=size)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="predicted class", ylabel="true class")
    figure.suptitle(_cut(title, int(9 * side + 10)) + (", per cent of each row" if cell >= 0.3 else ""))
    _write(path, figure)


def attention_map(
    path: str | Path, weights: Any, rows: Sequence[str], columns: Sequence[str], marked: range, title: str = ""
) -> None:
    """Plot the attention of each word (row) to each word (column): `weights` (rows, columns) on the host, 0 to 1.

    The `marked` rows have red labels. For a long text, only as many rows around them are drawn as fit on a screen.
    """
    columns, weights = columns[:40], weights[:, :40]
    width = 1.4 + 0.26 * len(columns)  # of a panel, in inches
    num_panels = max(min(int(15 / width), -(-len(rows) // 26)), 1)
    num_rows = min(len(rows), 26 * num_panels)
    first = max(min((marked.start + marked.stop - num_rows) // 2, len(rows) - num_rows), 0)
    each = -(-num_rows // num_panels)
    figure, axes = _figure(width * num_panels + 1.2, 1.6 + max(0.22 * each, 2.4), (1, num_panels))
    for k, ax in enumerate(axes.flat):
        start = first + k * each
        stop = min(start + each, first + num_rows)
        image = ax.imshow(weights[start:stop], vmin=0, vmax=1, cmap="Blues", aspect="auto")
        ax.set_xticks(range(len(columns)), [_cut(word, 16) for word in columns], rotation=90)
        ax.set_yticks(range(stop - start), [_cut(word, 16) for word in rows[start:stop]])
        ax.set_ylim(each - 0.5, -0.5)
        for row, label in enumerate(ax.get_yticklabels(), start):
            if row in marked:
                label.set(color="red", weight="bold")
    _per_cent(figure.colorbar(image, ax=axes, pad=0.01), "of a word's attention")
    part = "" if num_rows == len(rows) else f" (words {first + 1} to {first + num_rows} of {len(rows)})"
    figure.suptitle(_cut(title, int(8 * (width * num_panels + 1.2)) - len(part)) + part)
    _write(path, figure)


def image_grid(
    path: str | Path, images: Sequence[Any], captions: Sequence[str], columns: int = 5, right: Sequence[bool] = ()
) -> None:
    """Draw images, each (H, W, 3) on the host, in bytes or in floats from 0 to 1, with a caption below each.

    If `right` is given, a frame shows which images were classified correctly (green) and which were not (red).
    """
    columns = max(min(columns, len(images)), 1)
    rows = max(-(-len(images) // columns), 1)  # without images, one empty row
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    figure, axes = _figure(2 * columns, (1.85 + 0.2 * lines) * rows, (rows, columns))
    for place, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[], frame_on=bool(place < len(right)))
        if place < len(images):
            ax.imshow(images[place], interpolation="nearest")
            caption = "\n".join(_cut(line, 26) for line in captions[place].split("\n"))
            ax.text(0.5, -0.05, caption, transform=ax.transAxes, ha="center", va="top", fontsize=9)
        elif place == 0:
            ax.text(0.5, 0.5, "(none)", transform=ax.transAxes, ha="center", va="center")
        if place < len(right):
            for spine in ax.spines.values():
                spine.set(color="green" if right[place] else "red", linewidth=2 if right[place] else 4)
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
    figure.suptitle(_cut(title, 60))
    _write(path, figure)


def labelled_points(path: str | Path, points: Any, labels: Sequence[str], title: str = "") -> None:
    """Draw each label at its point: `points` (K, 2) on the host."""
    figure, axes = _figure(7, 7)
    axes.scatter(points[:, 0], points[:, 1], s=0)  # invisible, but sets the limits of the axes
    for (x, y), label in zip(points, labels, strict=True):
        axes.text(x, y, _cut(label, 24), ha="center", va="center")
    axes.set(title=_cut(title, 60), xticks=[], yticks=[])
    _write(path, figure)


def heads(path: str | Path, weights: Any, tokens: Sequence[str], title: str = "") -> None:
    """Draw the attention of each head of a transformer: `weights` (layers, heads, T, T) on the host, row t for token t.

    Left, a triangle for each head: row t is where token t looks. Right, a line for each head: where the last token
    looks, and the distance at which the head looks most on average. Only the last 48 tokens and 60 heads are drawn.
    """
    from matplotlib.colors import PowerNorm

    (num_layers, num_heads, T, _), shown = weights.shape, [_visible(token) for token in tokens[-48:]]
    num = len(shown)
    names = [f"{layer}.{head}" for layer in range(1, num_layers + 1) for head in range(1, num_heads + 1)][-60:]
    height, side = max(0.21 * len(names), 3.0), max(1.2 * num_heads, 3.0)  # inches
    side, width = min(side, height * num_heads / num_layers, 5.0), max(0.17 * num, 3.0)
    figure, ((left, right),) = _figure(side + width + 3.2, height + 1.0, (1, 2), [side, width + 2.2])
    norm = PowerNorm(0.5, 0, 1)  # a scale of square roots, on which a tenth of the attention is visible too
    for (layer, head), place in numpy.ndenumerate(numpy.arange(num_layers * num_heads).reshape(num_layers, num_heads)):
        part = weights.reshape(-1, T, T)[place][-num:, -num:]
        part = numpy.where(numpy.tri(num, dtype=bool), part, numpy.nan)  # nothing is drawn where nothing can be seen
        left.imshow(part, norm=norm, cmap="Blues", extent=(head + 0.04, head + 0.96, layer + 0.96, layer + 0.04))
    every = -(-max(num_layers, num_heads) // 24)
    left.set_xticks(numpy.arange(0, num_heads, every) + 0.5, range(1, num_heads + 1, every))
    left.set_yticks(numpy.arange(0, num_layers, every) + 0.5, range(1, num_layers + 1, every))
    left.set(
        xlabel="head", ylabel="layer", title="where each token looks", xlim=(0, num_heads), ylim=(num_layers, 0),
        aspect="auto",
    )
    left.tick_params(length=0)
    left.spines[:].set_visible(False)

    lines = weights[:, :, -1, -num:].reshape(-1, num)[-len(names) :]
    image = right.imshow(lines, norm=norm, cmap="Blues", aspect="auto")
    for (row, column), share in numpy.ndenumerate(lines):
        color = "white" if share > 0.4 else "black" if share > 0.04 else "silver"
        right.text(column, row, shown[column], ha="center", va="center_baseline", color=color, fontsize=8)
    for row, name in enumerate(names):
        if name.endswith(".1"):
            right.axhline(row - 0.5, color="black", linewidth=0.8)
    right.set_yticks(range(len(names)), names, fontsize=8)
    right.set(xticks=[], ylabel="layer.head", title="where the last token looks")
    distances = right.secondary_yaxis("right")
    distances.set_yticks(
        range(len(names)), [_distance(a) for a in weights.reshape(-1, T, T)[-len(names) :]], fontsize=8
    )
    distances.tick_params(length=0)
    _per_cent(figure.colorbar(image, ax=right, pad=0.01), "of a token's attention")
    figure.suptitle(_cut(title, int(8 * (side + width))))
    _write(path, figure)


def _distance(attention: Any) -> str:
    """How far back a head looks most, and how much of its attention is there: means over the later half of (T, T)."""
    later = range(len(attention) // 2, len(attention))
    shares = [sum(float(attention[t, t - back]) for t in later) / len(later) for back in range(later[0] + 1)]
    back = int(numpy.argmax(shares))
    return f"{f'{back} back' if back else 'itself'}, {100 * shares[back]:.0f} %"


def _visible(token: str) -> str:
    return token.translate({ord(" "): "\u2423", ord("\n"): "\u21b5"})  # signs for a space and the end of a line


def _figure(
    width: float, height: float, grid: tuple[int, int] | None = None, ratios: Sequence[float] | None = None
) -> tuple[Any, Any]:
    # pyplot is avoided, because it would select a window system for the whole program.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    return figure, figure.subplots() if grid is None else figure.subplots(*grid, squeeze=False, width_ratios=ratios)


def _cut(text: str, most: int) -> str:
    """`text` on one line, without its middle where it is longer than `most` characters."""
    text, end = one_line(text) if text else "", most // 3
    return text if len(text) <= most else f"{text[: most - end - 1]}…{text[-end:]}"


def _per_cent(bar: Any, what: str) -> None:
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25", "50", "75", "100"])
    bar.set_label(f"per cent {what}")


def _write(path: str | Path, figure: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar sign is text, not the start of a formula
        text.set_text(text.get_text().encode("utf-8", "backslashreplace").decode())  # a file name need not be UTF-8
    with replacing(path) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a character missing from the font becomes a box
        FigureCanvasAgg(figure).print_png(file)
