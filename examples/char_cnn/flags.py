"""The flags, under the repository's names."""

import argparse
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from char_cnn.network import SIZES, WEIGHTS
from char_cnn.texts import ALPHABET, STEPS

from scratch.checks import ScratchError
from scratch.tools import program
from scratch.tools.extras import extra


def option(parser: argparse.ArgumentParser, name: str, *others: str, **options: Any) -> None:
    """A flag under the repository's name, under the same name with hyphens, and under `others`."""
    names = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}", *others])
    parser.add_argument(*names, dest=name, **options)


def share(text: str) -> float:
    """A number above 0 and below 1: the type of a flag."""
    value = program.rate(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a fraction above 0 and below 1, got {text[:20]!r}")
    return value


def whole(text: str) -> int:
    """A whole number of at least 0: the type of a flag."""
    return 0 if text == "0" else program.positive(text)


def rows(text: str) -> int:
    """A number of rows, possibly billions: the type of a flag."""
    if not text.isdecimal() or len(text) > 12 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number of rows, got {text[:20]!r}")
    return int(text)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a table is read."""
    number = {"type": program.positive, "metavar": "N"}
    option(parser, "text_column", metavar="NAME", help="column of the texts; + joins several, as in title+description")
    option(parser, "label_column", metavar="NAME", help="column of the labels; in a file without a header, its number")
    option(parser, "encoding", default="utf-8", metavar="NAME", help="encoding of the file (default: utf-8)")
    option(parser, "chunksize", **number, default=50_000, help="rows of text held in memory at once (default: 50000)")
    option(parser, "max_rows", type=rows, metavar="N", help="read at most N rows")


def add_model(parser: program.Parser) -> None:
    """Add the flags of trained weights."""
    parser.add_argument(
        "--model", "--weights", type=Path, default=WEIGHTS, metavar="FILE",
        help=f"weights file, .npz or .safetensors (default: {WEIGHTS})",
    )
    parser.add_argument("--summary", action="store_true", help="only print the layers and their output shapes")
    parser.common(device=None, plain=False)


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on a table of texts and labels.", prog="char_cnn train")
    number = {"type": program.positive, "metavar": "N"}
    option(
        parser, "data_path", "--data", type=os.fspath, default="ag_news_csv", metavar="PATH",
        help="a CSV file, or a known data set: ag_news_csv (default) or french_reviews",
    )
    add_columns(parser)
    option(
        parser, "validation_split", type=share, default=0.2, metavar="FRACTION",
        help="fraction of each class in the validation set, which selects the best epoch (default: 0.2)",
    )
    option(parser, "steps", nargs="*", choices=STEPS, default=["lower"], help="preprocessing steps (default: lower)")
    option(parser, "alphabet", default=ALPHABET, help="characters that the network reads (default: the paper's 69)")
    option(parser, "number_of_characters", **number, help="expected length of the alphabet, as a check")
    option(
        parser, "extra_characters", default="", metavar="TEXT",
        help="characters added to the alphabet, such as éàèùâêîôûçëïü",
    )
    option(parser, "config_path", type=Path, metavar="FILE", help="JSON file of networks; see docs/models/char_cnn.md")
    option(
        parser, "size", default="small", metavar="NAME",
        help="small (default) or large, as in the paper; compact; or a network from --config_path",
    )
    option(
        parser, "max_length", **number, default=150, help="characters read of each text, from its end (default: 150)"
    )
    option(parser, "number_of_classes", **number, help="expected number of classes, as a check")
    option(parser, "epochs", **number, default=10, help="number of passes over the training set (default: 10)")
    option(parser, "batch_size", **number, default=128, help="examples per training step (default: 128)")
    option(parser, "optimizer", choices=("sgd", "adam"), default="sgd", help="sgd (default; with momentum 0.9) or adam")
    option(
        parser, "learning_rate", "--lr", type=program.rate, default=0.01, metavar="RATE",
        help="learning rate (default: 0.01)",
    )
    option(parser, "weight_decay", type=program.rate, default=0.0, metavar="RATE", help="weight decay (default: 0)")
    option(parser, "dropout", type=program.rate, metavar="P", help="dropout in the classifier (default: 0.5)")
    option(
        parser, "dropout_input", type=program.rate, default=0.0, metavar="P",
        help="probability that a character is hidden in a training step (default: 0)",
    )
    count = {"type": whole, "metavar": "N", "default": 3}
    option(parser, "schedule", **count, help="halve the learning rate every N epochs (default: 3; 0: never)")
    option(parser, "patience", **count, help="stop after N epochs without improvement (default: 3; 0: never)")
    option(parser, "class_weights", type=int, choices=(0, 1), default=0, help="1: give rare classes more weight")
    option(
        parser, "focal_loss", type=program.rate, metavar="GAMMA", help="use the focal loss with this gamma, usually 2"
    )
    option(
        parser, "checkpoint", type=int, choices=(0, 1), default=1,
        help="0: save no checkpoint, so the run cannot be resumed",
    )
    option(
        parser, "workers", "--threads", type=whole, default=0, metavar="N",
        help="threads that share each batch (default: 0, one per core)",
    )
    option(parser, "log_path", type=Path, metavar="FOLDER", help="write a TensorBoard log to FOLDER")
    option(
        parser, "output", "--out", type=Path, default=Path("runs/char_cnn"), metavar="FOLDER",
        help="folder for the files that the run writes (default: runs/char_cnn)",
    )
    option(
        parser, "model_name", type=os.fspath, default="", metavar="NAME", help="prefix for the names of the run's files"
    )
    parser.add_argument("--summary", action="store_true", help="only print the layers and their output shapes")
    parser.common(seed=0, device=None, plain=False, resume=False, report=None, plot=None, smoke=False)
    flags = parser.parse_args(arguments)
    check(flags)
    flags.alphabet = "".join(dict.fromkeys(flags.alphabet + flags.extra_characters))
    flags.out, flags.threads = flags.output, flags.workers or None
    flags.prefix = f"{flags.model_name}_" if flags.model_name else ""
    if flags.smoke:
        flags.epochs, flags.batch_size, flags.learning_rate, flags.max_length = min(flags.epochs, 8), 4, 0.05, 30
    return flags


def check(flags: Namespace) -> None:
    """Raise ScratchError for values that argparse cannot check."""
    num_characters = len(set(flags.alphabet))
    if flags.number_of_characters not in (None, num_characters):
        raise ScratchError(
            f"--number_of_characters {flags.number_of_characters}: the alphabet has {num_characters}, not counting "
            "--extra_characters"
        )
    if flags.dropout_input >= 1:
        raise ScratchError(f"--dropout_input: expected a probability below 1, got {flags.dropout_input:g}")
    if flags.log_path is not None:
        extra("tensorboardX", "a TensorBoard log")
    if flags.resume and not flags.checkpoint:
        raise ScratchError("--resume needs a checkpoint; --checkpoint 0 keeps none")
    if "/" in flags.model_name or len(flags.model_name) > 100:
        raise ScratchError(f"--model_name: expected the prefix of a file's name, got {flags.model_name[:40]!r}")
    if flags.size not in SIZES and flags.config_path is None:
        raise ScratchError(f"--size: expected {', '.join(SIZES)}, or a network from --config_path, got {flags.size!r}")
