"""From texts to the probabilities of the labels: the reader that makes ids of texts, and the network it feeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from char_cnn.network import fits, summary
from movie_reviews.network import CHARACTERS, KINDS, build
from movie_reviews.phrases import LABELS, SPLITS, Characters, Phrase, Words

from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.functions import log_softmax
from scratch.layer import Layer, Sequential, evaluating
from scratch.tools.files import read_shapes
from scratch.tools.history import progress
from scratch.tools.program import Parser
from scratch.tools.scores import count_confusions
from scratch.tools.weights import load_weights, metadata_of, vocabulary_of

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def reader_and_network(known: dict[str, Any], dropout: float = 0.0) -> tuple[Words | Characters, Layer]:
    """The reader and the network that `known`, the metadata of weights, describes."""
    sizes: dict[str, Any]
    reader: Words | Characters
    if known["model"] == "characters":
        reader = Characters(known["alphabet"], known["length"])
        sizes = {"num_characters": len(known["alphabet"]), "length": known["length"]}
    else:
        vocab = vocabulary_of(known["vocabulary"], "the weights")
        reader, sizes = Words(vocab), {"num_words": vocab.size, "dim": known["dim"], "hidden": known["hidden"]}
    return reader, build(known["model"], sizes | {"dropout": dropout}, len(LABELS))


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
    kinds = {"model": str, "split": str}
    known = metadata_of(path, "movie_reviews", **kinds)
    if known["model"] not in KINDS or known["split"] not in SPLITS:
        raise ScratchError(f"{path}: its metadata do not fit its network")
    shapes = read_shapes(path)
    if known["model"] == "characters":
        known = metadata_of(path, "movie_reviews", **kinds, alphabet=str, length=int)
        right = fits(shapes, CHARACTERS, len(known["alphabet"]), known["length"], len(LABELS))
        right = right and known["length"] <= 1_000_000
    else:
        known = metadata_of(path, "movie_reviews", **kinds, vocabulary=dict, dim=int, hidden=int)
        dim, hidden = known["dim"], known["hidden"]
        wanted = {"embedding.w": (len(known["vocabulary"]), dim)}
        if known["model"] == "lstm":
            wanted["lstm.directions.forward.u"] = (4 * hidden, hidden)
        else:
            wanted["classifier.layers.0.w"] = (hidden, dim)
        right = wanted.items() <= shapes.items()
    # The sizes that the metadata claim are compared with the arrays before a network is built.
    if not right:
        raise ScratchError(f"{path}: its metadata do not fit its network")
    reader, model = reader_and_network(known)
    load_weights(model, path)
    return reader, model, known


def committed(model: str, split: str) -> Path:
    """The weights that come with the project."""
    return WEIGHTS / f"reviews_{model}_{split}.npz"


def add_model(parser: Parser) -> None:
    """Add the flags that choose a network."""
    parser.add_argument("--model", choices=KINDS, default="glove", help="glove (default), characters or lstm")
    parser.add_argument("--split", choices=SPLITS, default="phrase", help="what is held out (default: phrase)")
    parser.add_argument("--summary", action="store_true", help="only print the layers or parameters and their shapes")
