"""The training set and the validation set: from a known data set, or from any CSV file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from char_cnn.tables import Table, read_table
from char_cnn.texts import Quantiser

from scratch.checks import ScratchError
from scratch.tools.datasets import find
from scratch.tools.incoming import read_text


class Known(NamedTuple):
    """A data set that is known by name: its files and its columns."""

    train: tuple[str, ...]  # the first that exists is read
    validation: str | None  # None: a part of the training file
    test: str
    text_column: str
    label_column: str
    class_names: str | None  # a file with one name a line, for labels 1, 2, ...


KNOWN = {
    "ag_news_csv": Known(("train.csv", "train_subset20000.csv"), None, "test.csv", "2+3", "1", "classes.txt"),
    "french_reviews": Known(("train.csv",), "val.csv", "test.csv", "review", "polarity", None),
}


def file_of(name: str, part: str) -> tuple[Path, Known | None]:
    """The file of a known data set (part "train" or "test"), fetched if need be; or `name` itself, a path."""
    if name not in KNOWN or Path(name).is_file():
        return Path(name), None
    known, folder = KNOWN[name], find(name)
    files = known.train if part == "train" else (known.test,)
    for file in files:
        if (folder / file).is_file():
            return folder / file, known
    raise ScratchError(f"{folder}: has no {' or '.join(files)}")


def names_of(classes: Sequence[str], path: Path, known: Known | None) -> list[str]:
    """The names of the labels 1, 2, ... in a known data set, from a file beside `path`; or the labels themselves."""
    if known is None or known.class_names is None:
        return list(classes)
    names = read_text(path.parent / known.class_names).split("\n")
    numbered = {str(number): name for number, name in enumerate(names, 1) if name.strip()}
    if unnamed := [label for label in classes if label not in numbered]:
        raise ScratchError(f"{path.parent / known.class_names}: has no name for the label {unnamed[0]!r}")
    return [numbered[label] for label in classes]


def divide(labels: numpy.ndarray, share: float, chance: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The places of the training rows and of the validation rows, in random order.

    The validation set has the given share of each class, and at least one row of it.
    """
    training: list[int] = []
    validation: list[int] = []
    for label in numpy.unique(labels):
        places = numpy.flatnonzero(labels == label).tolist()
        chance.shuffle(places)
        count = max(round(share * len(places)), 1)
        if count >= len(places):
            raise ScratchError(
                f"too few rows: class {label} has {len(places)}, of which the validation set would take {count}; a "
                "smaller --validation_split takes fewer"
            )
        validation += places[:count]
        training += places[count:]
    return numpy.array(training), numpy.array(validation)


class Data(NamedTuple):
    """The two sets, and how their file was read."""

    training: Table
    validation: Table
    classes: list[str]  # the labels as the file has them
    names: list[str]  # the labels as they are shown
    text_column: str
    label_column: str
    path: Path
    digest: str  # of both sets


def load(flags: Any, chance: Any) -> Data:
    """The data named by the flags of a training run."""
    path, known = file_of(flags.data_path, "train")
    text_column = flags.text_column or (known.text_column if known else "SentimentText")
    label_column = flags.label_column or (known.label_column if known else "Sentiment")
    quantise = Quantiser(flags.alphabet, flags.max_length)

    def read(file: Path, classes: list[str] | None) -> Table:
        found = read_table(
            file, text_column, label_column, quantise, flags.steps, flags.encoding, flags.chunksize, flags.max_rows,
            classes,
        )
        if found.num_unreadable:
            print(f"({file.name}: omitted {found.num_unreadable} texts without a character of the alphabet)")
        return found

    table = read(path, None)
    if len(table.classes) < 2:
        raise ScratchError(
            f"{path}: all labels are {table.classes[0]!r}, but a classifier needs at least two classes; does "
            "--label_column name the right column?"
        )
    if flags.number_of_classes not in (None, len(table.classes)):
        raise ScratchError(
            f"--number_of_classes {flags.number_of_classes}: column {label_column!r} has {len(table.classes)} classes: "
            f"{', '.join(table.classes)[:200]}"
        )
    if known is not None and known.validation is not None:
        training, validation = table, read(path.parent / known.validation, table.classes)
    else:
        training, validation = (
            table._replace(ids=table.ids[places], labels=table.labels[places])
            for places in divide(table.labels, flags.validation_split, chance)
        )
    digest = hashlib.sha256()
    for part in (training, validation):
        digest.update(numpy.ascontiguousarray(part.ids))
        digest.update(part.labels)
    names = names_of(table.classes, path, known)
    return Data(training, validation, table.classes, names, text_column, label_column, path, digest.hexdigest())
