"""What a training of `char_cnn.py` takes besides its loop: flags, an optimizer, guesses, the text file of metrics."""

import argparse
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from char_cnns.texts import ALPHABET, STEPS

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.functions import log_softmax
from scratch.layer import Layer, evaluating
from scratch.optimizers import AdamW, Momentum, Optimizer
from scratch.tools import program
from scratch.tools.files import write_text
from scratch.tools.history import progress
from scratch.tools.scores import accuracy, mean_f1, table

MOMENTUM = 0.9


def make_optimizer(name: str, lr: float, weight_decay: float) -> Optimizer:
    """The repository's two, with PyTorch's meaning of the rate: its momentum adds up gradients, ours is their mean."""
    if name == "sgd":
        return Momentum(lr / (1 - MOMENTUM), MOMENTUM, clip_norm=5.0, weight_decay=weight_decay * (1 - MOMENTUM))
    return AdamW(lr, weight_decay, clip_norm=5.0)


def class_weights_of(labels: numpy.ndarray, num_classes: int) -> list[float]:
    """How many rows the largest class has for each of a class: rows of rare classes count more."""
    counts = numpy.bincount(labels, minlength=num_classes)
    return (counts.max() / numpy.maximum(counts, 1)).tolist()


def log_probabilities(model: Layer, ids: numpy.ndarray, batch_size: int = 256) -> numpy.ndarray:
    """The logarithm of each class's probability for each row of ids: (N, num_classes), on the host."""
    found = []
    with evaluating(model):
        for start in progress(range(0, len(ids), batch_size), "reading"):
            found.append(to_host(log_softmax(model.forward(to_device(ids[start : start + batch_size])))))
    return numpy.concatenate(found)


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """The figures of every epoch as text, with precision, recall and F1 of each class."""
    parts = []
    for row in rows:
        confusion = numpy.array(row["confusion"])
        parts.append(
            f"epoch {row['epoch']}: training loss {row['loss']:.4f}, validation loss {row['validation']:.4f}, accuracy "
            f"{accuracy(confusion):.4f}, mean F1 {mean_f1(confusion):.4f}\n{table(confusion, labels)}\n"
        )
    write_text(path, "\n".join(parts))


def option(parser: argparse.ArgumentParser, name: str, *others: str, **options: Any) -> None:
    """A flag under the repository's name, with hyphens as well, and under `others`."""
    names = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}", *others])
    parser.add_argument(*names, dest=name, **options)


