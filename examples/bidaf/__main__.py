"""Questions about a paragraph, answered by BiDAF, which learned from SQuAD.

  python examples/bidaf train                      learn from the questions of SQuAD and GloVe's vectors
  python examples/bidaf evaluate --weights FILE    exact match and F1 on the questions held out
  python examples/bidaf ask --weights FILE         an answer to your own question about your own paragraph

Held out are the articles of the development set whose SHA-256 of the title says so, a quarter of them; with --whole the
official files are used as they are meant. Losses are in nats, of the begin and the end of an answer together.
"""

import hashlib
import json
import math
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a folder that is run is not found by its name

from bidaf.examples import (
    Data,
    Encoded,
    answers,
    batch,
    best_spans,
    encode,
    in_batches,
    load_squad,
    log_probabilities,
)
from bidaf.network import Reader
from bidaf.squad import Question, Squad, Text, find_span, score, words_with_places
from bidaf.words import Lexicon, WordVectors, alphabet_of, as_known

from scratch import program
from scratch.averages import MovingAverage
from scratch.backend import ScratchError, to_device, to_host
from scratch.checkpoint import begin_run, save_checkpoint
from scratch.datasets import find_glove
from scratch.files import read_arrays, write_arrays, write_text
from scratch.history import History, progress, stop_unless_finite
from scratch.layer import evaluating
from scratch.losses import SpanLoss
from scratch.optimizers import Adam
from scratch.parallel import default_threads, in_threads, mine
from scratch.plots import attention_map, curve
from scratch.text import read_glove
from scratch.weights import check_names, metadata_of

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "loss.png")
RECIPES: dict[str, dict[str, Any]] = {
    "document": {"hidden": 200, "features": 100, "dropout": 0.15, "lr": 0.001, "batch_size": 100, "epochs": 20},
    "fast": {"hidden": 100, "features": 100, "dropout": 0.2, "lr": 0.001, "batch_size": 32, "epochs": 12},
}
SETTINGS = ("recipe", "modelling", "context_words", "asked_words", *RECIPES["fast"], "whole", "seed")
CLIP = 5.0
PARAGRAPH = (
    "Chess is an abstract strategy game that has been played in its present form since the fifteenth century. It is "
    "played on a board of 64 squares by two players, of whom the one with the white pieces moves first. Wilhelm "
    "Steinitz became the first world champion in 1886, and Deep Blue, a computer of IBM, defeated Garry Kasparov in "
    "May 1997."
)
QUESTION = "Who became the first world champion?"


def main() -> None:
    program.choose(__doc__, "bidaf", {"train": command_train, "evaluate": command_evaluate, "ask": command_ask})


