"""The gallery of the README, one small picture for each model: classes of texts and images, and answers."""

from functools import cache
from typing import Any

import numpy
from bidaf.ask import PARAGRAPH, QUESTION
from bidaf.squad import words_with_places
from bidaf.trained import load as load_bidaf
from char_cnn.network import load as load_char_cnn
from char_cnn.network import log_probabilities as of_characters
from char_cnn.texts import Quantiser, cleaned
from cifar10.batches import LABELS, load_cifar
from cifar10.network import load as load_cifar10
from cifar10.network import scores
from gallery import WEIGHTS, bars, frame, thumbnail
from movie_reviews.reading import committed, log_probabilities
from movie_reviews.reading import load as load_reviews
from style import MINUS, Ink, bare, page

from scratch.backend import to_device, to_host
from scratch.layer import evaluating

HEADLINE = "Apple unveils a faster laptop for students"


@cache
def news_of() -> dict[str, float]:
    """The probability of each class for the headline."""
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
    """Two phrases, and the probabilities of the five degrees for each."""
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
        axes.text(left + 0.04, 0.05, 2 * MINUS, size=9, color=ink.pale, ha="center", va="center")
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
def attention_of(paragraph: str, question: str) -> tuple[list[str], list[str], numpy.ndarray, range, Any, Any]:
    """The words of both texts, each paragraph word's attention to the question (T, J), the answer's places,
    and each word's probability to be its first and its last."""
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
    places = range(answer.begin, answer.end + 1)
    return context.words, asked.words, weights, places, numpy.exp(begin), numpy.exp(end)


def answers(ink: Ink) -> Any:
    """weights/bidaf_fast.npz: `python examples/bidaf ask`; the attention of six words of the paragraph."""
    words, asked, weights, answer, *_ = attention_of(PARAGRAPH, QUESTION)
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
    "model-char-cnn": news,
    "model-movie-reviews": reviews,
    "model-cifar10": cifar,
    "model-bidaf": answers,
}
ALT = {
    "model-char-cnn": "The headline Apple unveils a faster laptop for students: Sci/Tech 93.8 %.",
    "model-movie-reviews": "Bars of five degrees: a quiet, moving film is positive; a dull, lifeless mess is negative.",
    "model-cifar10": "Eight photographs with the network's guesses: cat, ship, frog, car, deer, horse, bird, truck.",
    "model-bidaf": "A map of the attention of Wilhelm Steinitz became the first world to the words of a question.",
}
