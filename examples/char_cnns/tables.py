"""Tables of texts and labels: CSV files, read a piece at a time, so that only numbers of a long one stay in memory."""

import codecs
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from char_cnns.texts import Quantiser, cleaned

from scratch.checks import ScratchError
from scratch.tools.datasets import find

MAX_CLASSES = 100


class Known(NamedTuple):
    """A data set that is known by name: its files, and which columns there are what."""

    train: tuple[str, ...]  # the first that is there
    choose: str | None
    test: str
    text_column: str
    label_column: str
    class_names: str | None  # a file of them, a line each, for labels 1, 2, ...


KNOWN = {
    "ag_news_csv": Known(("train.csv", "train_subset20000.csv"), None, "test.csv", "2+3", "1", "classes.txt"),
    "french_reviews": Known(("train.csv",), "val.csv", "test.csv", "review", "polarity", None),
}


class Table(NamedTuple):
    """The rows of a file: texts as ids (N, length), labels (N,) as numbers of `classes`, and what was left out."""

    ids: numpy.ndarray
    labels: numpy.ndarray
    classes: list[str]
    num_unreadable: int  # rows without a known character


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
    """What a known data set calls its labels 1, 2, ..., in a file beside that at `path`; or the labels themselves."""
    if known is None or known.class_names is None:
        return list(classes)
    names = (path.parent / known.class_names).read_text(encoding="utf-8").splitlines()
    return [names[int(label) - 1] for label in classes]


def read_table(
    path: Path, text_column: str, label_column: str, quantise: Quantiser, steps: Sequence[str], encoding: str = "utf-8",
    chunksize: int = 50_000, max_rows: int | None = None, classes: Sequence[str] | None = None,
) -> Table:
    """The rows of a CSV file. A column is a name of the header; or, in a file without one, a number from 1 on. Texts in
    several columns are joined: "title+description".

    With `classes`, the labels are those, and another one is refused; otherwise they are what there is, numbers by size.
    Raises: ScratchError for a file that cannot be read so, and says where.
    """
    numbers = {label: number for number, label in enumerate(classes or ())}
    parts, labels, unreadable = [], [], 0
    with closing(read_rows(path, text_column, label_column, encoding, chunksize, max_rows)) as chunks:
        for first, texts, some in chunks:
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
                    f"{some[0][:40]!r}; is it the right column?"
                )
            ids = quantise([cleaned(text, steps) for text in texts])
            readable = (ids >= 0).any(axis=1)
            unreadable += int((~readable).sum())
            parts.append(ids[readable])
            labels.append(numpy.array([numbers[label.strip()] for label in some])[readable])
    if not sum(map(len, parts)):
        raise ScratchError(f"{path}: has no row with a character that is in the alphabet")
    found = numpy.concatenate(labels)
    if classes is None:  # those of the rows that are left, in order
        first_seen = list(numbers)
        classes = sorted((first_seen[number] for number in numpy.unique(found)), key=_order)
        order = numpy.zeros(len(numbers), dtype=numpy.int64)
        order[[numbers[label] for label in classes]] = range(len(classes))
        found = order[found]
    return Table(numpy.concatenate(parts), found, list(classes), unreadable)


def _order(label: str) -> tuple[Any, ...]:
    """Numbers by size, then words."""
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    return (0, number, label) if math.isfinite(number) else (1, 0.0, label)


def read_rows(
    path: Path, text_column: str, label_column: str, encoding: str, chunksize: int, max_rows: int | None
) -> Iterator[tuple[int, list[str], list[str]]]:
    """The number of the first row (the file's first, a header too, is 1), texts, and labels of each piece."""
    try:
        import pandas
    except ImportError:
        raise ScratchError("to read a table takes pip install -e '.[data]'") from None
    text_columns = text_column.split("+")
    wanted = [*text_columns, label_column]
    without_header = all(name.isdecimal() for name in wanted)
    try:
        "".encode(encoding)  # which also says whether it is one of texts
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
            raise ScratchError(f"{path}: has no column {missing[0]!r}; there are: {', '.join(columns)[:300]}")
        if twice := [name for name in wanted if columns.count(name) > 1]:
            raise ScratchError(f"{path}: has more than one column {twice[0]!r}")
        first = 1 if without_header else 2
        places = [columns.index(name) for name in wanted]
        options |= {"header": None, "skiprows": first - 1, "names": range(len(columns))}
        with pandas.read_csv(path, chunksize=chunksize, nrows=max_rows, **options) as reader:
            for chunk in reader:
                if not isinstance(chunk.index, pandas.RangeIndex):  # which takes in what is beyond the first columns
                    raise ScratchError(f"{path}: not a CSV file (its rows have more fields than the first one)")
                texts = [" ".join(row) for row in zip(*(chunk[place] for place in places[:-1]), strict=True)]
                yield first, texts, chunk[places[-1]].tolist()
                first += len(chunk)
    except UnicodeError as error:
        place = _undecodable(path, encoding)
        raise ScratchError(f"{path}: not {encoding} (byte {place}); give --encoding, or save it as UTF-8") from error
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        what = str(error).removeprefix("Error tokenizing data. ").removeprefix("C error: ")
        raise ScratchError(f"{path}: not a CSV file ({what}); is a quotation mark open?") from error


def _undecodable(path: Path, encoding: str) -> int | str:
    """The place of the first byte that is not of `encoding`."""
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


def divide(labels: numpy.ndarray, share: float, chance: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The places of rows to learn from and to choose by, of each class its share, at least one; in random order."""
    learn: list[int] = []
    choose: list[int] = []
    for label in numpy.unique(labels):
        places = numpy.flatnonzero(labels == label).tolist()
        chance.shuffle(places)
        count = max(round(share * len(places)), 1)
        if count >= len(places):
            raise ScratchError(f"too few rows: of class {label} there are {len(places)}, with {count} to choose by")
        choose += places[:count]
        learn += places[count:]
    return numpy.array(learn), numpy.array(choose)


class Data(NamedTuple):
    """What a network is trained on, and by what its best epoch is chosen."""

    learn: Table
    choose: Table
    classes: list[str]  # as the labels stand in the file
    names: list[str]  # as they are shown
    text_column: str
    label_column: str
    path: Path
    digest: str  # of all that is learned from or chosen by


def load(flags: Any, chance: Any) -> Data:
    """The data that the flags of a training name."""
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
            print(f"({file.name}: left out {found.num_unreadable} texts without a character of the alphabet)")
        return found

    table = read(path, None)
    if len(table.classes) < 2:
        raise ScratchError(f"{path}: all labels are {table.classes[0]!r}; to tell classes apart takes two or more")
    if flags.number_of_classes not in (None, len(table.classes)):
        raise ScratchError(
            f"--number_of_classes {flags.number_of_classes}: column {label_column!r} has {len(table.classes)}: "
            f"{', '.join(table.classes)[:200]}"
        )
    if known is not None and known.choose is not None:
        learn, choose = table, read(path.parent / known.choose, table.classes)
    else:
        learn, choose = (
            table._replace(ids=table.ids[places], labels=table.labels[places])
            for places in divide(table.labels, flags.validation_split, chance)
        )
    digest = hashlib.sha256()
    for part in (learn, choose):
        digest.update(numpy.ascontiguousarray(part.ids))
        digest.update(part.labels)
    names = names_of(table.classes, path, known)
    return Data(learn, choose, table.classes, names, text_column, label_column, path, digest.hexdigest())
