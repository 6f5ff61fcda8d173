"""Pictures of part 2, reading sequences: masks, vanishing gradients, what the cells of an LSTM keep."""

import random
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
from char_lm.network import load
from char_lm.texts import corpus_of, read, split
from company_names import COMPANIES
from matplotlib.figure import Figure
from style import EXACT, MINUS, Ink, bare, page, quiet

import scratch as book
from scratch.batching import padded, streams
from scratch.fast import fast
from scratch.functions import one_hot
from scratch.optimizers import Adam
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


KINDS = {  # the class, the bias of the forget gate where it is not ours, and the line of the picture
    "SimpleRnn": (book.SimpleRnn, None, "-"), "GRU": (book.GRU, None, "-"), "LSTM, bias 0": (book.LSTM, 0, "--"),
    "LSTM, bias 1 (ours)": (book.LSTM, 1, "-"), "LSTM, bias 3": (book.LSTM, 3, ":"),
}


@cache
def gradients(num_updates: int) -> dict[str, numpy.ndarray]:
    """For each of KINDS, the norm of the loss's gradient at the input of each step, relative to that of the last step.

    The loss is the cross-entropy of the letter after the 100th, over 32 pieces of the held-out text of Shakespeare.
    Each network is one layer of 128 and a Linear, after `num_updates` steps of Adam (rate 0.002, clipped at norm 5) on
    50 letters of 32 streams of the same text (seed 0).
    """
    vocab, ids = text_of()
    ids = numpy.asarray(ids).astype("int64")
    pieces, following = next(streams(ids, 32, STEPS_BACK))
    found = {}
    for name, (kind, bias, _) in KINDS.items():
        random.seed(0)
        layer, linear, loss = kind(vocab.size, 128), book.Linear(128, vocab.size), book.SoftmaxCrossEntropy()
        if bias is not None:
            layer.b.data[128:256] = bias  # the gates are in the order i, f, o, g
        model, optimizer = fast(book.Sequential([layer, linear]), threads=1), fast(Adam(0.002, clip_norm=5.0))
        for x, y in islice(streams(ids, 32, 50), num_updates):
            model.backward(loss.gradient(model.forward(x), y))
            optimizer.step(model)
        last = kind(vocab.size, 128, return_sequences=False)
        for new, old in zip(last.parameters(), model.layers[0].parameters(), strict=True):
            new.data[...] = old.data
        scores = linear.forward(last.forward(one_hot(pieces, vocab.size)))
        x_grad = last.backward(linear.backward(loss.gradient(scores, following[:, -1])))
        norms = numpy.sqrt((x_grad.astype("float64") ** 2).sum(axis=(0, 2)))[::-1]
        found[name] = norms / norms[0]
    return found


def forget(ink: Ink) -> Any:
    """`gradients` above: layers of 128 on 32 pieces of 100 letters of Shakespeare's held-out text, before and after
    60 updates."""
    figure, axes = page(6.4, 3.6, 1, 2, sharey=True)
    colours = dict(zip(KINDS, (ink.orange, ink.green, *[ink.blue] * 3), strict=True))
    bias_0, bias_1, bias_3 = list(KINDS)[2:]
    for ax, (num_updates, title, labels) in zip(axes, (
        (0, "untrained", (("SimpleRnn", "SimpleRnn", 50, (6, 5)), (bias_1, bias_1, 30, (-6, -24)),
                          (bias_0, "LSTM, bias 0", 40, (6, 0)), ("GRU", "and GRU", 48, (6, 0)),
                          (bias_3, bias_3, 24, (0, 14)))),
        (60, "after 60 updates", ((bias_3, bias_3, 50, (2, 5)), ("SimpleRnn", "SimpleRnn", 74, (6, 3)),
                                  (bias_1, "ours", 50, (-28, -8)))),
    ), strict=True):
        lines = gradients(num_updates)
        for name, norms in lines.items():
            ax.plot(norms, color=colours[name], linewidth=2.6 if "ours" in name else 1.5, linestyle=KINDS[name][2])
        for name, words, step, shift in labels:
            ax.annotate(words, (step, lines[name][step]), shift, textcoords="offset points", color=colours[name],
                        size=10)
        ax.set(yscale="log", ylim=(1e-10, 1e2), xlim=(0, 99), xlabel="steps back from the loss")
        ax.set_title(title, loc="left", size=11)
        quiet(ax, ink)
    axes[0].set_yticks([1, 1e-3, 1e-6, 1e-9], ["1", "1e-3", "1e-6", "1e-9"])
    axes[0].set_yticks([], minor=True)
    axes[0].set_ylabel("norm of the gradient, relative")
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


ALL = {"masks": masks, "forget": forget, "gates": gates}
ALT = {
    "masks": "Six company names as rows of ids, filled up with -1 to ten columns, and their mask: filled squares where "
    "a letter is real, empty ones where it is padding.",
    "forget": "Norms of the gradient against the steps back from the loss, on a logarithmic axis. Untrained, an LSTM "
    "with forget bias 1 keeps 0.005 over 99 steps, a SimpleRnn 0.06; with bias 0, and in a GRU, less than 1e-10 is "
    "left after 72. After 60 updates it falls in all of them.",
    "gates": "Two speeches of Shakespeare, with the background of each letter coloured by a unit of the trained LSTM. "
    "One cell is blue within the speakers' names and orange elsewhere. Another goes from orange to blue along each "
    "line; its forget gate is open within lines and closes at each line's first letter.",
}
