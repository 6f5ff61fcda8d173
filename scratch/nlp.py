"""The names of *Data Science from Scratch*, chapter 21, imported from the chapters that define them.

    from scratch.nlp import Vocabulary, SimpleRnn, sample_from

GRU and LSTM can replace SimpleRnn without any other change.
"""

from scratch.backend import Array
from scratch.dense import Embedding
from scratch.functions import sample_from
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.text import Vocabulary
from scratch.tools.weights import load_vocab, save_vocab

__all__ = [
    "GRU", "LSTM", "Embedding", "SimpleRnn", "TextEmbedding", "Vocabulary", "load_vocab", "sample_from", "save_vocab",
]


class TextEmbedding(Embedding):
    """An Embedding whose vectors are read by word: embedding["word"], or None for an unknown word.

    Shapes: integers (...) -> (..., embedding_dim).
    Parameters: w (vocab.size, embedding_dim).
    """

    def __init__(self, vocab: Vocabulary, embedding_dim: int) -> None:
        super().__init__(vocab.size, embedding_dim)
        self.vocab = vocab

    __iter__ = None  # or Python would look for the words 0, 1, 2, ... without end

    def __contains__(self, word: str) -> bool:
        return self.vocab.get_id(word) is not None

    def __getitem__(self, word: str) -> Array | None:
        word_id = self.vocab.get_id(word)
        return None if word_id is None else self.embeddings[word_id]
