"""`python examples/bidaf train`: from questions with answers to a network that finds them.

Each part of the network can be switched off: `--attention dot --modelling 0 --features 0 --spans each` is the simplest
network, and each of these flags that is left out adds a part.

Differs from the BiDAF paper (Seo et al. 2016, section 4.1): Adam instead of AdaDelta, other batch sizes, gradient
clipping at norm 5, and answers of at most 20 words.
"""

import hashlib
import math
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from bidaf.char2vec import set_characters
from bidaf.examples import (
    SPANS,
    Data,
    answers,
    batch,
    digest_of,
    encode,
    in_batches,
    load_squad,
    log_probabilities,
    smoke_data,
)
from bidaf.losses import SpanLoss
from bidaf.network import ATTENTIONS
from bidaf.prepare import read_prepared
from bidaf.squad import score
from bidaf.trained import build, lexicon_of, save
from bidaf.words import LONGEST_WORD, Lexicon

from scratch.averages import MovingAverage
from scratch.backend import to_device
from scratch.batching import num_batches
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.optimizers import Adam
from scratch.tools import program
from scratch.tools.datasets import find_glove, recorded
from scratch.tools.run import Run, check_paths

# The sizes of Apte's article on SQuAD, as far as it states them; and smaller ones, for a machine with two cores.
RECIPES: dict[str, dict[str, Any]] = {
    "document": {
        "hidden": 200, "modelling": 3, "features": 100, "word_length": 37, "dropout": 0.15, "lr": 0.001,
        "batch_size": 100, "epochs": 20,
    },
    "fast": {
        "hidden": 100, "modelling": 2, "features": 100, "word_length": 16, "dropout": 0.2, "lr": 0.001,
        "batch_size": 32, "epochs": 12,
    },
}
SETTINGS = ("recipe", "attention", "spans", "context_words", "asked_words", *RECIPES["fast"], "whole", "seed")
CLIP_NORM = 5.0


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=True)
    inputs = (flags.data, flags.glove, flags.prepared, flags.characters)
    check_paths(flags, inputs)
    data, lexicon = read_data(flags)
    examples = encode(data.learn, lexicon, flags.context_words, flags.asked_words)
    training = [example for example in examples if example.span is not None]
    if not training:
        raise ScratchError(f"no question has its answer in the first {flags.context_words} words of its paragraph")
    held_out = encode(data.held_out, lexicon, flags.context_words, flags.asked_words)

    model = build(lexicon, vars(flags))
    if flags.characters:
        set_characters(model.words, lexicon, flags.characters)
    loss, optimizer = SpanLoss(), MovingAverage(Adam(flags.lr, clip_norm=CLIP_NORM))
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    chance = 2 * sum(math.log(len(example.context)) for example in training) / len(training)
    settings = {name: getattr(flags, name) for name in SETTINGS}
    origin = {} if flags.smoke else recorded("squad", flags.prepared or flags.data, digest_of(data.held_out))
    digest = hashlib.sha256(repr(training).encode() + lexicon.vectors.tobytes()).hexdigest()
    num_steps = num_batches(len(training), flags.batch_size)
    lost = sum(question.span is None for question in data.learn.questions)
    print(
        f"{len(training)} questions in the training set (omitted: {lost} whose answer is not at its recorded place and "
        f"{len(examples) - len(training) - lost} with an answer beyond {flags.context_words} words), {len(held_out)} "
        f"held out; {lexicon.has_vector.sum()} of {len(lexicon.words)} words have a vector", flush=True,
    )
    with Run(
        flags, model, optimizer, settings | {"examples": digest}, "bidaf", settings | origin, chance=chance,
        inputs=inputs, figures={"exact_match": float, "f1": float}, write=partial(save, lexicon),
    ) as run:
        for _ in run.epochs():
            total = 0.0
            for some in run.progress(in_batches(training, flags.batch_size), num_steps):
                contexts, asked, context_mask, asked_mask = batch(some)
                spans = to_device([example.span for example in some])
                scores = model.forward(contexts, asked, context_mask=context_mask, asked_mask=asked_mask)
                total += loss.loss(scores, spans, context_mask) * len(some)
                gradient = loss.gradient(scores, spans, context_mask)
                model.backward(gradient)
                optimizer.step(model)
            with optimizer.averaged(model):
                said = log_probabilities(model, held_out)
            found = score(data.held_out.questions, answers(data.held_out, said, flags.spans))
            run.record(loss=total / len(training), **found)

    found = {name: run.history.rows[-1][name] for name in ("exact_match", "f1")}
    with optimizer.averaged(model):
        run.finish("BiDAF on SQuAD", **found, num_learned=len(training), num_held_out=len(held_out))
    print(f"\nHeld out: exact match {found['exact_match']:.2f}, F1 {found['f1']:.2f}")
    print(f"Weights:  {run.weights}, curve: {run.plot}")