# Training -------------------------------------------------------------------------------------------------------


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags, shared=True)
    data = smoke_data() if flags.smoke else load_squad(flags.data, flags.whole)
    program.writable(flags.out)
    checkpoint, history_file, weights, curve_file = files = [flags.out / name for name in FILES]
    flags.plot = flags.plot or curve_file
    program.writable_file(flags.plot, flags.data, flags.glove, *files[:-1])
    program.writable_file(flags.report, flags.data, flags.glove, flags.plot, *files)

    lexicon = lexicon_of(data.learn, data.held_out, glove=None if flags.smoke else find_glove(flags.glove))
    model = build(lexicon, vars(flags))
    examples = encode(data.learn, lexicon, flags.context_words, flags.asked_words)
    learn = [example for example in examples if example.span is not None]
    held_out = encode(data.held_out, lexicon, flags.context_words, flags.asked_words)
    loss, optimizer = SpanLoss(), MovingAverage(Adam(flags.lr, clip_norm=CLIP))
    settings = {name: getattr(flags, name) for name in SETTINGS}
    settings["examples"] = hashlib.sha256(repr(learn).encode()).hexdigest()
    # Another number of threads would draw other Dropout masks: a run that goes on keeps its own.
    threads = flags.threads or default_threads(flags.batch_size)
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": threads}
    done = begin_run(files, flags.resume, model, optimizer, settings, done)
    history = History(history_file, done["rows"])
    done["threads"] = flags.threads or done["threads"]
    parallel = in_threads(model, done["threads"])
    print(
        f"{len(learn)} questions to learn from ({len(examples) - len(learn)} left out, whose answer is beyond "
        f"{flags.context_words} words), {len(held_out)} held out; {lexicon.num_known} of {len(lexicon.words)} words "
        "have a vector", flush=True,
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
                found = score(data.held_out.questions, answers(data.held_out, log_probabilities(parallel, held_out)))
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
    chance = 2 * math.log(flags.context_words)
    curve(flags.plot, {"training": history.column("loss")}, "epoch", "loss (nats)", "SQuAD", {"chance": chance})
    print(f"\nHeld out: exact match {last['exact_match']:.2f}, F1 {last['f1']:.2f}")
    print(f"Weights:  {weights}, curve: {flags.plot}")


def lexicon_of(*squads: Squad, glove: Path | None) -> Lexicon:
    """All words of the paragraphs and questions, with GloVe's vectors of those that it has, if there is one."""
    texts = [text for squad in squads for text in (*squad.contexts, *(question.asked for question in squad.questions))]
    words = dict.fromkeys(word for text in texts for word in text.words)
    known, vectors = list(words), numpy.zeros((len(words), 1), dtype=numpy.float32)
    if glove is not None:
        known, vectors = read_glove(glove, {as_known(word) for word in words})
    return Lexicon(words, known, vectors, alphabet_of(word for text in texts for word in text.words))


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


def build(lexicon: Lexicon, sizes: dict[str, Any]) -> Reader:
    return Reader(WordVectors(lexicon, sizes["features"]), sizes["hidden"], sizes["modelling"], sizes["dropout"])


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Learn to answer questions.", prog="bidaf train")
    parser.add_argument("--recipe", choices=list(RECIPES), default="fast", help="whose sizes (default: fast)")
    parser.add_argument("--whole", action="store_true", help="learn from all of train, test on all of dev")
    parser.add_argument("--glove", type=Path, metavar="FILE", help="vectors for words (default: the data set glove)")
    size = {"type": program.positive, "metavar": "N"}
    parser.add_argument("--modelling", **size, default=2, help="LSTMs that read what was found (default: 2)")
    parser.add_argument("--context-words", **size, default=300, help="of a paragraph, at most (default: 300)")
    parser.add_argument("--asked-words", **size, default=30, help="of a question, at most (default: 30)")
    parser.add_argument("--hidden", **size, help="size of the LSTMs (default: by the recipe)")
    parser.add_argument("--dropout", type=program.rate, metavar="P", help="(default: by the recipe)")
    parser.common(
        data=None, out=Path("runs/bidaf"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.smoke:
        flags.epochs, flags.batch_size, flags.hidden, flags.features = flags.epochs or 12, 8, 16, 16
        flags.lr, flags.dropout = flags.lr or 0.01, flags.dropout or 0.0
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name, None) is None:
            setattr(flags, name, value)
    return flags


# Trained weights ------------------------------------------------------------------------------------------------


def save(path: Path, model: Reader, lexicon: Lexicon, known: dict[str, Any]) -> None:
    """The parameters, and the words with their vectors, without which they would be of no use."""
    arrays = {p.name: to_host(p.data) for p in model.parameters()} | {"lexicon.vectors": lexicon.vectors}
    words = {"program": "bidaf", "words": lexicon.words, "alphabet": lexicon.alphabet, "word_length": lexicon.length}
    write_arrays(path, arrays, words | known)


def load(path: Path, *more: Text) -> tuple[Reader, Lexicon, dict[str, Any]]:
    """The model in a file of weights, its words and those of `more` texts, and what else stands there."""
    kinds = dict.fromkeys(("word_length", "hidden", "features", "modelling", "context_words", "asked_words"), int)
    known = metadata_of(path, "bidaf", words=list, alphabet=str, whole=bool, dropout=float, **kinds)
    arrays, _ = read_arrays(path)
    vectors = arrays.pop("lexicon.vectors", numpy.zeros(0))
    if vectors.ndim != 2 or len(vectors) != len(known["words"]):
        raise ScratchError(f"{path}: its words do not fit its vectors")
    vectors = vectors.astype(numpy.float32)
    lexicon = Lexicon(known["words"], known["words"], vectors, known["alphabet"], known["word_length"])
    lexicon = lexicon.with_more(word for text in more for word in text.words)
    model = build(lexicon, known)
    parameters = model.parameters()
    check_names(path, parameters, {name: array.shape for name, array in arrays.items()})
    for p in parameters:
        p.data[...] = to_device(arrays[p.name].astype(numpy.float32))
    return model, lexicon, known


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try weights on the questions held out.", prog="bidaf evaluate")
    parser.add_argument("--predictions", type=Path, metavar="FILE", help="write the answers, as SQuAD's JSON")
    parser.common(data=None, weights=Path("runs/bidaf/weights.npz"), device=None, threads=None, report=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    program.writable_file(flags.predictions, flags.weights, flags.data)
    program.writable_file(flags.report, flags.weights, flags.data, flags.predictions)
    model, lexicon, known = load(flags.weights)
    held_out = load_squad(flags.data, known["whole"]).held_out
    started = time.perf_counter()
    parallel = in_threads(model, flags.threads or default_threads(64))
    said = log_probabilities(parallel, encode(held_out, lexicon, known["context_words"], known["asked_words"]))
    guesses = answers(held_out, said)
    found = score(held_out.questions, guesses)
    plain = score(held_out.questions, answers(held_out, said, smart=False))
    print(f"{len(guesses)} questions held out: exact match {found['exact_match']:.2f}, F1 {found['f1']:.2f}")
    print(f"(begin and end each by itself: {plain['exact_match']:.2f}, {plain['f1']:.2f})")
    if flags.predictions:
        write_text(flags.predictions, json.dumps(guesses, ensure_ascii=False) + "\n")
    program.write_report(flags.report, found | {
        "num_questions": len(guesses), "seconds": time.perf_counter() - started,
    })


def command_ask(arguments: list[str]) -> None:
    parser = program.Parser("Answer a question about a paragraph.", prog="bidaf ask")
    parser.add_argument("question", nargs="?", default=QUESTION, help="(default: about the paragraph on chess)")
    parser.add_argument("--paragraph", default=PARAGRAPH, metavar="TEXT", help="or - for standard input")
    parser.common(weights=Path("runs/bidaf/weights.npz"), device=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    program.writable_file(flags.plot, flags.weights)
    paragraph = flags.paragraph if flags.paragraph != "-" else " ".join(program.lines_of_stdin("paragraph"))
    context, asked = words_with_places(paragraph), words_with_places(flags.question)
    if not context.words or not asked.words:
        raise ScratchError("expected a paragraph and a question, of a word each at least")
    model, lexicon, known = load(flags.weights, context, asked)
    if not lexicon.vectors[lexicon.encode(asked.words)].any():
        print("(No word of the question is known.)")
    if len(context.words) > known["context_words"]:
        print(f"(The paragraph has {len(context.words)} words; learned from were the first {known['context_words']}.)")
    example = Encoded(lexicon.encode(context.words), lexicon.encode(asked.words), None)
    ((begin, end),) = log_probabilities(model, [example])
    for guess in best_spans(begin, end, count=3):
        print(f"{guess.probability:.3f}  {program.one_line(context.span(guess.begin, guess.end))}")
    if flags.plot:
        ids = [to_device(numpy.array([words])) for words in example[:2]]
        with evaluating(model):
            weights = model.bidaf.looks(*(model.words.forward(some) for some in ids))
        attention_map(flags.plot, to_host(weights)[0], context.words, asked.words, "What each word looks at")
        print(f"Picture: {flags.plot}")


if __name__ == "__main__":
    program.run(main)
