"""The gallery of the README: one small picture for each model, all of the same size."""

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy
from alice.book import tutorials_text
from alice.network import load as load_alice
from bidaf.ask import PARAGRAPH, QUESTION
from bidaf.squad import words_with_places
from bidaf.trained import load as load_bidaf
from char_cnn.network import load as load_char_cnn
from char_cnn.network import log_probabilities as of_characters
from char_cnn.texts import Quantiser, cleaned
from char_lm.network import load as load_char_lm
from char_lm.sample import generate
from char_lm.texts import corpus_file, corpus_of, read, split
from cifar10.batches import LABELS, load_cifar
from cifar10.network import load as load_cifar10
from cifar10.network import scores
from movie_reviews.reading import committed, log_probabilities
from movie_reviews.reading import load as load_reviews
from name_languages.network import load as load_languages
from name_languages.predict import predict
from project import company_names
from style import MONO, Ink, bare, page, quiet

from scratch.backend import to_device, to_host
from scratch.layer import evaluating
from scratch.text import NgramModel

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


CHARACTER = 0.6 * 9 / 180  # the width of a monospaced character of 9 pt, in widths of a thumbnail


def thumbnail() -> tuple[Any, Any]:
    figure, axes = page(2.5, 1.5625)  # 240×150 pixels
    bare(axes)
    return figure, axes


def bars(axes: Any, ink: Ink, rows: list[tuple[str, float, str]], top: float, width: float = 1.0) -> None:
    """Rows of a word and a bar for a share, from `top` downwards, with the percentage behind it."""
    for k, (word, share, colour) in enumerate(rows):
        y = top - k * 0.155
        axes.text(0.47, y, word, size=9, color=ink.text, ha="right", va="center")
        axes.barh(y, max(share * 0.36 * width, 0.006), height=0.09, left=0.5, color=colour)
        axes.text(0.52 + share * 0.36 * width, y, f"{100 * share:.0f}", size=9, color=ink.pale, va="center")


def frame(axes: Any) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1))


