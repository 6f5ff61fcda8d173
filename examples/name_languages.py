"""Names to languages: a recurrent network reads a surname, letter by letter, and says what language it is from.

  python examples/name_languages.py predict Hinton Schmidhuber     three guesses each, by trained weights
  python examples/name_languages.py serve                          a page and a JSON service on port 5533
  python examples/name_languages.py train                          the best recipe, a few minutes
  python examples/name_languages.py train --recipe tutorial        the tutorial's own network and training
  python examples/name_languages.py evaluate                       accuracy, recalls and confusions on held-out names

After Sean Robertson, "Classifying names with a character-level RNN", a PyTorch tutorial. Each command has a --help of
its own; the networks, the training loops and the service are in the folder `names` beside this file. Losses are in
nats: a blind guess among 18 languages costs log(18) = 2.890 of them.
"""

import hashlib
import math
import random
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from names.letters import ALPHABET, Example, by_language, check, encode, log_probabilities, predict, split
from names.networks import LAYERS, NameReader, build
from names.training import as_in_the_tutorial, in_batches

from scratch.checks import ScratchError
from scratch.optimizers import AdamW, GradientDescent, Optimizer
from scratch.text import without_accents
from scratch.tools import program
from scratch.tools.checkpoint import begin_run, check_weights, save_checkpoint
from scratch.tools.datasets import find, read_labelled_lines
from scratch.tools.files import read_shapes
from scratch.tools.history import History, stop_unless_finite
from scratch.tools.plots import confusion_matrix, curve
from scratch.tools.scores import accuracy, count_confusions, mean_recall, per_class, shares, table
from scratch.tools.weights import load_weights, metadata_of, save_weights

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "confusion.png", "loss.png")
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "name_languages.npz"
RECIPES: dict[str, dict[str, Any]] = {
    "best": {
        "epochs": 30, "lr": 0.004, "hidden": 128, "layer": "gru", "members": 3, "balance": 0.65, "batch_size": 64,
        "patience": 10,
    },
    "tutorial": {  # an epoch is 1,000 names
        "epochs": 100, "lr": 0.005, "hidden": 128, "layer": "linear", "members": 1, "balance": 0.0, "batch_size": 1,
        "patience": 1,
    },
}
FIXED = ("layer", "members", "balance", "batch_size", "patience")  # in the tutorial's recipe
SETTINGS = (
    "recipe", "layer", "hidden", "members", "lr", "epochs", "batch_size", "balance", "patience", "alphabet", "seed",
)
SAMPLE = {  # of --smoke
    "Czech": "Blazek Cermak Dvorak Fiala Hajek Horak Jelinek Kolar Kovar Krejci Kucera Marek Novak Svoboda Vesely",
    "Italian": "Abate Bianchi Bruno Colombo Conti Costa Esposito Ferrari Gallo Greco Marino Ricci Rossi Russo Vitale",
    "Japanese": "Abe Endo Fujita Hayashi Inoue Ishii Ito Kato Kimura Maeda Mori Nakamura Ogawa Sato Yamada",
}


def main() -> None:
    program.choose(__doc__, "name_languages.py", {
        "train": command_train, "predict": command_predict, "evaluate": command_evaluate, "serve": command_serve,
    })


