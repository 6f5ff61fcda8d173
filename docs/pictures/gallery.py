"""The gallery of the README, one small picture for each model: names and texts."""

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy
from alice.book import tutorials_text
from alice.network import load as load_alice
from char_lm.network import load as load_char_lm
from char_lm.sample import generate
from char_lm.texts import corpus_file, corpus_of, read, split
from gpt.attention import TEXT, attention_of
from gpt.network import load as load_gpt
from name_languages.network import load as load_languages
from name_languages.predict import predict
from project import company_names
from style import MONO, SERIF, Ink, bare, page, quiet

from scratch.text import NgramModel

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


CHARACTER = 0.6 * 9 / 180  # the width of a monospaced character of 9 pt, in widths of a thumbnail


def thumbnail() -> tuple[Any, Any]:
    """An empty picture of 240×150 pixels."""
    figure, axes = page(2.5, 1.5625)
    bare(axes)
    return figure, axes


def bars(axes: Any, ink: Ink, rows: list[tuple[str, float, str]], top: float, width: float = 1.0) -> None:
    """Rows of a word and a bar for a share, from `top` downwards, with the percentage behind it."""
    for k, (word, share, colour) in enumerate(rows):
        y = top - k * 0.155
        axes.text(0.47, y, word, size=9, color=ink.text, ha="right", va="center")
        axes.barh(y, max(share * 0.27 * width, 0.006), height=0.09, left=0.5, color=colour)
        axes.text(0.52 + share * 0.27 * width, y, f"{100 * share:.1f} %", size=9, color=ink.pale, va="center")


def frame(axes: Any) -> None:
    """The limits of the axes: 0 to 1."""
    axes.set(xlim=(0, 1), ylim=(0, 1))


def company(ink: Ink) -> Any:
    """New names among the last twenty that the default run of examples/company_names.py prints, over its loss."""
    losses, _, twenty = company_names()
    figure, axes = thumbnail()
    x = numpy.geomspace(1, len(losses), 60)
    y = numpy.interp(x, range(1, len(losses) + 1), losses)
    axes.plot(numpy.linspace(0.02, 0.98, 60), 0.03 + 0.2 * (y - y.min()), color=ink.faint, linewidth=2.5)
    fresh = [name for kind, name in twenty if kind == "new"][:4]
    for k, name in enumerate(fresh):
        axes.text(0.18 + 0.13 * k, 0.93 - 0.17 * k, name, size=13, color=ink.blue, va="center")
    frame(axes)
    return figure


def languages(ink: Ink) -> Any:
    """weights/name_languages.npz: `python examples/name_languages predict Satoshi Hinton`."""
    figure, axes = thumbnail()
    for name, guesses, top in zip(("Satoshi", "Hinton"), named(), (0.76, 0.21), strict=True):
        axes.text(0.02, top + 0.155, name, size=11, color=ink.text, va="center", weight="bold")
        rows = [(label, numpy.exp(p), ink.blue if not k else ink.pale) for k, (p, label) in enumerate(guesses)]
        bars(axes, ink, rows, top)
    frame(axes)
    return figure


@cache
def named() -> list[list[tuple[float, str]]]:
    """The two likeliest languages of two names, with their log-probabilities."""
    return predict(load_languages(WEIGHTS / "name_languages.npz"), ["Satoshi", "Hinton"], 2)


@cache
def written(program: str, seed: str, count: int, temperature: float) -> str:
    """What the network for Shakespeare or Alice writes after `seed` (random seed 0)."""
    random.seed(0)
    if program == "char_lm":
        model, vocab, _ = load_char_lm(WEIGHTS / "shakespeare_lstm.npz", "char_lm")
    else:
        model, vocab, _ = load_alice(WEIGHTS / "alice_lstm.npz")
    drawn = generate(model, vocab.encode(seed), count, temperature=temperature)
    return seed + "".join(vocab.i2w[step[0]] for step in drawn)


def shakespeare(ink: Ink) -> Any:
    """weights/shakespeare_lstm.npz: what it writes after "KING" at temperature 0.8, random seed 0."""
    figure, axes = thumbnail()
    lines = [line for line in written("char_lm", "KING", 400, 0.8).split("\n") if line][:6]
    for k, line in enumerate(lines):
        speaker = line.endswith(":")
        axes.text(
            0.02, 0.93 - 0.17 * k, line if len(line) < 40 else line[:38] + "…", size=9, va="center", family=SERIF,
            color=ink.blue if speaker else ink.text, weight="bold" if speaker else "normal",
        )
    frame(axes)
    return figure


