"""`python examples/alice evaluate`: the loss of trained weights on the text they were trained on."""

import hashlib
import math
from pathlib import Path

import numpy
from alice.book import read_book
from alice.network import WEIGHTS, load
from char_lm.network import nats

from scratch.backend import to_device
from scratch.batching import windows
from scratch.fast import fast
from scratch.layer import Layer, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.tools import program
from scratch.tools.datasets import trained_on
from scratch.tools.history import progress

BATCH_SIZE = 256


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on the text they were trained on.", prog="alice evaluate")
    parser.add_argument(
        "text", nargs="?", type=Path, metavar="TEXT", help="a UTF-8 text file to use instead of the book"
    )
    parser.common(data=None, weights=WEIGHTS, device=None, plain=False, report=None, smoke=False)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, vocab, metadata = load(flags.weights)
    model = model if flags.plain else fast(model)
    window, trained = metadata["window"], metadata.get("train_loss")
    flags.sequence, flags.punctuation = window or 1, metadata["settings"].get("punctuation", True)
    origin = None if flags.smoke else trained_on(flags.weights, "alice", flags.text or flags.data)
    if origin is not None:
        of_book = flags.text is None and metadata.get("is_book", True)
        flags.data, flags.text = (origin.place, None) if of_book else (None, origin.place)
    program.writable_file(flags.report, flags.weights, flags.data, flags.text)
    text = read_book(flags)
    if origin is not None:
        origin.expect(hashlib.sha256(text.encode()).hexdigest())
    ids = numpy.array(vocab.encode(text), dtype=numpy.int32)
    value = nats(model, ids, min(16, len(ids) - 1)) if window is None else window_nats(model, ids, window)
    print(
        f"{len(text)} characters: {value:.4f} nats each ({value / math.log(2):.4f} bits); chance is "
        f"{math.log(vocab.size):.3f} nats" + ("" if trained is None else f"; in training, with dropout: {trained:.4f}")
    )
    program.write_report(flags.report, {"nats_per_character": value, "train_loss": trained})


def window_nats(model: Layer, ids: numpy.ndarray, window: int) -> float:
    """The mean loss of the character after each full window, of a network that carries no state."""
    inputs, following = windows(ids, window)
    loss, total = SoftmaxCrossEntropy(), 0.0
    with evaluating(model):
        for start in progress(range(0, len(following), BATCH_SIZE), "reading"):
            predicted = model.forward(to_device(numpy.array(inputs[start : start + BATCH_SIZE])))
            predicted = predicted if predicted.ndim == 2 else predicted[:, -1]  # the last of a prediction at every step
            actual = following[start : start + BATCH_SIZE]
            total += loss.loss(predicted, to_device(actual)) * len(actual)
    return total / len(following)
