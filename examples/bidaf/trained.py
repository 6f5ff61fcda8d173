"""A network that has learned, with the words that it knows, on disk."""

from pathlib import Path
from typing import Any

import numpy
from bidaf.network import ATTENTIONS, Reader
from bidaf.squad import Squad, Text
from bidaf.words import CHARACTER_DIM, WINDOW, Lexicon, WordVectors, alphabet_of, as_known

from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.text import read_glove
from scratch.tools.files import read_arrays, write_arrays
from scratch.tools.weights import check_names, fill, metadata_of

WEIGHTS = Path(__file__).resolve().parent.parent.parent / "weights" / "bidaf_fast.npz"
LARGEST = 4096  # of any number that a file of weights may claim, so that it cannot claim all memory


def texts_of(*squads: Squad) -> list[Text]:
    """The paragraphs and the questions."""
    return [text for squad in squads for text in (*squad.contexts, *(question.asked for question in squad.questions))]


def lexicon_of(*squads: Squad, glove: Path | None, word_length: int) -> Lexicon:
    """All words of the paragraphs and questions, with GloVe's vectors of those that it has, if there is one."""
    texts = texts_of(*squads)
    words = dict.fromkeys(word for text in texts for word in text.words)
    known, vectors = list(words), numpy.zeros((len(words), 1), dtype=numpy.float32)
    if glove is not None:
        known, vectors = read_glove(glove, {as_known(word) for word in words})
    return Lexicon(words, known, vectors, alphabet_of(word for text in texts for word in text.words), word_length)


def build(lexicon: Lexicon, sizes: dict[str, Any]) -> Reader:
    words = WordVectors(lexicon, sizes["features"])
    return Reader(words, sizes["hidden"], sizes["modelling"], sizes["dropout"], sizes["attention"])


def save(path: Path, model: Reader, lexicon: Lexicon, known: dict[str, Any]) -> None:
    """The parameters, and the words with their vectors, without which they would be of no use."""
    arrays = {p.name: to_host(p.data) for p in model.parameters()} | {"lexicon.vectors": lexicon.vectors}
    words = {"program": "bidaf", "words": lexicon.words, "alphabet": lexicon.alphabet, "word_length": lexicon.length}
    write_arrays(path, arrays, words | known)


def load(path: Path, *more: Text) -> tuple[Reader, Lexicon, dict[str, Any]]:
    """The model in a file of weights, its words and those of `more` texts, and what else stands there."""
    sizes = "word_length", "hidden", "features", "modelling", "context_words", "asked_words"
    known = metadata_of(
        path, "bidaf", words=list, alphabet=str, whole=bool, dropout=float, attention=str, spans=str,
        **dict.fromkeys(sizes, int),
    )
    arrays, _ = read_arrays(path)
    # Of what is built to the sizes that the file claims, the largest arrays must be in it.
    held, hidden, features = {array.size for array in arrays.values()}, known["hidden"], known["features"]
    right = all(0 <= known[size] <= LARGEST for size in sizes) and known["modelling"] <= 3
    right = right and 4 * hidden**2 in held and (features == 0 or features * WINDOW * CHARACTER_DIM in held)
    if not right or known["attention"] not in ATTENTIONS:
        raise ScratchError(f"{path}: not the sizes of a network of this program")
    vectors = arrays.pop("lexicon.vectors", numpy.zeros(0))
    if vectors.ndim != 2 or len(vectors) != len(known["words"]) or not all(isinstance(w, str) for w in known["words"]):
        raise ScratchError(f"{path}: its words do not fit its vectors")
    vectors = vectors.astype(numpy.float32)
    if not numpy.isfinite(vectors).all():
        raise ScratchError(f"{path}: its vectors are not all finite")
    lexicon = Lexicon(known["words"], known["words"], vectors, known["alphabet"], known["word_length"])
    lexicon = lexicon.with_more(word for text in more for word in text.words)
    model = build(lexicon, known)
    parameters = model.parameters()
    check_names(path, parameters, {name: array.shape for name, array in arrays.items()})
    fill(path, parameters, [arrays[p.name] for p in parameters])
    return model, lexicon, known
