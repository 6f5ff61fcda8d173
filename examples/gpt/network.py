"""The network, a `Transformer`, in three recipes; and its loss on a text.

`python examples/gpt train --recipe NAME` chooses a recipe; each of its values has a flag of its own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from gpt.tokens import Tokens

from scratch.backend import to_device
from scratch.bpe import BytePairs
from scratch.checks import ScratchError
from scratch.layer import Layer, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.tools.history import progress
from scratch.tools.schema import SIZE, Maybe, Row, letters
from scratch.tools.weights import load_model, metadata_of, vocabulary_of
from scratch.transformer import Transformer

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "shakespeare_gpt.npz"

# Source: nanoGPT, https://github.com/karpathy/nanoGPT, README.md and config/train_shakespeare_char.py. It trains on the
# first nine tenths of the text, and publishes a loss of 1.88 for its small network, and 1.4697 for the large one.
# Differs: its GELU is the exact one; this is the tanh form, which differs by less than 0.001 and is much faster here.
NANOGPT_CPU = {
    "layers": 4, "heads": 4, "features": 128, "context": 64, "dropout": 0.0, "bias": False, "epochs": 8, "steps": 250,
    "batch_size": 12, "lr": 0.001, "end_lr": 0.0001, "warmup": 100, "beta2": 0.99, "weight_decay": 0.1,
}
RECIPES = {
    "nanogpt-cpu": NANOGPT_CPU,
    "nanogpt-gpu": NANOGPT_CPU | {
        "layers": 6, "heads": 6, "features": 384, "context": 256, "dropout": 0.2, "epochs": 20, "batch_size": 64,
    },
    "better": NANOGPT_CPU | {
        "heads": 6, "features": 192, "context": 128, "dropout": 0.2, "epochs": 40, "batch_size": 32,
        "lr": 0.003, "end_lr": 0.00003, "warmup": 200,
    },
}
SIZES = ("layers", "heads", "features", "context", "bias")  # with the weights, to build it again


def build(
    vocab_size: int, layers: int, heads: int, features: int, context: int, bias: bool, dropout: float = 0.0,
    stateful: bool = False,
) -> Transformer:
    """The network: ids (N, T), T at most context -> scores (N, T, vocab_size)."""
    return Transformer(vocab_size, features, layers, heads, context, dropout, bias, stateful)


def load(path: Path, context: int | None = None, stateful: bool = False) -> tuple[Transformer, Tokens, dict[str, Any]]:
    """The network of trained weights, its tokens and metadata; `context`, if not None, is to replace the learned one.

    Raises: ScratchError when they do not fit, or for a context longer than was learned.
    """
    metadata = metadata_of(
        path, "gpt", vocabulary=letters, pairs=(None, [Row(int, int)]), layers=SIZE, heads=SIZE, features=SIZE,
        context=SIZE, bias=bool, seconds=Maybe(float), train_loss=Maybe(float),
    )
    if context is not None and context > metadata["context"]:
        raise ScratchError(f"--context: these weights have learned {metadata['context']} positions, not {context}")
    try:
        pairs = None if metadata["pairs"] is None else BytePairs(metadata["pairs"])
    except ScratchError as error:
        raise ScratchError(f"{path}: {error}") from None
    tokens = Tokens(vocabulary_of(metadata["vocabulary"], path), pairs)
    sizes = {name: metadata[name] for name in SIZES}
    return load_model(path, lambda: build(tokens.size, **sizes, stateful=stateful)), tokens, metadata


def windows(ids: numpy.ndarray, context: int, overlap: int) -> Iterator[tuple[numpy.ndarray, numpy.ndarray, int]]:
    """A text in windows, the last `overlap` ids of each again in the next: (ids, next ids, how many were in the last).

    Each id but the first is once a next id that was not in the window before.
    """
    start = seen = 0
    while start + seen < len(ids) - 1:
        stop = min(start + context, len(ids) - 1)
        yield ids[start:stop], ids[start + 1 : stop + 1], seen
        start, seen = stop - min(overlap, stop - start), min(overlap, stop - start)


def nats(
    model: Layer, tokens: Tokens, ids: numpy.ndarray, context: int, overlap: int = 0, batch_size: int = 32
) -> float:
    """The mean loss per character on a text, which is read in windows of `context` ids.

    The first ids of a window are hard to predict, as little comes before them. With `overlap`, so many of its ids are
    read again from the last window and only the others count, so that each has at least `overlap` ids before it.
    """
    loss, total = SoftmaxCrossEntropy(), 0.0
    first, *others = windows(ids, context, overlap)
    middle, last = others[:-1], others[-1:]  # those in the middle have the same length, so they make batches
    batches = [middle[k : k + batch_size] for k in range(0, len(middle), batch_size)]
    with evaluating(model):
        for group in progress([[first], *batches, *filter(None, [last])], "reading"):
            seen = group[0][2]
            predicted = model.forward(to_device(numpy.stack([given for given, _, _ in group])))[:, seen:]
            following = numpy.stack([following for _, following, _ in group])[:, seen:]
            total += loss.loss(predicted, to_device(following)) * following.size
    return total / tokens.num_characters(ids[1:])
