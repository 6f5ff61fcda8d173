"""`python examples/movie_reviews train`: from phrases to a network that predicts their labels."""

import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
from char_cnn.texts import ALPHABET
from movie_reviews.network import start_from
from movie_reviews.phrases import LABELS, UNKNOWN, Phrase, Words, digest_of, load_phrases, split
from movie_reviews.reading import add_model, confusions, log_probabilities, network_of, print_summary, reader_of

from scratch.backend import to_device
from scratch.batching import batches, num_batches
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import AdamW
from scratch.schedules import cosine_decay
from scratch.text import Vocabulary, words_of
from scratch.tools import program
from scratch.tools.datasets import find_glove, read_glove, recorded
from scratch.tools.plots import confusion_matrix
from scratch.tools.run import Run, check_paths
from scratch.tools.scores import accuracy, count_confusions, mean_f1, shares

FILES = ("confusion.png",)
RECIPES: dict[str, dict[str, Any]] = {
    "characters": {"epochs": 30, "batch_size": 128, "lr": 0.002, "dropout": 0.5, "drop": 0.05, "weight_decay": 0.01},
    "glove": {"epochs": 20, "batch_size": 128, "lr": 0.001, "dropout": 0.5, "drop": 0.1, "weight_decay": 0.01},
    "lstm": {"epochs": 8, "batch_size": 128, "lr": 0.001, "dropout": 0.5, "drop": 0.1, "weight_decay": 0.01},
}
SMOKE_RECIPE = {"epochs": 8, "batch_size": 8, "lr": 0.005, "dropout": 0.0, "drop": 0.0}
SETTINGS = ("model", "split", *RECIPES["glove"], "seed")
LENGTH, DIM = 120, 100  # characters of a phrase (few have more); numbers in a word vector
HIDDEN = {"glove": 256, "lstm": 128}
SMOKE = [
    Phrase(number, number, f"{a} {b}", label) for number, (a, b, label) in enumerate(
        (a, b, label) for label, words in enumerate(("awful", "weak", "plain", "nice", "superb"))
        for a in (words, f"really {words}", f"so {words}") for b in ("film", "story", "acting", "music", "end", "idea")
    )
]


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=True)
    phrases = SMOKE if flags.smoke else load_phrases(flags.data)
    training, validation, held_out = split(phrases, flags.split)
    known = description(flags, training)
    reader, model = reader_of(known), network_of(known, flags.dropout)
    if flags.summary:
        print_summary(model, known.get("length"))
        return
    inputs = [flags.data, flags.glove]
    *_, confusion_png = check_paths(flags, inputs, FILES)
    if isinstance(reader, Words) and not flags.smoke:
        words, vectors = read_glove(find_glove(flags.glove), known["vocabulary"].keys())
        num_found = start_from(model, known["vocabulary"], words, vectors)
        print(f"{num_found} of {reader.vocab.size} words have a GloVe vector")
    optimizer, loss = AdamW(flags.lr, flags.weight_decay, clip_norm=1.0), SoftmaxCrossEntropy()
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    settings = {name: getattr(flags, name) for name in SETTINGS}
    settings["phrases"] = digest_of(phrases)
    if not flags.smoke:
        known |= recorded("movie_reviews", flags.data, settings["phrases"])
    chance = math.log(len(LABELS))
    print(
        f"{len(training)} phrases in the training set, {len(validation)} in the validation set, {len(held_out)} held "
        f"out; chance is {chance:.3f} nats"
    )

    rows, labels = encoded(training, reader)
    validation_rows, validation_labels = encoded(validation, reader)
    length = (lambda place: len(rows[place])) if isinstance(reader, Words) else None
    num_steps = num_batches(len(rows), flags.batch_size)
    with Run(
        flags, model, optimizer, settings, "movie_reviews", known, best="-accuracy", chance=chance, inputs=inputs,
        files=FILES,
    ) as run:
        for epoch in run.epochs():
            total = 0.0
            parts = batches(range(len(rows)), flags.batch_size, length)
            for k, places in enumerate(run.progress(parts, num_steps)):
                optimizer.lr = flags.lr * cosine_decay((epoch - 1) * num_steps + k, flags.epochs * num_steps)
                ids, mask = reader.batch([rows[place] for place in places], flags.drop)
                truth = to_device(labels[places])
                predicted = model.forward(ids, **mask)
                total += loss.loss(predicted, truth) * len(places)
                gradient = loss.gradient(predicted, truth)
                model.backward(gradient)
                optimizer.step(model)
            log_p = log_probabilities(model, reader, validation_rows)
            confusion = count_confusions(validation_labels, log_p.argmax(axis=1), len(LABELS))
            of_truth = log_p[numpy.arange(len(log_p)), validation_labels]
            run.record(loss=total / len(rows), validation=0.0 - float(of_truth.mean()), accuracy=accuracy(confusion))

    run.load_best()
    confusion = confusions(model, reader, held_out)
    found = {"accuracy": accuracy(confusion), "f1": mean_f1(confusion)}
    run.finish(f"Movie reviews: {flags.model}", **found, num_training=len(training), num_held_out=len(held_out))
    confusion_matrix(confusion_png, shares(confusion), LABELS, "Held-out phrases")
    print(f"\nHeld out: accuracy {found['accuracy']:.4f}, mean F1 {found['f1']:.4f}")
    print(f"Weights:  {run.weights}, plots: {run.plot}, {confusion_png}")


def description(flags: Namespace, training: list[Phrase]) -> dict[str, Any]:
    """The metadata of the weights: all that `network_of` needs to build the network again."""
    known: dict[str, Any] = {"model": flags.model, "split": flags.split}
    if flags.model == "characters":
        return known | {"alphabet": ALPHABET, "length": LENGTH}
    words = dict.fromkeys(word for phrase in training for word in words_of(phrase.text))
    return known | {"vocabulary": Vocabulary([UNKNOWN, *words]).w2i, "dim": DIM, "hidden": HIDDEN[flags.model]}


def encoded(phrases: list[Phrase], reader: Any) -> tuple[Any, numpy.ndarray]:
    """The ids of each phrase, and the labels."""
    return reader.encode([phrase.text for phrase in phrases]), numpy.array([phrase.label for phrase in phrases])


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on the phrases.", prog="movie_reviews train")
    add_model(parser)
    parser.add_argument("--glove", type=Path, metavar="FILE", help="word vectors (default: the data set glove)")
    for name, what in (
        ("dropout", "dropout in the network"),
        ("drop", "probability that a character or word is hidden in a training step"),
        ("weight_decay", "AdamW's weight decay"),
    ):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=program.rate, metavar="P", help=f"{what} (default: depends on --model)")
    parser.common(
        data=None, out=Path("runs/movie_reviews"), epochs=None, batch_size=None, lr=None, seed=0, device=None,
        threads=None, plain=False, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    for name, value in (RECIPES[flags.model] | (SMOKE_RECIPE if flags.smoke else {})).items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    if max(flags.dropout, flags.drop) >= 1:
        raise ScratchError("--dropout and --drop: expected probabilities below 1")
    return flags
