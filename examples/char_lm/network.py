"""The network that reads characters: their input form, a stack of LSTMs, a score for each possible next character."""

from pathlib import Path
from typing import Any

import numpy

from scratch.backend import Array, as_floats, to_device
from scratch.batching import num_pieces, streams
from scratch.dense import Embedding, Linear
from scratch.functions import one_hot
from scratch.layer import Layer, Sequential, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.recurrent import LSTM, Recurrent
from scratch.regular import Dropout
from scratch.text import Vocabulary
from scratch.tools.history import progress
from scratch.tools.schema import SIZE, Maybe, letters, share
from scratch.tools.weights import load_model, metadata_of, vocabulary_of

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "shakespeare_lstm.npz"
INPUTS = ("one-hot", "id", "embedding")
EMBEDDING_DIM = 32
OPTIONS = {  # arguments of `build` that the metadata of `alice` may hold
    "input": Maybe(INPUTS), "input_dropout": Maybe(share), "stateful": Maybe(bool), "every_step": Maybe(bool),
}


class OneHot(Layer):
    """Ids (N, T) -> rows (N, T, num_ids). Only Dropout needs them: an LSTM takes ids as they are."""

    def __init__(self, num_ids: int) -> None:
        self.num_ids = num_ids

    def forward(self, input: Any) -> Array:
        output = one_hot(input, self.num_ids)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)


class Scaled(Layer):
    """Ids (N, T) -> one number for each, id / num_ids: (N, T, 1). The Keras tutorial's input."""

    def __init__(self, num_ids: int) -> None:
        self.num_ids = num_ids

    def forward(self, input: Any) -> Array:
        output = as_floats(to_device(input)[..., None] / self.num_ids)
        self.remember(output.shape)
        return output

    def backward(self, gradient: Array) -> None:
        self.recall(gradient)


def build(
    vocab_size: int, hidden_dim: int, num_layers: int, dropout: float = 0.0, input: str = "one-hot",
    input_dropout: float = 0.0, stateful: bool = True, every_step: bool = True,
) -> Sequential:
    """LSTMs with Dropout after each: ids (N, T) -> scores (N, T, vocab_size), or (N, vocab_size) of the last step."""
    layers: list[Layer] = []
    width = {"one-hot": vocab_size, "id": 1, "embedding": EMBEDDING_DIM}[input]
    if input == "embedding":
        layers.append(Embedding(vocab_size, EMBEDDING_DIM))
    elif input == "id" or input_dropout:
        layers.append(Scaled(vocab_size) if input == "id" else OneHot(vocab_size))
    if input_dropout:
        layers.append(Dropout(input_dropout))
    for k in range(num_layers):
        layers += [
            LSTM(
                hidden_dim if k else width, hidden_dim, stateful=stateful,
                return_sequences=every_step or k < num_layers - 1,
                input_gradient=k > 0 or bool(layers),
            ),
            Dropout(dropout),
        ]
    return Sequential([*layers, Linear(hidden_dim, vocab_size)])


def load(path: Path, program: str, **schema: Any) -> tuple[Sequential, Vocabulary, dict[str, Any]]:
    """The network, vocabulary and metadata of weights that `program` saved; `schema` describes its own entries.

    Raises: ScratchError when they do not fit.
    """
    metadata = metadata_of(
        path, program, vocabulary=letters, hidden=SIZE, layers=SIZE, train_loss=Maybe(float), seconds=Maybe(float),
        **OPTIONS, **schema,
    )
    vocab = vocabulary_of(metadata["vocabulary"], path)
    options = {name: metadata[name] for name in OPTIONS if name in metadata}
    model = load_model(path, lambda: build(vocab.size, metadata["hidden"], metadata["layers"], **options))
    return model, vocab, metadata


def reset(model: Layer) -> None:
    """Every stateful layer starts from zeros again."""
    for layer in model.all_layers():
        if isinstance(layer, Recurrent):
            layer.reset_hidden_state()


def nats(model: Layer, ids: numpy.ndarray, num_streams: int | None = None, num_steps: int = 200) -> float:
    """The mean loss of a stateful network on a text, the state carried all through it.

    In one stream; a text of more than a million characters is read as a stream for each million, side by side.
    """
    loss, total, count = SoftmaxCrossEntropy(), 0.0, 0
    num_streams = num_streams or 1 + len(ids) // 1_000_000
    reset(model)
    with evaluating(model):
        total_pieces = num_pieces(len(ids), num_streams, num_steps)
        for letters, following in progress(streams(ids, num_streams, num_steps), "reading", total_pieces):
            predicted = model.forward(to_device(letters))
            total += loss.loss(predicted, to_device(following)) * letters.size
            count += letters.size
    reset(model)
    return total / count