def gpt(ink: Ink) -> Any:
    """weights/shakespeare_gpt.npz: where each head looks in the last 32 letters of the text of `gpt attention`, as a
    triangle (a row for each layer)."""
    model, tokens, _ = load_gpt(WEIGHTS / "shakespeare_gpt.npz")
    weights = attention_of(model, numpy.array(tokens.encode(TEXT)))[0][:, :, -32:, -32:]
    figure, axes = thumbnail()
    rows, columns = weights.shape[:2]
    for layer, head in numpy.ndindex(rows, columns):
        seen = numpy.ma.masked_where(~numpy.tri(32, dtype=bool), weights[layer, head] ** 0.5)
        left, bottom = head / columns, 1 - (layer + 1) / rows
        axes.imshow(
            seen, cmap=ink.tint(ink.blue), vmin=0, vmax=1, aspect="auto",
            extent=(left + 0.01, left + 0.9 / columns, bottom + 0.01, bottom + 0.9 / rows),
        )
    frame(axes)
    return figure


def alice(ink: Ink) -> Any:
    """weights/alice_lstm.npz: what it writes after "the cat" at temperature 1, random seed 0. Words that do not occur
    in the book are coloured."""
    text = " ".join(written("alice", "the cat", 220, 1.0).split())
    known = set(re.findall("[a-z]+", tutorials_text(corpus_file("alice"))))
    figure, axes = thumbnail()
    lines, x = [[]], 0
    for word in text.split()[:-1]:
        if x + len(word) > 31:
            lines, x = [*lines, []], 0
        lines[-1].append((word, set(re.findall("[a-z]+", word)) <= known))
        x += len(word) + 1
    for k, line in enumerate(lines[:6]):
        x = 0.01
        for word, real in line:
            axes.text(x, 0.88 - 0.165 * k, word, size=9, family=MONO, color=ink.text if real else ink.orange)
            x += CHARACTER * (len(word) + 1)
    frame(axes)
    return figure


@cache
def ngram_losses() -> tuple[list[float], float]:
    """The held-out losses of n-grams of 1 to 10, counted as `char_lm compare` does; and of the LSTM (its metadata)."""
    _, vocab, known = load_char_lm(WEIGHTS / "shakespeare_lstm.npz", "char_lm")
    path, _ = corpus_of(WEIGHTS / "shakespeare_lstm.npz", None, None)
    ids = read(path, 1, vocab).ids
    held_out = split(ids)[2]
    rows = NgramModel(ids[: -len(held_out)], vocab.size, 10).log_probabilities(held_out)
    return [-float(row.mean()) for row in rows], known["nats_per_character"]


def ngrams(ink: Ink) -> Any:
    """Held-out losses on Shakespeare: n-grams, counted here, and the LSTM's 1.452 (weights/README.md)."""
    losses, lstm = ngram_losses()
    figure, axes = page(2.5, 1.5625)
    axes.plot(range(2, 11), losses[1:], "o-", color=ink.orange, markersize=3.5)
    axes.axhline(lstm, color=ink.blue, linewidth=2)
    axes.text(10.2, lstm + 0.04, f"LSTM {lstm:.2f}", size=10, color=ink.blue, ha="right")
    axes.text(5, losses[4] + 0.25, f"5-gram {losses[4]:.2f}", size=10, color=ink.orange, ha="center")
    axes.text(10.2, 2.42, "held-out loss", size=9, color=ink.pale, ha="right")
    axes.set(xlim=(1.6, 10.4), ylim=(1.3, 2.6))
    axes.set_xticks([2, 5, 10], ["n = 2", "5", "10"])
    axes.set_yticks([])
    quiet(axes, ink, "left")
    return figure


ALL = {
    "model-company-names": company,
    "model-name-languages": languages,
    "model-char-lm": shakespeare,
    "model-gpt": gpt,
    "model-ngrams": ngrams,
    "model-alice": alice,
}
ALT = {
    "model-company-names": "Invented company names over a falling loss: Healer, Buildzead, The Musess, Sciencet.",
    "model-name-languages": "Satoshi: Japanese 99.6 %. Hinton: English 89.5 %, Scottish 7.5 %.",
    "model-char-lm": "Lines in Shakespeare's manner, written by the network, with the names of the speakers.",
    "model-gpt": "Triangles of attention, one for each head: some heads look at the letter before, others further.",
    "model-ngrams": "The held-out loss of n-grams is lowest at n = 5, with 1.67; the LSTM's is 1.45.",
    "model-alice": "A passage in the manner of Alice in Wonderland; invented words such as lefdenct are coloured.",
}
