"""`python examples/name_languages train`: from lists of names to a network that predicts their language.

There are two recipes. The PyTorch tutorial's trains on one random name at a time. The best one trains a committee on
batches, has a validation set and Dropout, and adjusts for rare languages.
"""

import math
import random
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from name_languages import twin  # noqa: F401  (gives LinearRnn its fast twin)
from name_languages.evaluate import confusions
from name_languages.letters import ALPHABET, Example, as_batch, by_language, digest_of, encode, split
from name_languages.network import LAYERS, Committee, NameReader, TutorialNetwork, build
from name_languages.predict import log_probabilities, predict

from scratch.backend import Array, to_device
from scratch.batching import batches
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.losses import Loss, NegativeLogLikelihood
from scratch.optimizers import AdamW, GradientDescent, Optimizer
from scratch.schedules import cosine_decay
from scratch.text import without_accents
from scratch.tools import program
from scratch.tools.datasets import find, read_labelled_lines, recorded
from scratch.tools.plots import confusion_matrix
from scratch.tools.run import Run
from scratch.tools.scores import accuracy, count_confusions, mean_recall, shares

RECIPES: dict[str, dict[str, Any]] = {
    "best": {
        "epochs": 30, "lr": 0.004, "hidden": 128, "layer": "gru", "members": 3, "balance": 0.65, "batch_size": 64,
        "patience": 10,
    },
    "tutorial": {  # an epoch is 1,000 names
        "epochs": 100, "lr": 0.005, "hidden": 128, "layer": "linear", "members": 1, "balance": 0.0, "batch_size": 1,
        "patience": None,
    },
}
FIXED = ("layer", "members", "balance", "batch_size", "patience")  # in the tutorial's recipe
SETTINGS = (
    "recipe", "layer", "hidden", "members", "lr", "epochs", "batch_size", "balance", "patience", "alphabet", "seed",
)
SMOKE = {
    "Czech": "Blazek Cermak Dvorak Fiala Hajek Horak Jelinek Kolar Kovar Krejci Kucera Marek Novak Svoboda Vesely",
    "Italian": "Abate Bianchi Bruno Colombo Conti Costa Esposito Ferrari Gallo Greco Marino Ricci Rossi Russo Vitale",
    "Japanese": "Abe Endo Fujita Hayashi Inoue Ishii Ito Kato Kimura Maeda Mori Nakamura Ogawa Sato Yamada",
}


def learn_batch(model: Committee, loss: Loss, optimizer: Optimizer, batch: Sequence[Example]) -> float:
    """One training step on a batch of names. Returns the loss."""
    letters, mask = as_batch([name for name, _ in batch], model.alphabet)
    languages = to_device([[language] * len(model.members) for _, language in batch])
    predicted = model.forward(letters, mask=mask)  # (N, members, languages)
    value = loss.loss(predicted, languages)
    gradient = loss.gradient(predicted, languages)
    model.backward(gradient)
    optimizer.step(model)
    return value


def in_batches(
    run: Run, model: Committee, loss: Loss, optimizer: Optimizer, training: Sequence[Example],
    validation: Sequence[Example], flags: Namespace,
) -> None:
    """The best recipe: an epoch is every name once, in batches of similar length."""
    names, truth = [name for name, _ in validation], [language for _, language in validation]
    for epoch in run.epochs():
        optimizer.lr = flags.lr * cosine_decay(epoch - 1, flags.epochs)
        total, steps = 0.0, list(batches(training, flags.batch_size, length=lambda example: len(example[0])))
        for batch in run.progress(steps):
            total += learn_batch(model, loss, optimizer, batch)
        log_p = log_probabilities(model, names)
        confusion = count_confusions(truth, log_p.argmax(axis=1), len(model.labels))
        run.record(
            loss=total / len(steps), validation=loss.loss(to_device(log_p), truth), accuracy=accuracy(confusion),
            mean_recall=mean_recall(confusion),
        )


def learn_name(model: TutorialNetwork, loss: Loss, optimizer: Optimizer, letters: Array, language: int) -> float:
    """One training step on one name, whose letters are (1, T, len(alphabet)). Returns the loss."""
    predicted = model.forward(letters)[0]
    value = loss.loss(predicted, language)
    gradient = loss.gradient(predicted, language)
    model.backward(gradient[None])
    optimizer.step(model)
    return value


def one_by_one(
    run: Run, model: TutorialNetwork, loss: Loss, optimizer: Optimizer, training: Sequence[Example], flags: Namespace
) -> None:
    """The tutorial's recipe: an epoch is 1,000 steps, each on a random name of a random language."""
    names_of = by_language(training, len(model.labels))
    for epoch in run.epochs():
        total = 0.0
        for _ in run.progress(range(1000)):
            name, language = random.choice(random.choice(names_of))
            letters, _ = as_batch([name], model.alphabet)
            value = learn_name(model, loss, optimizer, letters, language)
            total += value
        run.record(loss=total / 1000)
        if epoch % 5 == 0:  # the tutorial's own line
            minutes, seconds = divmod(int(run.seconds), 60)
            ((_, guess),) = predict(model, [name], 1)[0]
            verdict = "✓" if guess == model.labels[language] else f"✗ ({model.labels[language]})"
            progress = f"{1000 * epoch} {100 * epoch // flags.epochs}% ({minutes}m {seconds}s)"
            print(f"{progress} {program.figure(value, 4)} {program.one_line(name)} / {guess} {verdict}", flush=True)


