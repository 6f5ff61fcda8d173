"""`python examples/alice train`: a network that predicts the book's next character."""

import argparse
import hashlib
import math
import random
import textwrap
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
from alice.book import num_batches, read_book, seeds_of, training_batches
from alice.network import RECIPES, SAVED, TUTORIAL, build
from char_lm.network import INPUTS, reset
from char_lm.sample import write_on

from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam
from scratch.schedules import cosine_decay
from scratch.text import Vocabulary
from scratch.tools import program
from scratch.tools.datasets import recorded
from scratch.tools.run import Run, check_paths
from scratch.tools.weights import save_weights

KEEP = 3  # files of improvements


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=True)
    check_paths(flags, [flags.text])
    text = read_book(flags)
    vocab = Vocabulary(sorted(set(text)))
    ids = numpy.array(vocab.encode(text), dtype=numpy.int32)

    model = build(vocab.size, flags)
    next(training_batches(ids, text, flags))  # refuses a text that is too short
    loss, optimizer = SoftmaxCrossEntropy(), Adam(flags.lr, clip_norm=1.0 if flags.decay else None)
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    chance = math.log(vocab.size)
    settings = {name: getattr(flags, name) for name in (*TUTORIAL, "seed")}
    settings["text"] = digest = hashlib.sha256(text.encode()).hexdigest()
    known = {name: getattr(flags, name) for name in SAVED} | {
        "vocabulary": vocab.w2i, "window": None if flags.stateful else flags.sequence,
        "seeds": seeds_of(text, flags.sequence), "is_book": flags.text is None,
    }
    if not flags.smoke:
        known |= recorded("alice", flags.text or flags.data, digest)
    num_steps = num_batches(ids, text, flags)
    print(f"{len(text)} characters, {vocab.size} distinct; {num_steps} batches per epoch; chance is {chance:.3f} nats")
    with Run(
        flags, model, optimizer, settings, "alice", known, best="loss", chance=chance, unit="nats per character",
        inputs=[flags.text], files=[path.name for path in improvements(flags.out)],
    ) as run:
        for epoch in run.epochs():
            total = count = 0.0
            reset(model)
            for k, batch in enumerate(run.progress(training_batches(ids, text, flags), num_steps)):
                if flags.decay:
                    optimizer.lr = flags.lr * cosine_decay((epoch - 1) * num_steps + k, flags.epochs * num_steps)
                letters, next_letters, mask = (None if array is None else to_device(array) for array in batch)
                size = next_letters.size if mask is None else int(mask.sum())
                predicted = model.forward(letters)
                total += loss.loss(predicted, next_letters, mask) * size
                count += size
                gradient = loss.gradient(predicted, next_letters, mask)
                model.backward(gradient)
                optimizer.step(model)
            run.record(loss=total / count)
            if run.best_epoch == epoch:
                keep_improvement(run)

    run.load_best()
    losses = run.history.column("loss")
    run.finish("Alice in Wonderland", train_loss=min(losses), losses=losses, chance=chance, recipe=flags.recipe)
    write_on(model, vocab, random.choice(known["seeds"]), 300, temperature=0.6, window=known["window"])
    print(f"\nTraining loss: {min(losses):.4f} nats per character. Weights: {run.weights}, curve: {run.plot}")


def keep_improvement(run: Run) -> None:
    """Save the weights under their epoch and loss, as the tutorial does, and keep the last KEEP such files."""
    best = run.history.column("loss")[-1]
    path = run.out / f"improvement-{run.epoch:02d}-{best:.4f}.npz"
    save_weights(run.model, path, run.known | {"epoch": run.epoch, "train_loss": best})
    for old in improvements(run.out)[:-KEEP]:
        old.unlink(missing_ok=True)  # another process may have been faster


def improvements(out: Path) -> list[Path]:
    """The files of the improvements in the folder, the oldest first."""
    found = [path for path in out.glob("improvement-*-*.npz") if path.stem.split("-")[1].isdecimal()]
    return sorted(found, key=lambda path: int(path.stem.split("-")[1]))


def _listed(values: dict[str, Any]) -> str:
    """The flags of a recipe, for --help."""
    shown = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        shown.append(f"--{'' if value else 'no-'}{flag}" if isinstance(value, bool) else f"--{flag} {value}")
    return textwrap.fill(" ".join(shown), 78, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser(
        "Train a network on the book. A flag overrides the recipe's value.", prog="alice train",
        epilog="\n".join(f"{name}:\n{_listed(values)}" for name, values in RECIPES.items()),
    )
    parser.add_argument(
        "text", nargs="?", type=Path, metavar="TEXT", help="a UTF-8 text file to use instead of the book"
    )
    parser.add_argument(
        "--recipe", choices=RECIPES, default="better", help="set of default values, listed below (default: better)"
    )
    size, chance, either = (
        {"type": program.positive, "metavar": "N"}, {"type": program.rate, "metavar": "P"},
        {"action": argparse.BooleanOptionalAction},
    )
    parser.add_argument("--layers", **size, help="number of LSTM layers")
    parser.add_argument("--hidden", **size, help="size of each LSTM")
    parser.add_argument("--sequence", **size, help="characters in a window or piece of text")
    parser.add_argument("--input", choices=INPUTS, help="representation of each input character")
    parser.add_argument("--dropout", **chance, help="dropout after each LSTM")
    parser.add_argument("--input-dropout", **chance, help="dropout on the input")
    parser.add_argument("--every-step", **either, help="predict the next character at every step, not only at the last")
    parser.add_argument("--stateful", **either, help="carry the state from each piece to the next")
    parser.add_argument("--sentences", **either, help="train on padded sentences, not on pieces of equal length")
    parser.add_argument("--punctuation", **either, help="keep punctuation in the text")
    parser.add_argument("--decay", **either, help="use cosine decay of the learning rate, and gradient clipping")
    parser.common(
        data=None, out=Path("runs/alice"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        plain=False, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    if flags.smoke:
        flags.epochs, flags.hidden = min(flags.epochs, 4), min(flags.hidden, 32)
        flags.sequence = min(flags.sequence, 20)
        flags.batch_size = min(flags.batch_size, 64 if not flags.every_step else 4)
    if flags.sentences and flags.stateful:
        raise ScratchError("--sentences starts each sentence from a zero state; add --no-stateful")
    if flags.sentences and not flags.punctuation:
        raise ScratchError("--sentences needs punctuation; omit --no-punctuation")
    if (flags.sentences or flags.stateful) and not flags.every_step:
        raise ScratchError(f"--{'sentences' if flags.sentences else 'stateful'} needs --every-step")
    return flags
