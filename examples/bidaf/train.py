"""`python examples/bidaf train`: from questions with answers to a network that finds them.

Each step that made the network what it is can be left out: `--attention dot --modelling 0 --features 0 --spans each` is
the plainest one, and each flag adds a step.

Differs from the paper (Seo et al. 2016, section 4.1): Adam where that has AdaDelta, other sizes of batches,
gradients held to a length of 5; and answers are of 20 words at most.
"""

import hashlib
import math
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
from bidaf.char2vec import set_characters
from bidaf.examples import SPANS, Data, answers, batch, encode, in_batches, load_squad, log_probabilities
from bidaf.network import ATTENTIONS
from bidaf.prepare import read_prepared
from bidaf.squad import Question, Squad, find_span, score, words_with_places
from bidaf.trained import build, lexicon_of, save
from scratch.parallel import default_threads, in_threads, mine

from scratch.averages import MovingAverage
from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.losses import SpanLoss
from scratch.optimizers import Adam
from scratch.tools import program
from scratch.tools.checkpoint import begin_run, save_checkpoint
from scratch.tools.datasets import find_glove
from scratch.tools.history import History, progress, stop_unless_finite
from scratch.tools.plots import curve

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "loss.png")
# The sizes of the article that this rebuilds, as far as it states them; and smaller ones, for a machine of two cores.
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
CLIP = 5.0


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=True)
    program.writable(flags.out)
    checkpoint, history_file, weights, curve_file = files = [flags.out / name for name in FILES]
    flags.plot, inputs = flags.plot or curve_file, (flags.data, flags.glove, flags.prepared, flags.characters)
    program.writable_file(flags.plot, *inputs, *files[:-1])
    program.writable_file(flags.report, *inputs, flags.plot, *files)

    if flags.prepared:
        data, lexicon, flags.whole = read_prepared(flags.prepared, flags.word_length)
    else:
        data = smoke_data() if flags.smoke else load_squad(flags.data, flags.whole)
        glove = None if flags.smoke else find_glove(flags.glove)
        lexicon = lexicon_of(*data, glove=glove, word_length=flags.word_length)
    model = build(lexicon, vars(flags))
    if flags.characters:
        set_characters(model.words, lexicon, flags.characters)
    examples = encode(data.learn, lexicon, flags.context_words, flags.asked_words)
    learn = [example for example in examples if example.span is not None]
    if not learn:
        raise ScratchError(f"no question has its answer in the first {flags.context_words} words of its paragraph")
    held_out = encode(data.held_out, lexicon, flags.context_words, flags.asked_words)
    loss, optimizer = SpanLoss(), MovingAverage(Adam(flags.lr, clip_norm=CLIP))
    settings = {name: getattr(flags, name) for name in SETTINGS}
    settings["examples"] = hashlib.sha256(repr(learn).encode() + lexicon.vectors.tobytes()).hexdigest()
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": default_threads(flags.batch_size)}
    done = begin_run(files, flags.resume, model, optimizer, settings, done, flags.threads)
    history = History(history_file, done["rows"])
    parallel = in_threads(model, done["threads"])
    lost = sum(question.span is None for question in data.learn.questions)
    print(
        f"{len(learn)} questions to learn from ({lost} left out, whose answer is not where it should be, and "
        f"{len(examples) - len(learn) - lost} with an answer beyond {flags.context_words} words), {len(held_out)} held "
        f"out; {lexicon.has_vector.sum()} of {len(lexicon.words)} words have a vector", flush=True,
    )

    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            total, num_steps = 0.0, -(-len(learn) // flags.batch_size)
            for some in progress(in_batches(learn, flags.batch_size), f"epoch {epoch}", num_steps):
                contexts, asked, context_mask, asked_mask = (mine(array) for array in batch(some))
                spans = numpy.array([example.span for example in mine(some)], dtype=numpy.int64).reshape(-1, 2)
                scores = parallel.forward(contexts, asked, context_mask=context_mask, asked_mask=asked_mask)
                total += loss.loss(scores, to_device(spans), context_mask) * len(some)
                gradient = loss.gradient(scores, to_device(spans), context_mask)
                parallel.backward(gradient)
                optimizer.step(model)
            mean = stop_unless_finite(total / len(learn), model, f"epoch {epoch}")
            with optimizer.averaged(model):
                guesses = answers(data.held_out, log_probabilities(parallel, held_out), flags.spans)
            found = score(data.held_out.questions, guesses)
            history.add(epoch=epoch, loss=mean, **found, seconds=time.perf_counter() - started)
            print(f"epoch {epoch:3}  loss {mean:.4f}  exact match {found['exact_match']:.2f}  F1 {found['f1']:.2f}",
                  flush=True)
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    last = history.rows[-1]
    figures = {name: last[name] for name in ("loss", "exact_match", "f1")} | {
        "epochs": done["epoch"], "seed": flags.seed, "seconds": done["seconds"], "num_learned": len(learn),
        "num_held_out": len(held_out), "command": program.command_line("examples/bidaf", ["train", *arguments]),
    }
    with optimizer.averaged(model):
        save(weights, model, lexicon, {name: getattr(flags, name) for name in SETTINGS} | figures)
    program.write_report(flags.report, figures)
    chance = 2 * sum(math.log(len(example.context)) for example in learn) / len(learn)
    curve(flags.plot, {"training": history.column("loss")}, "epoch", "loss (nats)", "SQuAD", {"chance": chance})
    print(f"\nHeld out: exact match {last['exact_match']:.2f}, F1 {last['f1']:.2f}")
    print(f"Weights:  {weights}, curve: {flags.plot}")


def smoke_data() -> Data:
    """Who lives where and likes what: a paragraph of two sentences for each name, and a question about each of them."""
    names, places, things = "Ann Bob Eve Kim Lea Max Tom Zoe".split(), "Rome Oslo Lima Bonn".split(), "tea cake".split()
    parts = Squad([], [], []), Squad([], [], [])
    for k, name in enumerate(names * 8):
        place, thing = places[k % 7 % 4], things[k % 5 % 2]
        context = words_with_places(f"{name} lives in {place} . {names[k % 3]} likes {thing} .")
        squad = parts[k % 8 == 7]
        squad.contexts.append(context)
        squad.titles.append(name)
        for number, (asked, answer) in enumerate(((f"Where does {name} live ?", place), ("What is liked ?", thing))):
            span, exact = find_span(context, context.text.rindex(answer), answer)
            place_in = len(squad.contexts) - 1
            squad.questions.append(
                Question(f"{k}-{number}", words_with_places(asked), place_in, [answer], span, exact)
            )
    return Data(*parts)


def none_or_positive(text: str) -> int:
    return 0 if text == "0" else program.positive(text)


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser("Learn to answer questions.", prog="bidaf train")
    parser.add_argument("--recipe", choices=list(RECIPES), default="fast", help="whose sizes (default: fast)")
    parser.add_argument("--whole", action="store_true", help="learn from all of train, test on all of dev")
    parser.add_argument("--glove", type=Path, metavar="FILE", help="vectors for words (default: the data set glove)")
    size = {"type": program.positive, "metavar": "N"}
    parser.add_argument(
        "--prepared", type=Path, metavar="FILE", help="what `prepare` made, in place of --data, --glove and --whole"
    )
    parser.add_argument("--characters", type=Path, metavar="FILE", help="begin with the characters of `char2vec`")
    parser.add_argument("--attention", choices=list(ATTENTIONS), default="bidaf", help="(default: bidaf)")
    parser.add_argument(
        "--spans", choices=SPANS, default="smart",
        help="smart: begin and end of an answer are chosen together; each: each by itself (default: smart)",
    )
    parser.add_argument(
        "--modelling", type=int, choices=range(4), help="LSTMs that read what was found (default: by the recipe)"
    )
    parser.add_argument(
        "--features", type=none_or_positive, metavar="N",
        help="what is looked for in a word's characters; 0: nothing (default: by the recipe)",
    )
    parser.add_argument("--word-length", **size, help="characters of a word, at most (default: by the recipe)")
    parser.add_argument("--context-words", **size, default=300, help="of a paragraph, at most (default: 300)")
    parser.add_argument("--asked-words", **size, default=30, help="of a question, at most (default: 30)")
    parser.add_argument("--hidden", **size, help="size of the LSTMs (default: by the recipe)")
    parser.add_argument("--dropout", type=program.rate, metavar="P", help="(default: by the recipe)")
    parser.common(
        data=None, out=Path("runs/bidaf"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.prepared and (flags.data or flags.glove or flags.whole or flags.smoke):
        raise ScratchError("--prepared holds the data and the vectors: leave --data, --glove, --whole and --smoke away")
    sizes = RECIPES[flags.recipe]
    if flags.smoke:
        sizes = sizes | {"epochs": 12, "batch_size": 8, "hidden": 16, "features": 16, "lr": 0.01, "dropout": 0.0}
    for name, value in sizes.items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    return flags
