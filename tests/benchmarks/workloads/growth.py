"""What a point of `growth.py` repeats: a training step of given sizes, or reading a text, as the programs do.

A case is a kind and its arguments: `lstm,batch=64,length=50,hidden=256` or `text,path=novel.txt`.
"""

from pathlib import Path

from char_lm.texts import corpus_file, read, split
from char_lm.train import SMOKE
from gpt.tokens import learned
from workloads import gpt, lstm
from workloads.training import our_step

from scratch.batching import streams
from scratch.fast import fast
from scratch.fast.processes import limit_blas
from scratch.optimizers import Adam
from scratch.text import NgramModel


class Workload:
    def __init__(self, case):
        self.kind, *arguments = case.split(",")
        pairs = (argument.split("=") for argument in arguments)
        self.arguments = {name: int(value) if value.isdecimal() else value for name, value in pairs}

    def steps(self, _):
        """A function that runs the case once and returns 1."""
        return KINDS[self.kind](**self.arguments)


def of_lstm(batch, length, hidden, **cores):
    """A training step of two LSTMs; `cores` are `threads` or `workers`, each of which gets one BLAS thread."""
    lstm.CASES["growth"] = (2, hidden, batch, length, 65, False)
    workload = lstm.Workload("growth")
    if not cores:
        return workload.steps("ours")
    limit_blas(1)
    model = fast(workload.ours(), **cores)
    return our_step("ours", model, Adam(lstm.LR), workload.letters, workload.following, num_rows=1)


def of_gpt(batch, context, features):
    """A training step of a transformer of 4 layers with 4 heads."""
    gpt.CASES["growth"] = (4, 4, features, context, batch)
    return gpt.Workload("growth").steps("ours")


def text_of(length, smoke):
    """A text of so many characters: Shakespeare, or the text of a smoke run, again and again."""
    source = SMOKE if smoke else corpus_file("shakespeare").read_text(encoding="utf-8")
    return (source * (length // len(source) + 1))[:length]


def of_text(path):
    """Read a text as `char_lm train` does, and look at all of its batches once."""

    def step():
        training, *_ = split(read(Path(path), 30).ids)
        for letters, following in streams(training, 32, 30):
            letters.max(), following.max()  # as a layer does to check its ids
        return 1

    return step


def of_bpe(path):
    """Learn the tokens of a text, and encode it, as `gpt train --tokens bpe` does."""

    def step():
        corpus = read(Path(path), 1)
        training, *_ = split(corpus.ids)
        learned(corpus.vocab, training, "bpe", 512).of(training)
        return 1

    return step


def of_ngrams(path):
    """Count the n-grams of a text, as `char_lm compare` does."""

    def step():
        ngrams(path)
        return 1

    return step


def ngrams(path):
    """The n-gram model of a text, of the order that `char_lm compare` ends with."""
    corpus = read(Path(path), 1)
    return NgramModel(split(corpus.ids)[0], corpus.vocab.size, order=10)


KINDS = {"lstm": of_lstm, "gpt": of_gpt, "text": of_text, "bpe": of_bpe, "ngrams": of_ngrams}
