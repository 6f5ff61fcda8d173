"""How much a phrase of a movie review praises, in five degrees: by its characters, by a bag of words, by an LSTM.

  python examples/movie_reviews.py predict "A quiet , moving film"     by trained weights
  python examples/movie_reviews.py evaluate --model characters         accuracy, errors by length, confusions
  python examples/movie_reviews.py train --model glove                 or characters, or lstm
  python examples/movie_reviews.py train --split sentence              hold whole sentences out, not phrases

The phrases are those of Kaggle's "Sentiment analysis on movie reviews": the parse trees of 8,529 sentences, every
subtree with a label. `characters` is two convolutions; `glove` the mean of word vectors, which start as GloVe's and are
learned on, and a small network on it; `lstm` reads the same vectors in their order, from both ends. Losses are in nats:
a blind guess costs log(5) = 1.609.
"""

import hashlib
import math
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
from char_cnns.texts import ALPHABET
from reviews.networks import KINDS, start_from
from reviews.phrases import LABELS, SPLITS, UNKNOWN, Phrase, Words, load_phrases, split
from reviews.reading import confusions, load, log_probabilities, print_summary, reader_and_network
from scratch.parallel import default_threads, in_threads, mine

from scratch.backend import to_device
from scratch.batching import batches
from scratch.checks import ScratchError
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import AdamW
from scratch.schedules import cosine_decay
from scratch.text import Vocabulary, read_glove, words_of
from scratch.tools import program
from scratch.tools.checkpoint import begin_run, check_weights, save_checkpoint
from scratch.tools.datasets import find_glove
from scratch.tools.history import History, progress, stop_unless_finite
from scratch.tools.plots import confusion_matrix, curve
from scratch.tools.scores import accuracy, count_confusions, mean_f1, shares, table
from scratch.tools.weights import load_weights, save_weights

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "confusion.png", "loss.png")
WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
RECIPES: dict[str, dict[str, Any]] = {
    "characters": {"epochs": 30, "batch_size": 128, "lr": 0.002, "dropout": 0.5, "drop": 0.05, "weight_decay": 0.01},
    "glove": {"epochs": 20, "batch_size": 128, "lr": 0.001, "dropout": 0.5, "drop": 0.1, "weight_decay": 0.01},
    "lstm": {"epochs": 8, "batch_size": 128, "lr": 0.001, "dropout": 0.5, "drop": 0.1, "weight_decay": 0.01},
}
SETTINGS = ("model", "split", *RECIPES["glove"], "seed")
LENGTH, DIM = 120, 100  # characters of a phrase, of which few have more; numbers of a word
HIDDEN = {"glove": 256, "lstm": 128}
BUCKETS = (1, 2, 3, 5, 9, 17)  # the least number of words in each
SMOKE = [
    Phrase(number, number, f"{a} {b}", label) for number, (a, b, label) in enumerate(
        (a, b, label) for label, words in enumerate(("awful", "weak", "plain", "nice", "superb"))
        for a in (words, f"really {words}", f"so {words}") for b in ("film", "story", "acting", "music", "end", "idea")
    )
]


def main() -> None:
    program.choose(__doc__, "movie_reviews.py", {
        "train": command_train, "predict": command_predict, "evaluate": command_evaluate,
    })


