"""`python examples/char_cnn train`: from a table of texts and labels to a network that classifies texts."""

import math
import random
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from char_cnn.config import check_config, read_config
from char_cnn.data import KNOWN, Data, load
from char_cnn.flags import train_flags
from char_cnn.losses import FocalLoss
from char_cnn.network import SIZES, build, log_probabilities, summary
from char_cnn.texts import with_gaps

from scratch.backend import to_device
from scratch.batching import batches, num_batches
from scratch.fast import fast
from scratch.losses import Loss, SoftmaxCrossEntropy
from scratch.optimizers import AdamW, Momentum, Optimizer
from scratch.tools import program
from scratch.tools.files import remove_when_stopped, write_text
from scratch.tools.plots import confusion_matrix
from scratch.tools.run import Run, check_paths
from scratch.tools.schema import Row
from scratch.tools.scores import accuracy, count_confusions, mean_f1, shares, table

FILES = ("metrics.txt", "confusion.png")
SETTINGS = (
    "validation_split", "steps", "alphabet", "max_length", "epochs", "batch_size", "optimizer", "learning_rate",
    "weight_decay", "dropout_input", "schedule", "patience", "class_weights", "focal_loss", "seed",
)
MOMENTUM = 0.9
FEW = 100_000  # training texts
SMOKE_CONFIG = {"conv": [[32, 3, 3], [32, 3, 3]], "fc": [32], "dropout": 0.0}
SMOKE = "SentimentText,Sentiment\n" + "".join(
    f"it was {word} {end},{label}\n" for label, words in (("1", "good great fine nice"), ("0", "bad poor awful dull"))
    for word in words.split() for end in ("", "indeed", "again", "as ever", "for all of us")
)


