"""The inks and the page of the pictures: each is drawn twice, for a light and for a dark background.

Text stays text in the files ("svg.fonttype" is "none"), set in the reader's own sans serif. So the files are small,
and words in them can be found and read aloud. Sizes are in points; 10 pt are still legible on a phone.
"""

import io
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from scratch.tools.files import replacing

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no warning about fonts that only other systems have

_TAG, _LONG = re.compile("<[^>]+>"), re.compile(r"-?\d+\.\d{3,}")
SANS = ["Helvetica Neue", "Segoe UI", "Roboto", "Arial", "Liberation Sans", "sans-serif"]
SERIF = ["Georgia", "Times New Roman", "Liberation Serif", "serif"]
MONO = ["Menlo", "Consolas", "Liberation Mono", "monospace"]
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
EXACT = "DejaVu Sans Mono"  # for letters in cells: it comes with Matplotlib, and each letter is 0.602 em wide
AS_PATHS = {"gates", "windows"}  # the pictures in which letters must stand exactly where they are drawn
SETTINGS = {
    "font.family": SANS,
    "font.sans-serif": ["DejaVu Sans"],  # what "sans-serif" above stands for
    "font.serif": ["DejaVu Serif"],
    "font.monospace": ["DejaVu Sans Mono"],
    "font.size": 11,
    "svg.hashsalt": "scratch",  # the same ids in every run, so that the same picture has the same bytes
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True)
class Ink:
    """The colours of a picture. `paper` is the background that it is made for; the files themselves have none."""

    paper: str
    text: str  # words and the axes that matter
    pale: str  # secondary words, axes
    faint: str  # thin lines, empty cells
    blue: str  # ours, or the subject of the picture
    orange: str  # what it is compared with
    green: str

    def tint(self, colour: str) -> LinearSegmentedColormap:
        """A colour map from transparent (0) to `colour` (1)."""
        red, green, blue, _ = to_rgba(colour)
        return LinearSegmentedColormap.from_list("tint", [(red, green, blue, 0.04), (red, green, blue, 1)])

    def both(self) -> LinearSegmentedColormap:
        """A colour map from orange (-1) through transparent (0) to blue (1)."""
        low, high = to_rgba(self.orange), to_rgba(self.blue)
        return LinearSegmentedColormap.from_list("both", [low, (*low[:3], 0), (*high[:3], 0), high])


INKS = {
    "light": Ink("#ffffff", "#1c1e21", "#5b6169", "#d4d7db", "#1f63b5", "#c2410c", "#2f7d32"),
    "dark": Ink("#131416", "#e6e7e9", "#a3a9b1", "#3d4147", "#74aefc", "#ff9a5c", "#7cc57f"),
}


def page(
    width: float = 6.4, height: float = 3.2, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """A figure of this size in inches, and its axes (an array of them, unless there is one)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def quiet(axes: Any, ink: Ink, *hidden: str) -> None:
    """Pale axes and ticks, without the spines named in `hidden`."""
    for side, spine in axes.spines.items():
        spine.set_color(ink.pale)
        if side in hidden:
            spine.set_visible(False)
    axes.tick_params(colors=ink.pale, labelcolor=ink.pale, labelsize=10)
    axes.xaxis.label.set_color(ink.pale)
    axes.yaxis.label.set_color(ink.pale)
    axes.title.set_color(ink.text)


def bare(axes: Any) -> None:
    """No ticks, no frame."""
    axes.set(xticks=[], yticks=[])
    axes.set_frame_on(False)


def _shortened(svg: str) -> str:
    """The same picture in half the bytes: numbers of five digits, and the sans serif named once, not in each word."""
    fonts = re.search(r"font-family: ('Helvetica[^;\"]*)", svg)
    if fonts:
        svg = svg.replace(f"font-family: {fonts[1]}", "")
        svg = svg.replace("</style>", f"text {{font-family: {fonts[1]}}}</style>")
    return _TAG.sub(lambda tag: _LONG.sub(lambda number: f"{float(number[0]):.5g}", tag[0]), svg)


def write(draw: Callable[[Ink], Figure], name: str, folder: Path) -> list[Path]:
    """Draw a picture in both inks, to `NAME-light.svg` and `NAME-dark.svg` in `folder`."""
    paths = []
    for suffix, ink in INKS.items():
        settings = SETTINGS | {"text.color": ink.text, "svg.fonttype": "path" if name in AS_PATHS else "none"}
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # it is drawn by the reader's browser, not here
            figure = draw(ink)
            paths.append(folder / f"{name}-{suffix}.svg")
            text = io.StringIO()
            figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            with replacing(paths[-1]) as file:
                file.write(_shortened(text.getvalue()).encode())
    return paths
