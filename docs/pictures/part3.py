"""Pictures of part 3, looking through windows: what filters look for, pooling, dropout."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy
from char_cnn.data import file_of
from char_cnn.network import load as load_char_cnn
from char_cnn.tables import read_table
from char_cnn.texts import Quantiser
from cifar10.augment import prepared
from cifar10.batches import load_cifar
from cifar10.network import load as load_cifar10
from matplotlib.figure import Figure
from style import EXACT, TIMES, Ink, bare, page, quiet

import scratch as book
from scratch.fast import fast
from scratch.layer import Sequential, evaluating
from scratch.over_time import MaxOverTime

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
# Layers of weights/cifar10.npz: the index of a convolution, the pixels between its windows, and those that one sees, as
# (first, last) offsets from the window's place times that distance.
CONVOLUTIONS = ((2, 1, (-1, 2)), (6, 2, (-3, 5)), (9, 2, (-5, 7)))
NUM_IMAGES = 1000


@cache
def images() -> Any:
    """The test images of CIFAR-10 and their labels."""
    return load_cifar(None)[1]


@cache
def patches(count: int = 6) -> list[list[numpy.ndarray]]:
    """For each of CONVOLUTIONS, for `count` of its filters at equal distances, the patches of as many of the first
    1,000 test images that excite it most: (count, side, side, 3), in bytes."""
    model, recipe = load_cifar10(WEIGHTS / "cifar10.npz")
    pixels, found = images().pixels[:NUM_IMAGES], []
    x: Any = prepared(recipe, pixels)
    places = {index: rest for index, *rest in CONVOLUTIONS}
    with evaluating(model):
        for index, layer in enumerate(model.layers[: max(places) + 1]):
            twin = fast(Sequential([layer]), threads=1)
            x = numpy.concatenate([twin.forward(x[k : k + 100]).copy() for k in range(0, NUM_IMAGES, 100)])
            if index not in places:
                continue
            stride, (first, last) = places[index]
            inside = [k for k in range(x.shape[1]) if k * stride + first >= 0 and k * stride + last < 32]
            part, rows = x[:, inside][:, :, inside], []
            for feature in range(0, x.shape[3], x.shape[3] // count)[:count]:
                values = part[..., feature].reshape(NUM_IMAGES, -1)
                best = numpy.argsort(-values.max(axis=1), kind="stable")[:count]
                corners = [divmod(int(values[k].argmax()), len(inside)) for k in best]
                rows.append(numpy.stack([
                    pixels[k, inside[r] * stride + first : inside[r] * stride + last + 1,
                           inside[c] * stride + first : inside[c] * stride + last + 1]
                    for k, (r, c) in zip(best, corners, strict=True)
                ]))
            found.append(rows)
    return found


def filters(ink: Ink) -> Any:
    """`patches` above, of the trained network for CIFAR-10: six filters (rows) of its first three trained layers."""
    figure, axes = page(6.4, 2.55, 1, 3)
    for ax, rows, title in zip(axes, patches(), ("first", "second", "third"), strict=True):
        side = rows[0].shape[1]
        gap = max(1, side // 6)
        sheet = numpy.zeros((len(rows) * (side + gap), rows[0].shape[0] * (side + gap), 4), dtype=numpy.uint8)
        for r, row in enumerate(rows):
            for c, patch in enumerate(row):
                top, left = r * (side + gap), c * (side + gap)
                sheet[top : top + side, left : left + side] = numpy.dstack([patch, numpy.full((side, side), 255)])
        ax.imshow(sheet, interpolation="none")
        ax.set_title(f"{title}: {side}{TIMES}{side} pixels", loc="left", size=11)
        bare(ax)
    return figure


@cache
def windows_of(per_class: int = 2, count: int = 5, among: int = 100) -> list[tuple[str, float, list[str]]]:
    """Patterns of weights/ag_news.npz, the network `compact`, on the first 2,000 official test rows of AG's News.

    For each class, the `per_class` of the 256 features whose `among` most excited texts are most often of that class;
    of each the class, that share, and the ten letters that it saw in the `count` texts that excite it most.
    """
    model, known = load_char_cnn(WEIGHTS / "ag_news.npz")
    path, _ = file_of("ag_news_csv", "test")
    data = read_table(path, known["text_column"], known["label_column"],
                      Quantiser(known["alphabet"], known["max_length"]), known["steps"], "utf-8", 1000, 2000,
                      known["labels"])
    end = next(k for k, layer in enumerate(model.layers) if isinstance(layer, MaxOverTime))
    before = fast(Sequential(model.layers[:end]), threads=1)
    values, places = [], []
    with evaluating(before):
        for start in range(0, len(data.ids), 100):
            x = before.forward(data.ids[start : start + 100])
            values.append(x.max(axis=1))
            places.append(x.argmax(axis=1))
    highest, place = numpy.concatenate(values), numpy.concatenate(places)  # (texts, 256)
    order = numpy.argsort(-highest, axis=0, kind="stable")
    shares = numpy.stack([(data.labels[order[:among]] == k).mean(axis=0) for k in range(len(known["names"]))])
    found = []
    for k, name in enumerate(known["names"]):
        for feature in numpy.argsort(-shares[k], kind="stable")[:per_class]:
            seen: list[str] = []
            for text in order[:, feature]:
                start = 2 * place[text, feature]  # a pool of 2 is below; the last character of a text comes first
                ids = data.ids[text, start : start + 10][::-1]
                letters = "".join(known["alphabet"][j] if j >= 0 else " " for j in ids)
                if letters not in seen:
                    seen.append(letters)
                if len(seen) == count:
                    break
            found.append((name, float(shares[k, feature]), seen))
    return found


def windows(ink: Ink) -> Any:
    """`windows_of` above: eight of the 256 patterns of the trained network for AG's News."""
    figure = Figure(figsize=(6.4, 3.7))
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    bare(axes)
    axes.set(xlim=(0, 4), ylim=(14.4, -0.2))
    for number, (name, share, letters) in enumerate(windows_of()):
        column, top = number // 2, 7.3 * (number % 2)
        if not number % 2:
            axes.text(column, 0.4, name, size=12, weight="bold", color=ink.blue, va="center")
        axes.text(column, top + 1.4, f"{100 * share:.0f} of its top 100", size=9, color=ink.pale, va="center")
        for k, words in enumerate(letters):
            axes.text(column, top + 2.5 + 0.95 * k, words.replace(" ", "·").replace("\n", "↵"), family=EXACT, size=11,
                      color=ink.text, va="center_baseline")
    return figure


