"""Tables of texts and labels: CSV files, read in chunks, so that a long file is kept in memory only as ids."""

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from char_cnn.texts import Quantiser, cleaned

from scratch.checks import ScratchError
from scratch.tools.history import progress
from scratch.tools.incoming import lines, opened, pieces

MAX_CLASSES, LONGEST_LABEL = 100, 200
_LONGEST_FIELD = 2**24  # characters


class Table(NamedTuple):
    """The rows of a file: texts as ids (N, length), and labels (N,) as numbers of `classes`."""

    ids: numpy.ndarray
    labels: numpy.ndarray
    classes: list[str]
    num_unreadable: int  # rows that were left out, having no character of the alphabet


def read_table(
    path: Path, text_column: str, label_column: str, quantise: Quantiser, steps: Sequence[str], encoding: str = "utf-8",
    chunksize: int = 50_000, max_rows: int | None = None, classes: Sequence[str] | None = None,
) -> Table:
    """The rows of a CSV file. A column is a name of the header, or, in a file without a header, a number from 1 on.
    Several text columns are joined: "title+description".

    With `classes`, any other label is rejected; without, the classes are the labels found, numbers sorted by size.
    Raises: ScratchError when the file cannot be read as such a table, with the place.
    """
    numbers = {label: number for number, label in enumerate(classes or ())}
    parts, labels, unreadable = [], [], 0
    with closing(read_rows(path, text_column, label_column, encoding, chunksize, max_rows)) as chunks:
        for rows, texts, some in progress(chunks, "reading"):
            for number, label in zip(rows, some, strict=True):
                if not label.strip():
                    raise ScratchError(f"{path}: row {number} has no label in column {label_column!r}")
                if len(label) > LONGEST_LABEL:
                    raise ScratchError(
                        f"{path}: row {number} has a label of {len(label)} characters in column {label_column!r}; is "
                        "it the right column?"
                    )
                if classes is not None and label.strip() not in numbers:
                    raise ScratchError(
                        f"{path}: row {number} has label {label.strip()[:40]!r} in column {label_column!r}, which is "
                        f"none of {', '.join(classes)[:200]}"
                    )
                numbers.setdefault(label.strip(), len(numbers))
            if len(numbers) > MAX_CLASSES:
                raise ScratchError(
                    f"{path}: column {label_column!r} has more than {MAX_CLASSES} different labels, for instance "
                    f"{some[0][:40]!r}; does --label_column name the right column?"
                )
            ids = quantise([cleaned(text, steps) for text in texts])
            readable = (ids >= 0).any(axis=1)
            unreadable += int((~readable).sum())
            parts.append(ids[readable])
            labels.append(numpy.array([numbers[label.strip()] for label in some])[readable])
    if not sum(map(len, parts)):
        raise ScratchError(f"{path}: has no row with a character of the alphabet")
    found = numpy.concatenate(labels)
    if classes is None:  # sort those of the readable rows
        first_seen = list(numbers)
        classes = sorted((first_seen[number] for number in numpy.unique(found)), key=_order)
        order = numpy.zeros(len(numbers), dtype=numpy.int64)
        order[[numbers[label] for label in classes]] = range(len(classes))
        found = order[found]
    return Table(numpy.concatenate(parts), found, list(classes), unreadable)


def _order(label: str) -> tuple[Any, ...]:
    """The sort key of a label: numbers by size, then words."""
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return (0, number, label) if math.isfinite(number) else (1, 0.0, label)


def read_rows(
    path: Path, text_column: str, label_column: str, encoding: str, chunksize: int, max_rows: int | None
) -> Iterator[tuple[list[int], list[str], list[str]]]:
    """Yield the row numbers, the texts and the labels of each chunk.

    A row's number is that of the line on which it begins; empty lines count, as in an editor.
    """
    texts, wanted = text_column.split("+"), [*text_column.split("+"), label_column]
    with opened(path) as file:
        rows = _numbered(path, lines(pieces(file, path, encoding, hint="give --encoding, or save it as UTF-8"), path))
        number, columns = next(rows, (0, []))
        if not columns:
            raise ScratchError(f"{path}: is empty; expected a CSV file")
        if all(name.isdecimal() for name in wanted) and not set(wanted) <= set(columns):  # it has no header
            rows = chain([(number, columns)], rows)
            columns = [str(number) for number in range(1, len(columns) + 1)]
        if missing := [name for name in wanted if name not in columns]:
            raise ScratchError(
                f"{path}: has no column {missing[0]!r}; there are: {', '.join(columns)[:300]}; choose with "
                "--text_column and --label_column"
            )
        if twice := [name for name in wanted if columns.count(name) > 1]:
            raise ScratchError(f"{path}: has more than one column {twice[0]!r}")
        places, label_place = [columns.index(name) for name in texts], columns.index(label_column)
        rows = islice(rows, max_rows)
        while chunk := list(islice(rows, chunksize)):
            for number, row in chunk:
                if len(row) > len(columns):
                    raise ScratchError(
                        f"{path}: not a CSV file (line {number} has {len(row)} fields, the first {len(columns)}); is a "
                        "quotation mark unclosed?"
                    )
                row += [""] * (len(columns) - len(row))
            yield (
                [number for number, _ in chunk], [" ".join(row[place] for place in places) for _, row in chunk],
                [row[label_place] for _, row in chunk],
            )


def _numbered(path: Path, of_file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield, for each row of a CSV file, the number of its first line and its fields; blank lines are skipped."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(of_file, strict=True)
    number = 1
    try:
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise ScratchError(f"{path}: not a CSV file (line {number}: {error}); is a quotation mark unclosed?") from None
