"""A weights file: a trained network together with the words it knows and their vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
from bidaf.network import ATTENTIONS, Reader
from bidaf.squad import Squad, Text
from bidaf.words import CHARACTER_DIM, WINDOW, Lexicon, WordVectors, alphabet_of

from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.layer import Layer
from scratch.text import as_known
from scratch.tools.datasets import read_glove
from scratch.tools.files import read_arrays, write_arrays
from scratch.tools.weights import check_names, fill, metadata_of

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "bidaf_fast.npz"
LARGEST = 4096  # the limit of each size in a weights file: a damaged file must not claim all memory


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
    sizes = "word_length", "hidden", "features", "modelling", "context_words", "asked_words"
    metadata = metadata_of(
        path, "bidaf", words=list, alphabet=str, whole=bool, dropout=float, attention=str, spans=str,
        **dict.fromkeys(sizes, int),
    )
    arrays, _ = read_arrays(path)
    # Before a network of the claimed sizes is built: the file must hold its largest arrays.
    found, hidden, features = {array.size for array in arrays.values()}, metadata["hidden"], metadata["features"]
    right = all(0 <= metadata[size] <= LARGEST for size in sizes) and metadata["modelling"] <= 3
    right = right and 4 * hidden**2 in found and (features == 0 or features * WINDOW * CHARACTER_DIM in found)
    if not right or metadata["attention"] not in ATTENTIONS:
        raise ScratchError(f"{path}: not the sizes of a network of this program")
    words, vectors = metadata["words"], arrays.pop("lexicon.vectors", numpy.zeros(0))
    if vectors.ndim != 2 or len(vectors) != len(words) or not all(isinstance(word, str) for word in words):
        raise ScratchError(f"{path}: its words do not fit its vectors")
    vectors = vectors.astype(numpy.float32)
    if not numpy.isfinite(vectors).all():
        raise ScratchError(f"{path}: its vectors are not all finite")
    lexicon = Lexicon(words, words, vectors, metadata["alphabet"], metadata["word_length"])
    lexicon = lexicon.with_more(word for text in more for word in text.words)
    model = build(lexicon, metadata)
    parameters = model.named_parameters()
    check_names(path, parameters, {name: array.shape for name, array in arrays.items()})
    fill(path, parameters, [arrays[name] for name in parameters])
    return model, lexicon, metadata
