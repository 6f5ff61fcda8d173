"""Pictures of part 2, reading sequences: masks, what the cells of an LSTM keep."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy
from char_lm.network import load
from char_lm.texts import corpus_of, read, split
from company_names import COMPANIES
from matplotlib.figure import Figure
from style import EXACT, MINUS, Ink, bare, page

from scratch.batching import padded
from scratch.functions import one_hot
from scratch.text import Vocabulary

SHAKESPEARE = Path(__file__).resolve().parents[2] / "weights" / "shakespeare_lstm.npz"


def masks(ink: Ink) -> Any:
    """`padded` and its mask, of six names from the list of examples/company_names.py."""
    names = [name.strip() for name in COMPANIES.split(",")][18:24]
    vocab = Vocabulary(list("".join(names)))
    ids, mask = padded([vocab.encode(name) for name in names])
    figure, axes = page(6.4, 2.3, 1, 2)
    for ax, title in zip(axes, (f"ids, {ids.shape}", f"mask, {mask.shape}"), strict=True):
        ax.set_title(title, loc="left", size=11, color=ink.text)
        bare(ax)
        ax.set(xlim=(-0.6, ids.shape[1] - 0.4), ylim=(len(ids) - 0.4, -0.6))
        for (row, step), real in numpy.ndenumerate(mask):
            if ax is axes[0]:
                word = vocab.i2w[ids[row, step]] if real else MINUS + "1"
                ax.text(step, row, word, ha="center", va="center", size=11 if real else 9,
                        color=ink.text if real else ink.pale)
            else:
                ax.plot(step, row, "s", markersize=11, color=ink.blue if real else "none",
                        markeredgecolor=ink.blue if real else ink.pale)
    return figure


@cache
def text_of() -> tuple[Vocabulary, numpy.ndarray]:
    """The vocabulary of weights/shakespeare_lstm.npz, and the held-out tenth of its text as ids."""
    _, vocab, _ = load(SHAKESPEARE, "char_lm")
    path, _ = corpus_of(SHAKESPEARE, None, None)
    return vocab, split(read(path, 1, vocab).ids)[2]


@cache
def cells() -> tuple[str, numpy.ndarray, numpy.ndarray]:
    """A held-out passage of Shakespeare, and in the second LSTM of weights/shakespeare_lstm.npz, which has read the
    text from the start of the held-out part: tanh(cell) and forget gate of each unit at each letter, (T, 512)."""
    model, vocab, _ = load(SHAKESPEARE, "char_lm")
    _, ids = text_of()
    ids = numpy.asarray(ids[:1300]).astype("int64")
    x: Any = one_hot(ids[None], vocab.size)
    for layer in (model.layers[0], model.layers[2]):
        zero = numpy.zeros((1, layer.hidden_dim), dtype="float32")
        x, _, (*_, steps) = layer.read(x, numpy.ones((1, len(ids)), dtype=bool), zero, zero)
    text = "".join(vocab.i2w[k] for k in ids)
    start = text.index("\nBAPTISTA:\nYou're") + 1
    stop = text.index("\n", text.index("Or else you like")) + 1
    forgets, kept = (numpy.concatenate([step[k] for step in steps]) for k in (1, 5))
    return text[start:stop], kept[start:stop], forgets[start:stop]


def gates(ink: Ink) -> Any:
    """`cells` above: two units of the trained LSTM, chosen among its 512 by the correlation of their cells, over 5,500
    letters, with being inside a speaker's name (506: -0.98) and with the place in the line (2: -0.76)."""
    text, kept, forgets = cells()
    lines = text.split("\n")[:-1]
    width, height, left = 0.602 * 11.5, 15.0, 4.0  # of a letter; in points
    panel = height * len(lines) + 30
    size = (left * 2 + width * 51, panel * 3)
    figure = Figure(figsize=(size[0] / 72, size[1] / 72))
    for k, (title, values, colours, low) in enumerate((
        ("cell 506: is this a speaker's name?", -kept[:, 506], ink.both(), -1),
        ("cell 2: how far into the line?", -kept[:, 2], ink.both(), -1),
        ("the forget gate of cell 2: keep (blue) or forget (blank)", forgets[:, 2], ink.tint(ink.blue), 0),
    )):
        grid, place = numpy.full((len(lines), 51), numpy.nan), 0
        for row, line in enumerate(lines):
            grid[row, : len(line) + 1] = values[place : place + len(line) + 1]
            place += len(line) + 1
        bottom = size[1] - panel * (k + 1) + 6
        axes = figure.add_axes((left / size[0], bottom / size[1], width * 51 / size[0], height * len(lines) / size[1]))
        axes.imshow(numpy.ma.masked_invalid(grid), cmap=colours, vmin=low, vmax=1, aspect="auto", interpolation="none",
                    alpha=0.5, extent=(0, 51, len(lines), 0))
        bare(axes)
        for row, line in enumerate(lines):
            axes.text(0, row + 0.52, line + "↵", family=EXACT, size=11.5, va="center_baseline", color=ink.text)
        axes.set_title(title, loc="left", size=12, pad=5)
    return figure


ALL = {"masks": masks, "gates": gates}
ALT = {
    "masks": "Six company names as rows of ids, padded with -1 to ten columns, and their mask: filled squares where "
    "a letter is real, empty ones where it is padding.",
    "gates": "Two speeches of Shakespeare, with the background of each letter coloured by a unit of the trained LSTM. "
    "One cell is blue within the speakers' names and orange elsewhere. Another goes from orange to blue along each "
    "line; its forget gate is open within lines and closes at each line's first letter.",
}