# Training -------------------------------------------------------------------------------------------------------


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags, shared=flags.recipe == "best")
    data, folder = {label: names.split() for label, names in SAMPLE.items()}, None
    if not flags.smoke:
        folder = find("names", flags.data)
        data = read_labelled_lines(folder)
    program.writable(flags.out)
    files = [flags.out / name for name in FILES]
    flags.plot = flags.plot or files[-1]
    program.writable_file(flags.plot, folder, *files[:-1])
    program.writable_file(flags.report, folder, flags.plot, *files)

    learn, choose, held_out = split(data)
    if flags.recipe == "tutorial":  # which chooses nothing
        learn, choose = learn + choose, []
    for label, names in data.items():
        if max(encode("".join(names), flags.alphabet)) < 0:
            raise ScratchError(f"{label}: none of its letters is in the alphabet; give --alphabet")
    model = build(flags.recipe, flags.alphabet, list(data), flags.hidden, flags.layer, flags.members)
    optimizer: Optimizer = GradientDescent(flags.lr, clip_norm=30.0)
    if flags.recipe == "best":
        optimizer = AdamW(flags.lr, clip_norm=1.0)
    settings = {name: getattr(flags, name) for name in SETTINGS}
    settings["examples"] = hashlib.sha256(repr(data).encode()).hexdigest()
    known = {"program": "name_languages", "labels": list(model.labels), "settings": settings}
    known |= {name: getattr(flags, name) for name in ("recipe", "alphabet", "layer", "hidden", "members", "seed")}
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": 1}
    done = begin_run(files, flags.resume, model, optimizer, settings, done, flags.threads)
    checkpoint, history_file, weights, _, _ = files
    history = History(history_file, done["rows"])
    if history.rows:
        check_weights(weights, "name_languages", settings, (best_epoch(history), done["epoch"] + 1))
    print(
        f"{len(learn)} names of {len(data)} languages to learn from, {len(choose)} to choose by, {len(held_out)} held "
        f"out; a blind guess costs {math.log(len(data)):.3f} nats"
    )

    epochs = range(done["epoch"] + 1, flags.epochs + 1)
    if flags.recipe == "tutorial":
        loop = as_in_the_tutorial(model, optimizer, learn, epochs)
    else:
        threads = done["threads"]
        loop = in_batches(model, optimizer, learn, choose, epochs, flags.lr, flags.batch_size, flags.balance, threads)
    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in epochs:
            if epoch - best_epoch(history) > flags.patience:
                print(f"{flags.patience} epochs in a row were not the best: stopped")
                break
            row = next(loop)
            stop_unless_finite(row["loss"], model, f"epoch {epoch}")
            history.add(epoch=epoch, **row)
            if best_epoch(history) == epoch:
                save_weights(model, weights, known | {"best_epoch": epoch})
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    load_weights(model, weights)  # of the best epoch, which need not be the last
    confusion = confusions(model, held_out)
    figures = {
        "accuracy": accuracy(confusion), "mean_recall": mean_recall(confusion), "recipe": flags.recipe,
        "epochs": done["epoch"], "loss": history.column("loss")[-1], "best_epoch": best_epoch(history),
        "num_learned": len(learn), "num_held_out": len(held_out), "seconds": done["seconds"],
        "command": program.command_line("examples/name_languages.py", ["train", *arguments]),
    }
    save_weights(model, weights, known | figures)
    program.write_report(flags.report, figures)
    draw(model, learn, confusion, history, flags)
    print(f"\nHeld out: accuracy {figures['accuracy']:.3f}, mean recall {figures['mean_recall']:.3f}")
    print(f"Pictures: {flags.plot}, {flags.out / 'confusion.png'}")
    print(f"Weights:  {weights}")
    more = ["predict", "--weights", str(weights), "Satoshi"]
    print(f"More:     {program.command_line('examples/name_languages.py', more)}")


def best_epoch(history: History) -> int:
    """The epoch of the least validation loss; in the tutorial, which has none, the last."""
    return history.best("validation") or len(history.rows)


def confusions(model: NameReader, examples: Sequence[Example]) -> numpy.ndarray:
    """How often each language (row) is taken for each other (column)."""
    guesses = log_probabilities(model, [name for name, _ in examples]).argmax(axis=1)
    return count_confusions([language for _, language in examples], guesses, len(model.labels))