def logit_adjustment(examples: Sequence[Example], num_languages: int, balance: float) -> list[float]:
    """What `BothEnds` adds to the score of each language: `balance` times the log of its share of the examples.

    With 0 the network learns how likely a language is for a name of this data set; with 1, for a name of a data set in
    which all languages are equally frequent.
    """
    counts = Counter(language for _, language in examples)
    return [balance * math.log(counts[k] / len(examples)) for k in range(num_languages)]


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=flags.recipe == "best", small=flags.recipe == "tutorial")
    folder = None if flags.smoke else find("names", flags.data)
    data = {label: names.split() for label, names in SMOKE.items()} if folder is None else read_labelled_lines(folder)
    training, validation, held_out = split(data)
    if flags.recipe == "tutorial":  # which has no validation set
        training, validation = training + validation, []
    for label, names in data.items():
        if max(encode("".join(names), flags.alphabet)) < 0:
            raise ScratchError(f"{label}: none of its letters is in the alphabet; extend it with --alphabet")

    adjustment = logit_adjustment(training, len(data), flags.balance)
    model: Any = build(
        flags.recipe, flags.alphabet, list(data), flags.hidden, flags.layer, flags.members, adjustment
    )
    loss, optimizer = NegativeLogLikelihood(), optimizer_of(flags)
    if not flags.plain:
        threads = flags.threads if flags.recipe == "best" else 1  # a single name cannot be shared
        model, loss, optimizer = fast(model, threads), fast(loss), fast(optimizer)
    settings = {name: getattr(flags, name) for name in SETTINGS}
    settings["examples"] = digest = digest_of(data)
    known = {"labels": list(data)} | ({} if flags.smoke else recorded("names", flags.data, digest))
    known |= {name: getattr(flags, name) for name in ("recipe", "alphabet", "layer", "hidden", "members", "seed")}
    chance = math.log(len(data))
    print(
        f"{len(training)} names of {len(data)} languages in the training set, {len(validation)} in the validation set, "
        f"{len(held_out)} held out; chance is {chance:.3f} nats"
    )
    with Run(
        flags, model, optimizer, settings, "name_languages", known, best="validation" if validation else None,
        chance=chance, inputs=[folder], files=["confusion.png"],
    ) as run:
        if flags.recipe == "tutorial":
            one_by_one(run, model, loss, optimizer, training, flags)
        else:
            in_batches(run, model, loss, optimizer, training, validation, flags)

    run.load_best()
    confusion = confusions(model, held_out)
    figures = run.finish(
        "Names to languages", *(("names", 1000) if flags.recipe == "tutorial" else ("epoch", 1)),
        accuracy=accuracy(confusion), mean_recall=mean_recall(confusion), recipe=flags.recipe,
        num_learned=len(training), num_held_out=len(held_out),
    )
    picture = flags.out / "confusion.png"
    draw_confusions(picture, model, training, confusion, flags.recipe)
    print(f"\nHeld out: accuracy {figures['accuracy']:.3f}, mean recall {figures['mean_recall']:.3f}")
    print(f"Weights:  {run.weights}, curve: {run.plot}, confusion matrix: {picture}")
    more = ["predict", "--weights", run.weights, "Satoshi"]
    print(f"Try:      {program.command_line('examples/name_languages', more)}")


def optimizer_of(flags: Namespace) -> Optimizer:
    if flags.recipe == "tutorial":
        return GradientDescent(flags.lr, clip_norm=30.0)
    return AdamW(flags.lr, clip_norm=1.0)


def draw_confusions(path: Path, model: NameReader, training: list[Example], confusion: Any, recipe: str) -> None:
    """The confusion matrix of the held-out names; in the tutorial's recipe of 10,000 drawn as it draws in training."""
    title = "Held-out names"
    if recipe == "tutorial":
        names_of = by_language(training, len(model.labels))
        drawn = [random.choice(random.choice(names_of)) for _ in range(10_000)]
        confusion, title = confusions(model, drawn), "10,000 training names, sampled as in training"
    confusion_matrix(path, shares(confusion), model.labels, title)


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on names.", prog="name_languages train")
    parser.add_argument(
        "--recipe", choices=RECIPES, default="best", help="best (default), or tutorial, as in the PyTorch tutorial"
    )
    parser.add_argument("--layer", choices=LAYERS, help="best: type of the recurrent layers (default: gru)")
    parser.add_argument("--hidden", type=program.positive, metavar="N", help="size of each layer (default: 128)")
    parser.add_argument(
        "--members", type=program.positive, metavar="N",
        help="best: number of networks that are averaged (default: 3)",
    )
    parser.add_argument(
        "--balance", type=program.rate, metavar="B",
        help="best: from 0, languages as frequent as in the data, to 1, all equally frequent (default: 0.65)",
    )
    parser.add_argument("--alphabet", default=ALPHABET, help="characters that the network reads (default: %(default)r)")
    parser.common(
        data=None, out=Path("runs/name_languages"), epochs=None, lr=None, batch_size=None, patience=None, seed=0,
        device=None, threads=None, plain=False, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    given = [name for name in FIXED if getattr(flags, name) is not None]
    if flags.recipe == "tutorial" and given:
        raise ScratchError(f"--{given[0].replace('_', '-')} does not apply to --recipe tutorial")
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    if flags.smoke:
        flags.epochs, flags.patience, flags.hidden = min(flags.epochs, 10), None, 16
        flags.batch_size, flags.members = min(flags.batch_size, 4), min(flags.members, 3)
    if flags.balance > 1:
        raise ScratchError(f"--balance: expected a number from 0 to 1, got {flags.balance:g}")
    flags.alphabet = "".join(dict.fromkeys(without_accents(flags.alphabet)))  # names lose their accents too
    if not flags.alphabet:
        raise ScratchError("--alphabet: expected at least one character")
    return flags