def command(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags, shared=True)
    config, num_characters = config_of(flags), len(flags.alphabet)
    if flags.summary:
        model = build(config, num_characters, flags.max_length, flags.number_of_classes or 2)
        print("\n".join(summary(model, flags.max_length)))
        return
    data = read_data(flags)
    training, validation, num_classes = data.training, data.validation, len(data.classes)
    inputs = [data.path, flags.config_path]
    *_, metrics, confusion_png = check_paths(flags, inputs, FILES)

    model = build(config, num_characters, flags.max_length, num_classes)
    class_weights = class_weights_of(training.labels, num_classes) if flags.class_weights else None
    gamma, chance = flags.focal_loss, math.log(num_classes)
    loss: Loss = SoftmaxCrossEntropy(class_weights) if gamma is None else FocalLoss(gamma, class_weights)
    optimizer = make_optimizer(flags.optimizer, flags.learning_rate, flags.weight_decay)
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    full_rate = optimizer.lr
    settings = {name: getattr(flags, name) for name in SETTINGS} | {"config": config, "data": data.digest}
    known = {
        "alphabet": flags.alphabet, "steps": flags.steps, "max_length": flags.max_length, "config": config,
        "labels": data.classes, "names": data.names, "text_column": data.text_column, "label_column": data.label_column,
        "data": flags.data_path if flags.data_path in KNOWN else "",
    }
    print(
        f"{len(training.labels)} texts ({num_classes} classes) in the training set, {len(validation.labels)} in the "
        f"validation set; chance is {chance:.3f} nats"
    )
    advice = advice_for(len(training.labels))
    if len(training.labels) < FEW and config in (SIZES["small"], SIZES["large"]):
        print(f"(With so few texts, a smaller network does better: {advice})")
    with Run(
        flags, model, optimizer, settings, "char_cnn", known, best="validation", chance=None if gamma else chance,
        inputs=inputs, files=FILES, figures=figures_of(num_classes),
    ) as run:
        for epoch in run.epochs():
            optimizer.lr = full_rate * (0.5 ** ((epoch - 1) // flags.schedule) if flags.schedule else 1)
            total, num_steps = 0.0, num_batches(len(training.labels), flags.batch_size)
            for places in run.progress(batches(range(len(training.labels)), flags.batch_size), num_steps):
                ids, labels = training.ids[places], to_device(training.labels[places])
                if flags.dropout_input:
                    ids = with_gaps(ids, flags.dropout_input)
                predicted = model.forward(to_device(ids))
                total += loss.loss(predicted, labels) * len(places)
                gradient = loss.gradient(predicted, labels)
                model.backward(gradient)
                optimizer.step(model)
            mean = total / len(training.labels)
            log_p = log_probabilities(model, validation.ids)
            confusion = count_confusions(validation.labels, log_p.argmax(axis=1), num_classes)
            run.record(
                loss=mean, validation=0.0 - float(log_p[numpy.arange(len(log_p)), validation.labels].mean()),
                accuracy=accuracy(confusion), f1=mean_f1(confusion), confusion=confusion.tolist(),
            )
            write_metrics(metrics, run.history.rows, data.names)
            if epoch == 3 and mean > 0.98 * chance and gamma is None:
                print(
                    f"The loss is still that of a uniform guess. Try {advice}, or a longer --max_length, and check "
                    "that the labels match the texts."
                )

    run.load_best()
    best = run.history.rows[run.best_epoch - 1]
    run.finish(
        "Text classification", num_training=len(training.labels), num_validation=len(validation.labels),
        **{name: best[name] for name in ("validation", "accuracy", "f1")},
    )
    confusion_matrix(confusion_png, shares(numpy.array(best["confusion"])), data.names, "Validation set")
    print(f"\nWeights:  {run.weights}, from epoch {run.best_epoch}\nMetrics:  {metrics}")
    print(f"Plots:    {run.plot}, {confusion_png}")
    more = ["predict", "--model", run.weights, "--text", "I love pizza !"]
    print(f"Try:      {program.command_line('examples/char_cnn', more)}")


def advice_for(num_texts: int) -> str:
    """Flags for a training set of this size. BatchNorm's running means need many steps, hence the small batches."""
    batch_size = 16 if num_texts < 1000 else 32 if num_texts < 10_000 else 64
    return f"--size compact --optimizer adam --learning_rate 0.001 --batch_size {batch_size}"


def figures_of(num_classes: int) -> dict[str, Any]:
    """The schema of the figures of an epoch that are read back when the run is resumed."""
    counts = Row(*[range(2**53)] * num_classes)
    return {"accuracy": float, "f1": float, "confusion": Row(*[counts] * num_classes)}


def config_of(flags: Namespace) -> dict[str, Any]:
    """The network's configuration: of a file, by size, or that of a smoke run."""
    config = read_config(flags.config_path, flags.size) if flags.config_path else SIZES[flags.size]
    config = SMOKE_CONFIG if flags.smoke else config
    return dict(config) if flags.dropout is None else check_config(config | {"dropout": flags.dropout}, "--dropout")


def read_data(flags: Namespace) -> Data:
    """The data that the flags name, or those of a smoke run."""
    if not flags.smoke:
        return load(flags, random)
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        remove_when_stopped(file.name)
        flags.data_path = file.name
        Path(file.name).write_text(SMOKE, encoding="utf-8")
        return load(flags, random)


def make_optimizer(name: str, lr: float, weight_decay: float) -> Optimizer:
    """The repository's two optimizers: sgd with momentum, and adam.

    PyTorch's momentum sums gradients and ours averages them, so our rate is divided by 1 - momentum.
    """
    if name == "sgd":
        return Momentum(lr / (1 - MOMENTUM), MOMENTUM, clip_norm=5.0, weight_decay=weight_decay * (1 - MOMENTUM))
    return AdamW(lr, weight_decay, clip_norm=5.0)


def class_weights_of(labels: numpy.ndarray, num_classes: int) -> list[float]:
    """The size of the largest class divided by that of each class: rows of rare classes weigh more."""
    counts = numpy.bincount(labels, minlength=num_classes)
    return (counts.max() / numpy.maximum(counts, 1)).tolist()


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """The figures of every epoch as text, with precision, recall and F1 of each class."""
    parts = []
    for row in rows:
        confusion = numpy.array(row["confusion"])
        parts.append(
            f"epoch {row['epoch']}: training loss {row['loss']:.4f}, validation loss {row['validation']:.4f}, accuracy "
            f"{accuracy(confusion):.4f}, mean F1 {mean_f1(confusion):.4f}\n{table(confusion, labels)}\n"
        )
    write_text(path, "\n".join(parts))