def pooling(ink: Ink) -> Any:
    """MaxPool2d and AveragePool2d on the first test image of CIFAR-10, the colours scaled to 0 .. 1."""
    image = images().pixels[:1] / 255
    figure, axes = page(6.4, 1.9, 1, 4)
    for ax, title, picture in zip(axes, (f"image, 32{TIMES}32", "MaxPool2d(2)", "MaxPool2d(4)", "AveragePool2d(4)"), (
        image, book.MaxPool2d(2).forward(image), book.MaxPool2d(4).forward(image), book.AveragePool2d(4).forward(image),
    ), strict=True):
        ax.imshow(numpy.clip(picture[0], 0, 1), interpolation="none")
        ax.set_title(title, loc="left", size=11)
        bare(ax)
    return figure


def dropout(ink: Ink) -> Any:
    """Dropout(0.5) on a row of 14 ones: five training steps, their mean over 1,000, and evaluation (seed 0)."""
    random.seed(0)
    layer, x = book.Dropout(0.5), numpy.ones((1, 14))
    steps = numpy.concatenate([layer.forward(x).copy() for _ in range(1000)])
    with evaluating(layer):
        still = layer.forward(x)
    rows = [*steps[:5], steps.mean(axis=0), still[0]]
    names = [*(f"step {k}" for k in range(1, 6)), "mean of 1,000", "evaluating"]
    figure, axes = page(6.4, 2.2)
    for y, row in enumerate(rows):
        y += 0.35 * (y > 4)
        for k, value in enumerate(row):
            axes.text(k, y, f"{value:.2f}" if y == 5.35 else f"{value:.0f}", size=10, ha="center", va="center",
                      color=ink.blue if value > 0 else ink.pale)
    axes.set(xlim=(-0.7, 13.7), ylim=(6.9, -0.6))
    axes.set_yticks([*range(5), 5.35, 6.35], names)
    axes.set_xticks([])
    quiet(axes, ink, "left", "bottom")
    axes.tick_params(length=0, labelcolor=ink.text)
    return figure


ALL = {"filters": filters, "windows": windows, "pooling": pooling, "dropout": dropout}
ALT = {
    "filters": "Patches of photographs that excite six filters of each of the first three trained layers most. The "
    "first layer sees 4 by 4 pixels and finds colours and edges, the third 13 by 13 and finds wheels, legs and faces.",
    "windows": "For each class of AG's News two patterns of the network, each with the five windows of ten letters "
    "that excite it most: iraq and iran for World, olympic for Sports, profits and oil prices for Business, microsoft "
    "and users for Sci/Tech.",
    "pooling": "A photograph of a cat in 32 by 32 pixels, after MaxPool2d(2), after MaxPool2d(4), which is lighter, "
    "and after AveragePool2d(4), which is duller.",
    "dropout": "A row of ones after Dropout(0.5): in five training steps about half of the numbers are 0, the others "
    "2; the means over 1,000 steps are near 1; in evaluation all are 1.",
}