def read_data(flags: Namespace) -> tuple[Data, Lexicon]:
    """The questions and their words, by the flags; `flags.whole` becomes that of a prepared file."""
    if flags.prepared:
        data, lexicon, flags.whole = read_prepared(flags.prepared, flags.word_length)
        return data, lexicon
    data = smoke_data() if flags.smoke else load_squad(flags.data, flags.whole)
    glove = None if flags.smoke else find_glove(flags.glove)
    return data, lexicon_of(*data, glove=glove, word_length=flags.word_length)


def none_or_positive(text: str) -> int:
    return 0 if text == "0" else program.positive(text)


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network to answer questions.", prog="bidaf train")
    parser.add_argument(
        "--recipe", choices=list(RECIPES), default="fast",
        help="document: the sizes of Apte's article; fast: smaller ones (default: fast)",
    )
    parser.add_argument("--whole", action="store_true", help="train on all of train, hold out all of dev")
    parser.add_argument("--glove", type=Path, metavar="FILE", help="word vectors (default: the data set glove)")
    size = {"type": program.positive, "metavar": "N"}
    parser.add_argument(
        "--prepared", type=Path, metavar="FILE", help="file from `prepare`, in place of --data, --glove and --whole"
    )
    parser.add_argument(
        "--characters", type=Path, metavar="FILE", help="initial character vectors, written by `char2vec`"
    )
    parser.add_argument(
        "--attention", choices=list(ATTENTIONS), default="bidaf", help="attention layer (default: bidaf)"
    )
    parser.add_argument(
        "--spans", choices=SPANS, default="smart",
        help="smart: choose an answer's start and end jointly; each: independently (default: smart)",
    )
    parser.add_argument(
        "--modelling", type=int, choices=range(4), help="number of LSTMs after the attention (default: by recipe)"
    )
    parser.add_argument(
        "--features", type=none_or_positive, metavar="N",
        help="features computed from a word's characters; 0: none (default: by recipe)",
    )
    parser.add_argument(
        "--word-length", type=int, choices=range(1, LONGEST_WORD + 1), metavar="N",
        help=f"characters read of each word, at most {LONGEST_WORD} (default: by recipe)",
    )
    parser.add_argument("--context-words", **size, default=300, help="words read of each paragraph (default: 300)")
    parser.add_argument("--asked-words", **size, default=30, help="words read of each question (default: 30)")
    parser.add_argument("--hidden", **size, help="size of each LSTM (default: by recipe)")
    parser.add_argument("--dropout", type=program.rate, metavar="P", help="dropout (default: by recipe)")
    parser.common(
        data=None, out=Path("runs/bidaf"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        plain=False, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.prepared and (flags.data or flags.glove or flags.whole or flags.smoke):
        raise ScratchError("--prepared contains the data and the vectors; omit --data, --glove, --whole and --smoke")
    sizes = RECIPES[flags.recipe]
    if flags.smoke:
        sizes = sizes | {"epochs": 12, "batch_size": 8, "hidden": 16, "features": 16, "lr": 0.01, "dropout": 0.0}
    for name, value in sizes.items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    return flags