def draw(
    model: NameReader, learn: list[Example], confusion: numpy.ndarray, history: History, flags: Namespace
) -> None:
    """The two pictures of a run: the loss, and what is taken for what."""
    lines = {name: history.column(column) for name, column in (("training", "loss"), ("validation", "validation"))
             if history.column(column)}
    chance, title, xlabel, every = {"chance": math.log(len(model.labels))}, "Held-out names", "epoch", 1
    if flags.recipe == "tutorial":  # 10,000 of the names learned from, each language as often as the others
        names_of = by_language(learn, len(model.labels))
        drawn = [random.choice(random.choice(names_of)) for _ in range(10_000)]
        confusion, title, xlabel, every = confusions(model, drawn), "10,000 names, drawn as in training", "names", 1000
    curve(flags.plot, lines, xlabel, "loss (nats)", "Names to languages", chance, every)
    confusion_matrix(flags.out / "confusion.png", shares(confusion), model.labels, title)


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on names.", prog="name_languages.py train")
    parser.add_argument("--recipe", choices=RECIPES, default="best", help="best (the default), or the tutorial's own")
    parser.add_argument("--layer", choices=LAYERS, help="best: the recurrent layers (default: gru)")
    parser.add_argument("--hidden", type=program.positive, metavar="N", help="their size (default: 128)")
    parser.add_argument(
        "--members", type=program.positive, metavar="N",
        help="best: how many networks are averaged (default: 3)",
    )
    parser.add_argument(
        "--balance", type=program.rate, metavar="B",
        help="best: 0: languages as often as in the data; 1: all alike, however rare (default: 0.65)",
    )
    parser.add_argument("--alphabet", default=ALPHABET, help="the letters to know (default: %(default)r)")
    parser.common(
        data=None, out=Path("runs/name_languages"), epochs=None, lr=None, batch_size=None, patience=None, seed=0,
        device=None, threads=None, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    given = [name for name in FIXED if getattr(flags, name) is not None]
    if flags.recipe == "tutorial" and given:
        raise ScratchError(f"--{given[0].replace('_', '-')} is not for the tutorial's recipe")
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    if flags.smoke:
        flags.epochs, flags.patience, flags.hidden = min(flags.epochs, 10), 10, 16
        flags.batch_size, flags.members = min(flags.batch_size, 4), min(flags.members, 3)
    if flags.balance > 1:
        raise ScratchError(f"--balance: expected a number from 0 to 1, got {flags.balance:g}")
    flags.alphabet = "".join(dict.fromkeys(without_accents(flags.alphabet)))  # as the names will be
    if not flags.alphabet:
        raise ScratchError("--alphabet: expected letters")
    return flags


# Trained weights ------------------------------------------------------------------------------------------------


def load(path: Path) -> NameReader:
    """The network in a file of weights, with its languages and its alphabet as they stand there."""
    kinds = {"recipe": str, "layer": str, "hidden": int, "members": int, "labels": list, "alphabet": str}
    metadata = metadata_of(path, "name_languages", **kinds)
    recipe, layer, hidden, members, labels, alphabet = (metadata[name] for name in kinds)
    # A network of a size that the file only claims is not even made.
    shapes = read_shapes(path).values()
    largest = max([len(shapes), *(size for shape in shapes for size in shape)])
    sizes = hidden, members, len(labels), len(alphabet)
    right = recipe in RECIPES and (layer in LAYERS or recipe == "tutorial")
    right = right and min(sizes) > 0 and max(sizes) <= largest
    if not right or not all(isinstance(label, str) for label in labels):
        raise ScratchError(f"{path}: its metadata do not fit its network")
    model = build(recipe, alphabet, labels, hidden, layer, members)
    load_weights(model, path)
    return model


def command_predict(arguments: list[str]) -> None:
    parser = program.Parser("Say what languages names are from.", prog="name_languages.py predict")
    parser.add_argument("names", nargs="*", metavar="NAME", help="names; without any, one a line on standard input")
    parser.add_argument("--top", type=program.positive, default=3, metavar="K", help="how many guesses (default: 3)")
    parser.common(weights=WEIGHTS, device=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model = load(flags.weights)
    names, refused = [], []
    for name in flags.names or program.lines_of_stdin("names; give some, or one a line on standard input"):
        try:
            names.append(check(name, model.alphabet))
        except ScratchError as error:
            refused.append(str(error))
    for name, guesses in zip(names, predict(model, names, flags.top), strict=True):
        print(f"\n> {program.one_line(name)}")
        for log_p, label in guesses:
            print(f"({log_p:.2f}) {label}")
    if refused:  # after the others have their answers
        raise ScratchError("; ".join(refused))


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try weights on the names held out from training.", prog="name_languages.py evaluate")
    parser.common(data=None, weights=WEIGHTS, device=None, report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, folder = load(flags.weights), find("names", flags.data)
    program.writable_file(flags.plot, flags.weights, folder)
    program.writable_file(flags.report, flags.weights, flags.plot, folder)
    data = read_labelled_lines(folder)
    if tuple(data) != model.labels:
        raise ScratchError(f"{flags.weights}: knows {', '.join(model.labels)}; the data are of {', '.join(data)}")
    *_, held_out = split(data)
    confusion = confusions(model, held_out)
    _, recall, _ = per_class(confusion)
    print(table(confusion, model.labels))
    print("\nWhat was taken for what: rows are the truth, columns the guess, in the same order")
    for label, row in zip(model.labels, confusion, strict=True):
        print(f"{label:12}" + "".join(f"{count or '.':>5}" for count in row))
    figures = f"accuracy {accuracy(confusion):.4f}, mean recall {mean_recall(confusion):.4f}"
    print(f"\n{len(held_out)} held-out names: {figures}")
    if flags.plot:
        confusion_matrix(flags.plot, shares(confusion), model.labels, "Held-out names")
    program.write_report(flags.report, {
        "accuracy": accuracy(confusion), "mean_recall": mean_recall(confusion), "num_names": len(held_out),
        "recall": dict(zip(model.labels, recall.tolist(), strict=True)), "confusion": confusion.tolist(),
    })


def command_serve(arguments: list[str]) -> None:
    parser = program.Parser("Answer on http://localhost:5533/NAME, with a page at /.", prog="name_languages.py serve")
    parser.add_argument("--port", type=program.positive, default=5533, help="the port on this machine (default: 5533)")
    parser.common(weights=WEIGHTS, device=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    try:
        from names.service import serve
    except ImportError as error:
        raise ScratchError(f"to serve takes pip install -e '.[serve]' ({error})") from None

    serve(load(flags.weights), flags.port)


if __name__ == "__main__":
    program.run(main)