def share(text: str) -> float:
    """A number above 0 and below 1: the type of a flag."""
    value = program.rate(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0 and below 1, got {text[:20]!r}")
    return value


def whole(text: str) -> int:
    """A whole number from 0 on: the type of a flag."""
    return 0 if text == "0" else program.positive(text)


def rows(text: str) -> int:
    """A number of rows, of which there may be billions: the type of a flag."""
    if not text.isdecimal() or len(text) > 12 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of rows, got {text[:20]!r}")
    return int(text)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """The flags that say how a table is read."""
    number = {"type": program.positive, "metavar": "N"}
    option(parser, "text_column", metavar="NAME", help="the column of the texts; several: title+description")
    option(parser, "label_column", metavar="NAME", help="the column of the labels (a file without a header: numbers)")
    option(parser, "encoding", default="utf-8", metavar="NAME", help="of the file (default: utf-8)")
    option(parser, "chunksize", **number, default=50_000, help="rows in memory at once as text (default: 50000)")
    option(parser, "max_rows", type=rows, metavar="N", help="read no more rows than that")


def train_flags(arguments: list[str], sizes: Mapping[str, Any]) -> Namespace:
    parser = program.Parser("Train a network on a table of texts and labels.", prog="char_cnn.py train")
    number = {"type": program.positive, "metavar": "N"}
    option(
        parser, "data_path", "--data", default="ag_news_csv", metavar="PATH",
        help="a CSV file, or a known set: ag_news_csv (default) or french_reviews",
    )
    add_columns(parser)
    option(
        parser, "validation_split", type=share, default=0.2, metavar="SHARE",
        help="of each class, to choose the best epoch by (default: 0.2)",
    )
    option(
        parser, "steps", nargs="*", choices=STEPS, default=["lower"], help="what is done to each text (default: lower)",
    )
    option(parser, "alphabet", default=ALPHABET, help="the characters to know (default: the paper's 69)")
    option(parser, "number_of_characters", **number, help="how many those are, if that should be checked")
    option(parser, "extra_characters", default="", metavar="TEXT", help="more of them, such as éàèùâêîôûçëïü")
    option(parser, "config_path", type=Path, metavar="FILE", help="networks in JSON; see README")
    option(
        parser, "size", default="small", metavar="NAME",
        help="Zhang's small (default) or large, our compact, or one of --config_path",
    )
    option(parser, "max_length", **number, default=150, help="characters of each text, from its end (default: 150)")
    option(parser, "number_of_classes", **number, help="how many there are, if that should be checked")
    option(parser, "epochs", **number, default=10, help="how many times to go through the data (default: 10)")
    option(parser, "batch_size", **number, default=128, help="texts in a step of learning (default: 128)")
    option(parser, "optimizer", choices=("sgd", "adam"), default="sgd", help="sgd (default; momentum 0.9) or adam")
    option(parser, "learning_rate", "--lr", type=program.rate, default=0.01, metavar="RATE", help="(default: 0.01)")
    option(parser, "weight_decay", type=program.rate, default=0.0, metavar="RATE", help="(default: 0)")
    option(parser, "dropout", type=program.rate, metavar="P", help="in the classifier (default: 0.5)")
    option(
        parser, "dropout_input", type=program.rate, default=0.0, metavar="P",
        help="how many of the characters are taken for unknown, so that the network learns to do without (default: 0)",
    )
    count = {"type": whole, "metavar": "N", "default": 3}
    option(parser, "schedule", **count, help="halve the rate every N epochs (default: 3; 0: never)")
    option(parser, "patience", **count, help="stop when N epochs in a row were not the best (default: 3; 0: never)")
    option(parser, "class_weights", type=int, choices=(0, 1), default=0, help="1: rows of rare classes count more")
    option(parser, "focal_loss", type=program.rate, metavar="GAMMA", help="use the focal loss, usually with 2")
    option(parser, "checkpoint", type=int, choices=(0, 1), default=1, help="0: keep none to resume from")
    option(
        parser, "workers", "--threads", type=whole, default=0, metavar="N",
        help="how many threads share a batch (default, and 0: all cores)",
    )
    option(parser, "log_path", type=Path, metavar="FOLDER", help="write a log for TensorBoard there")
    option(
        parser, "output", "--out", type=Path, default=Path("runs/char_cnn"), metavar="FOLDER",
        help="where the model, its figures and pictures go (default: runs/char_cnn)",
    )
    option(parser, "model_name", default="", metavar="NAME", help="the first part of the names of the run's files")
    parser.add_argument("--summary", action="store_true", help="print the layers and the shapes between them, no more")
    parser.common(seed=0, device=None, resume=False, report=None, plot=None, smoke=False)
    flags = parser.parse_args(arguments)
    if flags.number_of_characters not in (None, len(set(flags.alphabet))):
        raise ScratchError(
            f"--number_of_characters {flags.number_of_characters}: the alphabet has {len(set(flags.alphabet))}, "
            "without those that are extra"
        )
    flags.alphabet = "".join(dict.fromkeys(flags.alphabet + flags.extra_characters))
    if flags.dropout_input >= 1:
        raise ScratchError(f"--dropout_input: expected a share below 1, got {flags.dropout_input:g}")
    if flags.resume and not flags.checkpoint:
        raise ScratchError("--resume: goes on from a checkpoint; --checkpoint 0 keeps none")
    if "/" in flags.model_name or len(flags.model_name) > 100:
        raise ScratchError(f"--model_name: expected the beginning of a file's name, got {flags.model_name[:40]!r}")
    if flags.size not in sizes and flags.config_path is None:
        raise ScratchError(f"--size: expected {', '.join(sizes)}, or one of --config_path, got {flags.size!r}")
    return flags
