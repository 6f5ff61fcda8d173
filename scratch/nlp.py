"""The names of *Data Science from Scratch*, chapter 21, imported from the chapters that define them.

    from scratch.nlp import Vocabulary, SimpleRnn, sample_from

GRU and LSTM can replace SimpleRnn without any other change.
"""

from scratch.dense import Embedding
from scratch.functions import sample_from
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.text import Vocabulary
from scratch.tools.weights import load_vocab, save_vocab

__all__ = ["GRU", "LSTM", "Embedding", "SimpleRnn", "Vocabulary", "load_vocab", "sample_from", "save_vocab"]
