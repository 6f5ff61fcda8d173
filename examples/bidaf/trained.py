"""A weights file: a trained network together with the words it knows and their vectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from bidaf.examples import SPANS
from bidaf.network import ATTENTIONS, Reader
from bidaf.squad import Squad, Text
from bidaf.words import LONGEST_WORD, Lexicon, WordVectors, alphabet_of

from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.layer import Layer
from scratch.text import as_known
from scratch.tools.datasets import read_glove
from scratch.tools.files import read_arrays, write_arrays
from scratch.tools.schema import SIZE, alphabet, share
from scratch.tools.weights import as_type, check_names, fill, metadata_of, no_larger_than

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "bidaf_fast.npz"
SCHEMA = {  # of the metadata
    "words": [str], "alphabet": alphabet, "word_length": range(1, LONGEST_WORD + 1), "whole": bool, "hidden": SIZE,
    "features": range(SIZE[-1] + 1), "modelling": range(4), "dropout": share, "attention": tuple(ATTENTIONS),
    "spans": SPANS, "context_words": SIZE, "asked_words": SIZE,
}


def texts_of(*squads: Squad) -> list[Text]:
    """The paragraphs and the questions."""
    return [text for squad in squads for text in (*squad.contexts, *(question.asked for question in squad.questions))]


def lexicon_of(*squads: Squad, glove: Path | None, word_length: int) -> Lexicon:
    """All words of the paragraphs and questions, with GloVe's vectors of those that it has, if a file is given."""
    texts = texts_of(*squads)
    words = dict.fromkeys(word for text in texts for word in text.words)
    known, vectors = list(words), numpy.zeros((len(words), 1), dtype=numpy.float32)
    if glove is not None:
        known, vectors = read_glove(glove, {as_known(word) for word in words})
    return Lexicon(words, known, vectors, alphabet_of(word for text in texts for word in text.words), word_length)


def build(lexicon: Lexicon, sizes: Mapping[str, Any]) -> Reader:
    words = WordVectors(lexicon, sizes["features"])
    return Reader(words, sizes["hidden"], sizes["modelling"], sizes["dropout"], sizes["attention"])


def save(lexicon: Lexicon, model: Layer, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write the parameters, and the words with their vectors, which the network needs."""
    arrays = {name: to_host(p.data) for name, p in model.named_parameters().items()}
    words = {"program": "bidaf", "words": lexicon.words, "alphabet": lexicon.alphabet, "word_length": lexicon.length}
    write_arrays(path, arrays | {"lexicon.vectors": lexicon.vectors}, {**metadata, **words})


def load(path: Path, *more: Text) -> tuple[Reader, Lexicon, dict[str, Any]]:
    """The network of a weights file, its lexicon with the words of `more` texts, and its metadata."""
    metadata = metadata_of(path, "bidaf", **SCHEMA)
    arrays, _ = read_arrays(path)
    vectors = vectors_of(path, arrays, "lexicon.vectors", metadata["words"])
    lexicon = Lexicon(metadata["words"], metadata["words"], vectors, metadata["alphabet"], metadata["word_length"])
    lexicon = lexicon.with_more(word for text in more for word in text.words)
    shapes = {name: array.shape for name, array in arrays.items()}
    with no_larger_than(path, shapes):
        model = build(lexicon, metadata)
    parameters = model.named_parameters()
    check_names(path, parameters, shapes)
    fill(path, parameters, [arrays[name] for name in parameters])
    return model, lexicon, metadata


def vectors_of(path: Path, arrays: dict[str, numpy.ndarray], name: str, words: Sequence[str]) -> numpy.ndarray:
    """Remove the array `name` from `arrays` and return it as the vectors of `words`. Raises: ScratchError."""
    vectors = arrays.pop(name, numpy.zeros(0))
    if vectors.ndim != 2 or len(vectors) != len(words):
        raise ScratchError(f"{path}: expected {len(words)} vectors in {name}, got an array of shape {vectors.shape}")
    return as_type(path, name, vectors, numpy.float32)
