"""From texts to the probabilities of the labels: the reader that makes ids of texts, and the network it feeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from char_cnn.network import summary
from movie_reviews.network import KINDS, build
from movie_reviews.phrases import LABELS, SPLITS, Characters, Phrase, Words

from scratch.backend import to_host
from scratch.functions import log_softmax
from scratch.layer import Layer, Sequential, evaluating
from scratch.tools.history import progress
from scratch.tools.program import Parser
from scratch.tools.schema import SIZE, alphabet, check, vocabulary
from scratch.tools.scores import count_confusions
from scratch.tools.weights import load_model, metadata_of, vocabulary_of

WORDS = {"vocabulary": vocabulary, "dim": SIZE, "hidden": SIZE}  # in the metadata of networks that read words
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def reader_of(known: dict[str, Any]) -> Words | Characters:
    """The reader that `known`, the metadata of weights, describes."""
    if known["model"] == "characters":
        return Characters(known["alphabet"], known["length"])
    return Words(vocabulary_of(known["vocabulary"], "the weights"))


def network_of(known: dict[str, Any], dropout: float = 0.0) -> Layer:
    """The network that `known`, the metadata of weights, describes."""
    if known["model"] == "characters":
        sizes = {"num_characters": len(known["alphabet"]), "length": known["length"]}
    else:
        sizes = {"num_words": len(known["vocabulary"]), "dim": known["dim"], "hidden": known["hidden"]}
    return build(known["model"], sizes | {"dropout": dropout}, len(LABELS))


def log_probabilities(
    model: Layer, reader: Words | Characters, rows: Sequence[Sequence[int]], batch_size: int = 256
) -> numpy.ndarray:
    """The logarithm of each label's probability for each text, encoded by `reader`: (N, 5), on the host."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))  # similar lengths together: less padding
    found = numpy.empty((len(rows), len(LABELS)), dtype=numpy.float32)
    with evaluating(model):
        for start in progress(range(0, len(rows), batch_size), "reading"):
            places = order[start : start + batch_size]
            ids, mask = reader.batch([rows[place] for place in places])
            found[places] = to_host(log_softmax(model.forward(ids, **mask)))
    return found


def confusions(model: Layer, reader: Words | Characters, phrases: Sequence[Phrase]) -> numpy.ndarray:
    guesses = log_probabilities(model, reader, reader.encode([phrase.text for phrase in phrases])).argmax(axis=1)
    return count_confusions([phrase.label for phrase in phrases], guesses, len(LABELS))


def print_summary(model: Layer, length: int | None) -> None:
    """Print the shapes in a network of convolutions for texts of `length`, or the parameters of another network."""
    if isinstance(model, Sequential) and length is not None:
        print("\n".join(summary(model, length)))
        return
    for name, p in model.named_parameters().items():
        print(f"{name:46} {' x '.join(map(str, p.data.shape)):>14} {p.data.size:>12,}")


def load(path: Path) -> tuple[Words | Characters, Layer, dict[str, Any]]:
    """The reader and the network of the weights at `path`, and their metadata. Raises: ScratchError unless they fit."""
    known = metadata_of(path, "movie_reviews", model=KINDS, split=SPLITS)
    check(known, {"alphabet": alphabet, "length": SIZE} if known["model"] == "characters" else WORDS, path)
    return reader_of(known), load_model(path, lambda: network_of(known)), known


def committed(model: str, split: str) -> Path:
    """The weights that come with the project."""
    return WEIGHTS / f"reviews_{model}_{split}.npz"


def add_model(parser: Parser) -> None:
    """Add the flags that choose a network."""
    parser.add_argument("--model", choices=KINDS, default="glove", help="network: glove (default), characters or lstm")
    parser.add_argument(
        "--split", choices=SPLITS, default="phrase", help="hold out single phrases (default) or whole sentences"
    )
    parser.add_argument(
        "--summary", action="store_true", help="only print the layers, or the parameters, with their shapes"
    )