# Training -------------------------------------------------------------------------------------------------------


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags, shared=True)
    phrases = SMOKE if flags.smoke else load_phrases(flags.data)
    learn, choose, held_out = split(phrases, flags.split)

    known: dict[str, Any] = {"program": "movie_reviews", "model": flags.model, "split": flags.split}
    if flags.model == "characters":
        known |= {"alphabet": ALPHABET, "length": LENGTH}
    else:
        words = dict.fromkeys(word for phrase in learn for word in words_of(phrase.text))
        known |= {"vocabulary": Vocabulary([UNKNOWN, *words]).w2i, "dim": DIM, "hidden": HIDDEN[flags.model]}
    reader, model = reader_and_network(known, flags.dropout)
    if flags.summary:
        print_summary(model, known.get("length"))
        return
    program.writable(flags.out)
    files = [flags.out / name for name in FILES]
    flags.plot = flags.plot or files[-1]
    program.writable_file(flags.plot, flags.data, flags.glove, *files[:-1])
    program.writable_file(flags.report, flags.data, flags.glove, flags.plot, *files)
    if isinstance(reader, Words) and not flags.smoke:
        found = start_from(model, known["vocabulary"], *read_glove(find_glove(flags.glove), known["vocabulary"].keys()))
        print(f"{found} of {reader.vocab.size} words begin with a vector of GloVe's")
    optimizer, loss = AdamW(flags.lr, flags.weight_decay, clip_norm=1.0), SoftmaxCrossEntropy()
    settings = {name: getattr(flags, name) for name in SETTINGS}
    settings["phrases"] = hashlib.sha256(repr(phrases).encode()).hexdigest()
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": default_threads(flags.batch_size)}
    done = begin_run(files, flags.resume, model, optimizer, settings, done, flags.threads)
    checkpoint, history_file, weights, confusion_file, _ = files
    history = History(history_file, done["rows"])
    if history.rows:
        check_weights(weights, "movie_reviews", settings, (history.best("accuracy", largest=True), done["epoch"] + 1))
    known["settings"] = settings
    parallel = in_threads(model, done["threads"])
    chance = math.log(len(LABELS))
    print(
        f"{len(learn)} phrases to learn from, {len(choose)} to choose by, {len(held_out)} held out; a blind guess "
        f"costs {chance:.3f} nats"
    )

    rows, labels = reader.encode([phrase.text for phrase in learn]), numpy.array([phrase.label for phrase in learn])
    chosen_by, truths = reader.encode([phrase.text for phrase in choose]), [phrase.label for phrase in choose]
    length = (lambda place: len(rows[place])) if isinstance(reader, Words) else None
    num_steps = -(-len(rows) // flags.batch_size)
    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            total = 0.0
            parts = batches(range(len(rows)), flags.batch_size, length)
            for k, places in enumerate(progress(parts, f"epoch {epoch}", num_steps)):
                optimizer.lr = flags.lr * cosine_decay((epoch - 1) * num_steps + k, flags.epochs * num_steps)
                ids, mask = reader.batch([rows[place] for place in places], flags.drop)
                truth = to_device(labels[mine(places)])
                predicted = parallel.forward(mine(ids), **{name: mine(rows) for name, rows in mask.items()})
                total += loss.loss(predicted, truth) * len(places)
                gradient = loss.gradient(predicted, truth)
                parallel.backward(gradient)
                optimizer.step(model)
            mean = stop_unless_finite(total / len(rows), model, f"epoch {epoch}")
            log_p = log_probabilities(parallel, reader, chosen_by)
            validation = -float(log_p[numpy.arange(len(log_p)), truths].mean())
            confusion = count_confusions(truths, log_p.argmax(axis=1), len(LABELS))
            history.add(epoch=epoch, loss=mean, validation=validation, accuracy=accuracy(confusion))
            print(
                f"epoch {epoch:3}  loss {mean:.4f}  validation {validation:.4f} (blind: {chance:.3f})  accuracy "
                f"{accuracy(confusion):.4f}", flush=True,
            )
            if history.best("accuracy", largest=True) == epoch:
                save_weights(model, weights, known | {"best_epoch": epoch})
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    load_weights(model, weights)  # of the best epoch, which need not be the last
    confusion = confusions(parallel, reader, held_out)
    figures = {
        "accuracy": accuracy(confusion), "f1": mean_f1(confusion), "loss": history.column("loss")[-1],
        "best_epoch": history.best("accuracy", largest=True), "epochs": done["epoch"], "num_learned": len(learn),
        "num_held_out": len(held_out), "seconds": done["seconds"],
        "command": program.command_line("examples/movie_reviews.py", ["train", *arguments]),
    }
    save_weights(model, weights, known | figures)
    program.write_report(flags.report, figures)
    lines = {"training": history.column("loss"), "validation": history.column("validation")}
    curve(flags.plot, lines, "epoch", "loss (nats)", f"Movie reviews: {flags.model}", {"chance": chance})
    confusion_matrix(confusion_file, shares(confusion), LABELS, "Phrases held out")
    print(f"\nHeld out: accuracy {figures['accuracy']:.4f}, mean F1 {figures['f1']:.4f}")
    print(f"Weights:  {weights}, pictures: {flags.plot}, {confusion_file}")


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on the phrases.", prog="movie_reviews.py train")
    add_model(parser)
    parser.add_argument("--glove", type=Path, metavar="FILE", help="vectors for words (default: the data set glove)")
    for name, what in (
        ("dropout", "in the network"), ("drop", "of the characters or words are taken for unknown"),
        ("weight_decay", "how much weights are drawn to zero"),
    ):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=program.rate, metavar="P", help=f"{what} (default: by the model)")
    parser.common(
        data=None, out=Path("runs/movie_reviews"), epochs=None, batch_size=None, lr=None, seed=0, device=None,
        threads=None, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    for name, value in RECIPES[flags.model].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    if max(flags.dropout, flags.drop) >= 1:
        raise ScratchError("--dropout and --drop: expected a share below 1")
    if flags.smoke:
        flags.epochs, flags.batch_size, flags.lr, flags.dropout, flags.drop = 8, 8, 0.005, 0.0, 0.0
    return flags


# Trained weights ------------------------------------------------------------------------------------------------


def command_predict(arguments: list[str]) -> None:
    parser = program.Parser("Say how much phrases praise.", prog="movie_reviews.py predict")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="phrases; without any, one a line on standard input")
    add_model(parser)
    parser.common(weights=None, device=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    reader, model, known = load(flags.weights or committed(flags))
    if flags.summary:
        print_summary(model, known.get("length"))
        return
    texts = flags.texts or program.lines_of_stdin("texts; give some, or one a line on standard input")
    for text, log_p in zip(texts, log_probabilities(model, reader, reader.encode(texts)), strict=True):
        shown = ", ".join(f"{label} {value:.3f}" for label, value in zip(LABELS, numpy.exp(log_p), strict=True))
        print(f"{program.one_line(text)[:100]}\n  {LABELS[log_p.argmax()]} ({shown})")


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try weights on the phrases held out from training.", prog="movie_reviews.py evaluate")
    add_model(parser)
    parser.common(data=None, weights=None, device=None, report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    weights = flags.weights or committed(flags)
    program.writable_file(flags.plot, weights, flags.data)
    program.writable_file(flags.report, weights, flags.plot, flags.data)
    reader, model, known = load(weights)
    if flags.summary:
        print_summary(model, known.get("length"))
        return
    *_, held_out = split(load_phrases(flags.data), known["split"])
    rows = reader.encode([phrase.text for phrase in held_out])
    guesses = log_probabilities(in_threads(model, default_threads(256)), reader, rows).argmax(axis=1)
    labels = numpy.array([phrase.label for phrase in held_out])
    confusion = count_confusions(labels, guesses, len(LABELS))
    print(table(confusion, LABELS))
    print("\nWhat was taken for what: rows are the truth, columns the guess, in the same order")
    for label, row in zip(LABELS, confusion, strict=True):
        print(f"{label:18}" + "".join(f"{count:>7}" for count in row))
    lengths = numpy.array([len(words_of(phrase.text)) for phrase in held_out])
    print(f"\n{'words':>7} {'phrases':>8} {'wrong':>7}")
    for least, beyond in zip(BUCKETS, (*BUCKETS[1:], 10**6), strict=True):
        some = (lengths >= least) & (lengths < beyond)
        name = f"{least}-{beyond - 1}" if beyond < 10**6 else f"{least}-"
        wrong = (guesses != labels)[some].mean() if some.any() else 0.0
        print(f"{name if beyond != least + 1 else least:>7} {some.sum():>8} {wrong:>7.3f}")
    print(f"\n{len(held_out)} phrases held out by {known['split']}: accuracy {accuracy(confusion):.4f}, mean F1 "
          f"{mean_f1(confusion):.4f}")
    if flags.plot:
        confusion_matrix(flags.plot, shares(confusion), LABELS, "Phrases held out")
    program.write_report(flags.report, {
        "accuracy": accuracy(confusion), "f1": mean_f1(confusion), "model": known["model"], "split": known["split"],
        "num_phrases": len(held_out), "confusion": confusion.tolist(),
    })


def committed(flags: Namespace) -> Path:
    return WEIGHTS / f"reviews_{flags.model}_{flags.split}.npz"


def add_model(parser: program.Parser) -> None:
    parser.add_argument("--model", choices=KINDS, default="glove", help="glove (default), characters or lstm")
    parser.add_argument("--split", choices=SPLITS, default="phrase", help="what is held out (default: phrase)")
    parser.add_argument("--summary", action="store_true", help="print the layers and the shapes between them, no more")


if __name__ == "__main__":
    program.run(main)
