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
        raise argparse.ArgumentTypeError(f"expected a share above 0 and below 1, got {text[:20]!r}")
    return value


def whole(text: str) -> int:
    """A whole number of at least 0: the type of a flag."""
    return 0 if text == "0" else program.positive(text)


def rows(text: str) -> int:
    """A number of rows, possibly billions: the type of a flag."""
    if not text.isdecimal() or len(text) > 12 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of rows, got {text[:20]!r}")
    return int(text)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a table is read."""
    number = {"type": program.positive, "metavar": "N"}
    option(parser, "text_column", metavar="NAME", help="the column of the texts; several: title+description")
    option(parser, "label_column", metavar="NAME", help="the column of the labels (a file without a header: numbers)")
    option(parser, "encoding", default="utf-8", metavar="NAME", help="of the file (default: utf-8)")
    option(parser, "chunksize", **number, default=50_000, help="rows in memory at once as text (default: 50000)")
    option(parser, "max_rows", type=rows, metavar="N", help="read at most N rows")


def add_model(parser: program.Parser) -> None:
    """Add the flags of trained weights."""
    parser.add_argument("--model", "--weights", type=Path, default=WEIGHTS, metavar="FILE", help="weights of train")
    parser.add_argument("--summary", action="store_true", help="only print the layers and the shapes of their outputs")
    parser.common(device=None, plain=False)


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on a table of texts and labels.", prog="char_cnn train")
    number = {"type": program.positive, "metavar": "N"}
    option(
        parser, "data_path", "--data", type=os.fspath, default="ag_news_csv", metavar="PATH",
        help="a CSV file, or a known set: ag_news_csv (default) or french_reviews",
    )
    add_columns(parser)
    option(
        parser, "validation_split", type=share, default=0.2, metavar="SHARE",
        help="of each class, for the validation set, which chooses the best epoch (default: 0.2)",
    )
    option(parser, "steps", nargs="*", choices=STEPS, default=["lower"], help="preprocessing (default: lower)")
    option(parser, "alphabet", default=ALPHABET, help="the known characters (default: the paper's 69)")
    option(parser, "number_of_characters", **number, help="the length of the alphabet, to be checked")
    option(parser, "extra_characters", default="", metavar="TEXT", help="more of them, such as éàèùâêîôûçëïü")
    option(parser, "config_path", type=Path, metavar="FILE", help="networks in JSON; see docs/models/char_cnn.md")
    option(
        parser, "size", default="small", metavar="NAME",
        help="Zhang's small (default) or large, our compact, or one of --config_path",
    )
    option(parser, "max_length", **number, default=150, help="characters of each text, from its end (default: 150)")
    option(parser, "number_of_classes", **number, help="the number of classes, to be checked")
    option(parser, "epochs", **number, default=10, help="passes through the training set (default: 10)")
    option(parser, "batch_size", **number, default=128, help="texts in each step (default: 128)")
    option(parser, "optimizer", choices=("sgd", "adam"), default="sgd", help="sgd (default; momentum 0.9) or adam")
    option(parser, "learning_rate", "--lr", type=program.rate, default=0.01, metavar="RATE", help="(default: 0.01)")
    option(parser, "weight_decay", type=program.rate, default=0.0, metavar="RATE", help="(default: 0)")
    option(parser, "dropout", type=program.rate, metavar="P", help="in the classifier (default: 0.5)")
    option(
        parser, "dropout_input", type=program.rate, default=0.0, metavar="P",
        help="share of the characters made unknown in each training step (default: 0)",
    )
    count = {"type": whole, "metavar": "N", "default": 3}
    option(parser, "schedule", **count, help="halve the learning rate every N epochs (default: 3; 0: never)")
    option(parser, "patience", **count, help="stop when N epochs in a row were not the best (default: 3; 0: never)")
    option(parser, "class_weights", type=int, choices=(0, 1), default=0, help="1: weight rare classes more")
    option(parser, "focal_loss", type=program.rate, metavar="GAMMA", help="use the focal loss, usually with 2")
    option(parser, "checkpoint", type=int, choices=(0, 1), default=1, help="0: save none; the run cannot be resumed")
    option(
        parser, "workers", "--threads", type=whole, default=0, metavar="N",
        help="threads that share a batch (default, and 0: one for each core)",
    )
    option(parser, "log_path", type=Path, metavar="FOLDER", help="write a log for TensorBoard there")
    option(
        parser, "output", "--out", type=Path, default=Path("runs/char_cnn"), metavar="FOLDER",
        help="where weights, figures and plots go (default: runs/char_cnn)",
    )
    option(
        parser, "model_name", type=os.fspath, default="", metavar="NAME", help="prefix of the names of the run's files"
    )
    parser.add_argument("--summary", action="store_true", help="only print the layers and the shapes of their outputs")
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
        raise ScratchError(f"--dropout_input: expected a share below 1, got {flags.dropout_input:g}")
    if flags.log_path is not None:
        extra("tensorboardX", "a TensorBoard log")
    if flags.resume and not flags.checkpoint:
        raise ScratchError("--resume needs a checkpoint; --checkpoint 0 keeps none")
    if "/" in flags.model_name or len(flags.model_name) > 100:
        raise ScratchError(f"--model_name: expected the prefix of a file's name, got {flags.model_name[:40]!r}")
    if flags.size not in SIZES and flags.config_path is None:
        raise ScratchError(f"--size: expected {', '.join(SIZES)}, or one of --config_path, got {flags.size!r}")
