"""Pictures of part 2, reading sequences: masks, vanishing gradients, what the cells of an LSTM keep."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy
from char_lm.network import load
from char_lm.texts import corpus_of, read, split
from company_names import COMPANIES
from matplotlib.figure import Figure
from style import EXACT, Ink, bare, page, quiet

import scratch as book
from scratch.batching import padded, streams
from scratch.functions import one_hot
from scratch.text import Vocabulary

SHAKESPEARE = Path(__file__).resolve().parents[2] / "weights" / "shakespeare_lstm.npz"
STEPS_BACK = 100


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
                word = vocab.i2w[ids[row, step]] if real else "−1"
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
def gradients() -> dict[str, numpy.ndarray]:
    """For each network, the norm of the loss's gradient at the input of each step, relative to that of the last step.

    The loss is the cross-entropy of the letter after the 100th, over 32 pieces of the held-out text of Shakespeare.
    Each network is one untrained layer of 128 (seed 0) and a Linear.
    """
    vocab, ids = text_of()
    pieces, following = next(streams(numpy.asarray(ids).astype("int64"), 32, STEPS_BACK))
    x, y = one_hot(pieces, vocab.size), following[:, -1]
    found = {}
    for name, kind, bias in (
        ("SimpleRnn", book.SimpleRnn, None), ("LSTM, forget bias 0", book.LSTM, 0), ("LSTM, forget bias 1", book.LSTM, 1),
        ("LSTM, forget bias 3", book.LSTM, 3), ("GRU", book.GRU, None),
    ):
        random.seed(0)
        layer = kind(vocab.size, 128, return_sequences=False)
        if bias is not None:
            layer.b.data[128:256] = bias  # the gates are in the order i, f, o, g
        linear, loss = book.Linear(128, vocab.size), book.SoftmaxCrossEntropy()
        scores = linear.forward(layer.forward(x))
        x_grad = layer.backward(linear.backward(loss.gradient(scores, y)))
        norms = numpy.sqrt((x_grad.astype("float64") ** 2).sum(axis=(0, 2)))[::-1]
        found[name] = norms / norms[0]
    return found


def forget(ink: Ink) -> Any:
    """`gradients` above: untrained layers on 32 pieces of 100 letters of Shakespeare's held-out text (seed 0)."""
    figure, axes = page(6.4, 3.4)
    for name, norms in gradients().items():
        ours = name == "LSTM, forget bias 1"
        colour = ink.blue if ours else ink.orange if name == "SimpleRnn" else ink.pale
        shown = norms[norms > 1e-12]
        axes.plot(range(len(shown)), shown, color=colour, linewidth=2.4 if ours else 1.5)
        axes.annotate(f"{name}{' (ours)' if ours else ''}", (len(shown) - 1, shown[-1]), (5, 0),
                      textcoords="offset points", color=colour, size=10, va="center")
    axes.set(yscale="log", ylim=(1e-12, 3), xlim=(0, 99), xlabel="steps back from the loss")
    axes.set_yticks([1, 1e-3, 1e-6, 1e-9, 1e-12], ["1", "1e-3", "1e-6", "1e-9", "1e-12"])
    axes.set_yticks([], minor=True)
    axes.set_title("norm of the gradient, relative to that of the last step", loc="left", size=10)
    quiet(axes, ink)
    axes.title.set_color(ink.pale)
    return figure


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
        ("cell 506 knows whether a speaker's name is being written", -kept[:, 506], ink.both(), -1),
        ("cell 2 counts the letters of a line", -kept[:, 2], ink.both(), -1),
        ("and its forget gate resets it at the end of the line", forgets[:, 2], ink.tint(ink.blue), 0),
    )):
        grid, place = numpy.full((len(lines), 51), numpy.nan), 0
        for row, line in enumerate(lines):
            grid[row, : len(line) + 1] = values[place : place + len(line) + 1]
            place += len(line) + 1
        bottom = size[1] - panel * (k + 1) + 6
        axes = figure.add_axes((left / size[0], bottom / size[1], width * 51 / size[0], height * len(lines) / size[1]))
        axes.imshow(numpy.ma.masked_invalid(grid), cmap=colours, vmin=low, vmax=1, aspect="auto", interpolation="none",
                    alpha=0.75, extent=(0, 51, len(lines), 0))
        bare(axes)
        for row, line in enumerate(lines):
            axes.text(0, row + 0.52, line + "↵", family=EXACT, size=11.5, va="center_baseline", color=ink.text)
        axes.set_title(title, loc="left", size=12, pad=5)
    return figure


ALL = {"masks": masks, "forget": forget, "gates": gates}
ALT = {name: "" for name in ALL}
