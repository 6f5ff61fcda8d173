"""The three recipes: the sizes of a network, which `char_lm` builds, and how it is trained.

`python examples/alice train --recipe NAME` chooses one; each of its values has a flag of its own.
"""

from argparse import Namespace
from pathlib import Path
from typing import Any

from char_lm import network as char_lm

from scratch.layer import Sequential
from scratch.text import Vocabulary
from scratch.tools.schema import SIZE, Maybe, is_text

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "alice_lstm.npz"
TUTORIAL = {
    "layers": 1, "hidden": 256, "input": "id", "sequence": 100, "every_step": False, "stateful": False,
    "sentences": False, "dropout": 0.2, "input_dropout": 0.0, "epochs": 20, "batch_size": 128, "lr": 0.001,
    "decay": False, "punctuation": True,
}
RECIPES = {
    "small": TUTORIAL,
    "large": TUTORIAL | {"layers": 2, "epochs": 50, "batch_size": 64},
    "better": TUTORIAL | {
        "layers": 2, "input": "one-hot", "sequence": 50, "every_step": True, "stateful": True, "dropout": 0.1,
        "epochs": 40, "batch_size": 32, "lr": 0.004, "decay": True,
    },
}
SAVED = ("hidden", "layers", "input", "input_dropout", "stateful", "every_step")  # with the weights, to build it again


def build(vocab_size: int, flags: Namespace) -> Sequential:
    """The network that the flags describe."""
    return char_lm.build(
        vocab_size, flags.hidden, flags.layers, flags.dropout, flags.input, flags.input_dropout, flags.stateful,
        flags.every_step,
    )


def load(path: Path) -> tuple[Sequential, Vocabulary, dict[str, Any]]:
    """Network, vocabulary and metadata of trained weights. Raises: ScratchError when they do not fit."""
    settings = {"punctuation": Maybe(bool)}
    return char_lm.load(path, "alice", window=(None, SIZE), seeds=some_texts, settings=settings)


def some_texts(value: Any) -> bool:
    """a list of at least one text"""
    return isinstance(value, list) and len(value) > 0 and all(isinstance(text, str) and is_text(text) for text in value)
