"""Tables of texts and labels: CSV files, read in chunks, so that a long file is kept in memory only as ids."""

import codecs
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from char_cnn.texts import Quantiser, cleaned

from scratch.checks import ScratchError
from scratch.tools.history import progress

MAX_CLASSES = 100


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
        for first, texts, some in progress(chunks, "reading"):
            for number, label in enumerate(some, first):
                if not label.strip():
                    raise ScratchError(f"{path}: row {number} has no label in column {label_column!r}")
                if classes is not None and label.strip() not in numbers:
                    raise ScratchError(
                        f"{path}: row {number} has label {label.strip()[:40]!r} in column {label_column!r}, which is "
                        f"none of {', '.join(classes)[:200]}"
                    )
                numbers.setdefault(label.strip(), len(numbers))
            if len(numbers) > MAX_CLASSES:
                raise ScratchError(
                    f"{path}: column {label_column!r} holds more than {MAX_CLASSES} different labels, for instance "
                    f"{some[0][:40]!r}; does --label_column name the right one?"
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
) -> Iterator[tuple[int, list[str], list[str]]]:
    """Of each chunk the number of its first row, the texts and the labels. The first row of a file, its header or not,
    has the number 1."""
    try:
        import pandas
    except ImportError:
        raise ScratchError("reading a table needs pandas: pip install -e '.[data]'") from None
    text_columns = text_column.split("+")
    wanted = [*text_columns, label_column]
    without_header = all(name.isdecimal() for name in wanted)
    try:
        "".encode(encoding)  # raises LookupError also for a codec that is not for text, such as base64
    except LookupError:
        raise ScratchError(f"unknown encoding {encoding!r}") from None
    if not path.is_file() or path.stat().st_size == 0:
        raise ScratchError(f"{path}: {'is empty' if path.is_file() else 'no such file'}; expected a CSV file")
    try:
        options = {
            "encoding": encoding, "dtype": str, "keep_default_na": False, "na_filter": False, "compression": None,
        }
        columns = pandas.read_csv(path, header=None, nrows=1, **options).iloc[0].tolist()
        without_header = without_header and not set(wanted) <= set(columns)
        if without_header:
            columns = [str(number) for number in range(1, len(columns) + 1)]
        if missing := [name for name in wanted if name not in columns]:
            raise ScratchError(
                f"{path}: has no column {missing[0]!r}; there are: {', '.join(columns)[:300]}; choose with "
                "--text_column and --label_column"
            )
        if twice := [name for name in wanted if columns.count(name) > 1]:
            raise ScratchError(f"{path}: has more than one column {twice[0]!r}")
        first = 1 if without_header else 2
        places = [columns.index(name) for name in wanted]
        options |= {"header": None, "skiprows": first - 1, "names": range(len(columns))}
        with pandas.read_csv(path, chunksize=chunksize, nrows=max_rows, **options) as reader:
            for chunk in reader:
                if not isinstance(chunk.index, pandas.RangeIndex):  # pandas makes surplus fields the index
                    raise ScratchError(f"{path}: not a CSV file (its rows have more fields than the first one)")
                texts = [" ".join(row) for row in zip(*(chunk[place] for place in places[:-1]), strict=True)]
                yield first, texts, chunk[places[-1]].tolist()
                first += len(chunk)
    except UnicodeError as error:
        place = _undecodable(path, encoding)
        raise ScratchError(f"{path}: not {encoding} (byte {place}); give --encoding, or save it as UTF-8") from error
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        what = str(error).removeprefix("Error tokenizing data. ").removeprefix("C error: ")
        raise ScratchError(f"{path}: not a CSV file ({what}); is a quotation mark unclosed?") from error


def _undecodable(path: Path, encoding: str) -> int | str:
    """The position of the first byte that cannot be decoded."""
    decoder, place = codecs.getincrementaldecoder(encoding)(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                return place - waiting + error.start
            except UnicodeError:
                return place
            place += len(block)
    return "at its end"