def company(ink: Ink) -> Any:
    """New names among the last twenty that the default run of examples/company_names.py prints, over its loss."""
    losses, _, twenty = company_names()
    figure, axes = thumbnail()
    x = numpy.geomspace(1, len(losses), 60)
    y = numpy.interp(x, range(1, len(losses) + 1), losses)
    axes.plot(numpy.linspace(0.02, 0.98, 60), 0.03 + 0.26 * (y - y.min()), color=ink.faint, linewidth=2.5)
    fresh = [name for kind, name in twenty if kind == "new"][:4]
    for k, name in enumerate(fresh):
        axes.text(0.28 + 0.12 * k, 0.9 - 0.22 * k, name, size=13, color=ink.blue, va="center")
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
    lines = [line for line in written("char_lm", "KING", 400, 0.8).split("\n")][:7]
    for k, line in enumerate(lines):
        speaker = line.endswith(":")
        axes.text(
            0.02, 0.95 - 0.15 * k, line if len(line) < 36 else line[:34] + "…", size=9, va="center",
            family="serif", color=ink.blue if speaker else ink.text, weight="bold" if speaker else "normal",
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
            axes.text(x, 0.92 - 0.165 * k, word, size=9, va="center", family=MONO, color=ink.text if real else ink.orange)
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
    return [-float(row.mean()) for row in rows], known["settings"] and 1.4524


def ngrams(ink: Ink) -> Any:
    """Held-out losses on Shakespeare: n-grams, counted here, and the LSTM's 1.452 (weights/README.md)."""
    losses, lstm = ngram_losses()
    figure, axes = page(2.5, 1.5625)
    axes.plot(range(2, 11), losses[1:], "o-", color=ink.orange, markersize=3.5)
    axes.axhline(lstm, color=ink.blue, linewidth=2)
    axes.text(10.2, lstm + 0.04, f"LSTM {lstm:.2f}", size=10, color=ink.blue, ha="right")
    axes.text(5, losses[4] + 0.1, f"5-gram {losses[4]:.2f}", size=10, color=ink.orange, ha="center")
    axes.set(xlim=(1.6, 10.4), ylim=(1.3, 2.6))
    axes.set_xticks([2, 5, 10], ["n = 2", "5", "10"])
    axes.set_yticks([])
    quiet(axes, ink, "left")
    return figure


HEADLINE = "Apple unveils a faster laptop for students"


@cache
def news_of() -> dict[str, float]:
    model, known = load_char_cnn(WEIGHTS / "ag_news.npz")
    ids = Quantiser(known["alphabet"], known["max_length"])([cleaned(HEADLINE, known["steps"])])
    return dict(zip(known["names"], numpy.exp(of_characters(model, ids)[0]).tolist(), strict=True))


def news(ink: Ink) -> Any:
    """weights/ag_news.npz: the four classes of a headline of our own."""
    figure, axes = thumbnail()
    axes.text(0.02, 0.93, "“Apple unveils a faster", size=10, va="center")
    axes.text(0.02, 0.78, "  laptop for students”", size=10, va="center")
    shares = news_of()
    best = max(shares, key=shares.__getitem__)
    bars(axes, ink, [(name, p, ink.blue if name == best else ink.pale) for name, p in shares.items()], 0.56)
    frame(axes)
    return figure


@cache
def review_of() -> list[tuple[str, numpy.ndarray]]:
    reader, model, _ = load_reviews(committed("lstm", "phrase"))
    phrases = ["a quiet , moving film", "a dull , lifeless mess"]
    return list(zip(phrases, numpy.exp(log_probabilities(model, reader, reader.encode(phrases))), strict=True))


def reviews(ink: Ink) -> Any:
    """weights/reviews_lstm_phrase.npz: the five degrees of two phrases of our own."""
    figure, axes = thumbnail()
    colours = [ink.orange, ink.orange, ink.pale, ink.blue, ink.blue]
    for (phrase, shares), left in zip(review_of(), (0.03, 0.54), strict=True):
        first, second = phrase.replace(" ,", ",").split(", ")
        axes.text(left, 0.92, first + ",", size=10, va="center")
        axes.text(left, 0.77, second, size=10, va="center")
        for k, (share, colour) in enumerate(zip(shares, colours, strict=True)):
            axes.bar(left + 0.04 + 0.085 * k, max(0.48 * share, 0.01), width=0.065, bottom=0.14, color=colour)
        axes.text(left + 0.04, 0.05, "−−", size=9, color=ink.pale, ha="center", va="center")
        axes.text(left + 0.38, 0.05, "++", size=9, color=ink.pale, ha="center", va="center")
    frame(axes)
    return figure


@cache
def photographs() -> tuple[numpy.ndarray, list[str]]:
    """Eight test images of CIFAR-10, the first of each of eight classes, and what weights/cifar10.npz calls them."""
    model, recipe = load_cifar10(WEIGHTS / "cifar10.npz")
    _, test = load_cifar(None)
    places = [int(numpy.flatnonzero(test.labels == k)[0]) for k in (3, 8, 6, 1, 4, 7, 2, 9)]
    with evaluating(model):
        guesses = scores(model, recipe, test.pixels[places]).argmax(axis=1)
    return test.pixels[places], [LABELS[k] for k in guesses]


def cifar(ink: Ink) -> Any:
    """weights/cifar10.npz: the first test image of each of eight classes, and the likeliest class (six views)."""
    pixels, guesses = photographs()
    figure, axes = thumbnail()
    for k, (image, guess) in enumerate(zip(pixels, guesses, strict=True)):
        x, y = 0.02 + 0.245 * (k % 4), 0.6 - 0.49 * (k // 4)
        inner = axes.inset_axes((x, y, 0.225, 0.36))
        inner.imshow(image, interpolation="none")
        bare(inner)
        axes.text(x + 0.112, y - 0.06, {"automobile": "car"}.get(guess, guess), size=9, ha="center", va="center",
                  color=ink.text)
    frame(axes)
    return figure


@cache
def attention_of(paragraph: str, question: str) -> tuple[list[str], list[str], numpy.ndarray, range]:
    """The words of both texts, each paragraph word's attention to the question (T, J), and the answer's places."""
    from bidaf.examples import Encoded, best_spans
    from bidaf.examples import log_probabilities as of_spans

    context, asked = words_with_places(paragraph), words_with_places(question)
    model, lexicon, _ = load_bidaf(WEIGHTS / "bidaf_fast.npz", context, asked)
    example = Encoded(lexicon.encode(context.words), lexicon.encode(asked.words), None)
    ((begin, end),) = of_spans(model, [example])
    (answer,) = best_spans(begin, end, count=1)
    ids = [to_device(numpy.array([words])) for words in example[:2]]
    with evaluating(model):
        weights = to_host(model.bidaf.weights_of_question(*(model.words.forward(some) for some in ids)))[0]
    return context.words, asked.words, weights, range(answer.begin, answer.end + 1)


def answers(ink: Ink) -> Any:
    """weights/bidaf_fast.npz: `python examples/bidaf ask`; the attention of six words of the paragraph."""
    words, asked, weights, answer = attention_of(PARAGRAPH, QUESTION)
    rows = range(answer.start, answer.start + 6)
    figure, axes = page(2.5, 1.5625)
    axes.imshow(weights[rows.start : rows.stop], cmap=ink.tint(ink.blue), vmin=0, vmax=1, aspect="auto",
                interpolation="none")
    axes.set_yticks(range(len(rows)), [words[k] for k in rows])
    axes.set_xticks(range(len(asked)), [{"champion": "champ."}.get(word, word) for word in asked], rotation=40,
                    ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=9, labelcolor=ink.text, pad=2)
    for row, label in zip(rows, axes.get_yticklabels(), strict=True):
        if row in answer:
            label.set(color=ink.orange, weight="bold")
    axes.set_frame_on(False)
    return figure


ALL = {
    "model-company-names": company, "model-name-languages": languages, "model-char-lm": shakespeare,
    "model-ngrams": ngrams, "model-alice": alice, "model-char-cnn": news, "model-movie-reviews": reviews,
    "model-cifar10": cifar, "model-bidaf": answers,
}
ALT = {name: "" for name in ALL}
