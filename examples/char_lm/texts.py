"""The text, by name or path, and its split into training, validation and held-out sets."""

import os
from pathlib import Path

import numpy

from scratch.checks import ScratchError
from scratch.text import Vocabulary
from scratch.tools.corpus import Corpus, read_corpus
from scratch.tools.datasets import SOURCES, TrainedOn, find, trained_on
from scratch.tools.program import Parser

CORPORA = {  # known by name, and the names of their files, here and there
    "shakespeare": ("input.txt",),
    "aesop": ("pg21.txt", "aesop.txt"),
    "alice": ("wonderland.txt", "pg11.txt", "alice.txt"),
}
DEFAULT = "shakespeare"


def corpus_of(weights: Path, name: str | None, data: Path | None) -> tuple[Path, TrainedOn]:
    """The text to evaluate weights on: that of `name` or `data` where one is given, else their training text."""
    if name is not None:
        path = corpus_file(name, data)
        return path, trained_on(weights, DEFAULT, path)
    origin = trained_on(weights, DEFAULT, data)
    if origin.place is not None and origin.place.is_file():
        return origin.place, origin
    return corpus_file(origin.name, origin.place), origin


def corpus_file(name: str, data: Path | None = None) -> Path:
    """The file of a known corpus, fetched if need be; or `name` itself, a path."""
    if name not in CORPORA or Path(name).is_file():
        return Path(name)
    folder = find(name, data)
    if folder.is_file():
        return folder
    for file in (*CORPORA[name], *SOURCES[name].files):
        if (folder / file).is_file():
            return folder / file
    raise ScratchError(f"{folder}: has no {' or '.join(CORPORA[name])}; to get it, {SOURCES[name].by_hand}")


def read(path: Path, sequence: int, vocab: Vocabulary | None = None, folder: Path | None = None) -> Corpus:
    """The text as ids. Raises: ScratchError as `read_corpus`, or when there is too little to learn from."""
    corpus = read_corpus(path, vocab, folder)
    if len(corpus.ids) < 40 or corpus.vocab.size < 2:
        raise ScratchError(f"{path}: expected a text of at least 40 characters, two of them distinct")
    if len(corpus.ids) <= sequence:
        raise ScratchError(f"{path}: its {len(corpus.ids)} characters are too few for --sequence {sequence}")
    return corpus


def split(ids: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """The training set, the validation set (the first twentieth), and the held-out set (the last tenth).

    The two small ones are at the two ends, so that the training set reaches up to the held-out set: a text goes on with
    the names that it has just introduced.
    """
    first, second = len(ids) // 20, len(ids) * 9 // 10
    return ids[first:second], ids[:first], ids[second:]


def add_text(parser: Parser, default: str | None = DEFAULT) -> None:
    """Add the argument TEXT; with `default` None, it defaults to the text that the weights were trained on."""
    parser.add_argument(
        "text", nargs="?", type=os.fspath, default=default, metavar="TEXT",
        help=f"a UTF-8 text file, or one of: {', '.join(CORPORA)} (default: {default or 'the training text'})",
    )
