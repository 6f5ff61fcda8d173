"""`python examples/cifar10 train`: from 50,000 images to a network that names the class of others."""

import math
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from cifar10.augment import document_batches, flips, modern_batches, standardised
from cifar10.batches import LABELS, Images, load_cifar
from cifar10.network import WIDTHS, build, scores, whiten
from cifar10.pictures import filters, mistakes

from scratch.averages import Lookahead
from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.fast.ahead import ahead
from scratch.initial import generator
from scratch.layer import evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam, GradientDescent, Momentum, Optimizer
from scratch.regular import BatchNorm
from scratch.schedules import cosine_decay, triangle
from scratch.tools import program
from scratch.tools.datasets import recorded
from scratch.tools.plots import confusion_matrix, image_grid
from scratch.tools.run import Run
from scratch.tools.scores import accuracy, count_confusions, shares

PICTURES = ("confusion.png", "filters.png", "mistakes.png")
SETTINGS = ("recipe", "optimizer", "epochs", "batch_size", "lr", "widths", "seed")
RECIPES: dict[str, dict[str, Any]] = {
    "document": {"epochs": 20, "batch_size": 128, "lr": 0.5, "optimizer": "gradient_descent"},
    "modern": {"epochs": 12, "batch_size": 1024, "lr": 10.0, "optimizer": "lookahead"},
}
ADAM_RATE = 0.0001
BIAS_RATE = 64  # the biases of a BatchNorm have a learning rate so many times as large
CHANCE = math.log(len(LABELS))


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=True)
    training, test = smoke_images() if flags.smoke else load_cifar(flags.data)
    num_images, num_steps = len(training.labels), -(-len(training.labels) // flags.batch_size)

    modern = flags.recipe == "modern"
    model = build(flags.recipe, flags.widths)
    if modern:
        whiten(model, standardised(training.pixels[:5000]))
    biases = [layer.b for layer in model.layers if isinstance(layer, BatchNorm)] if modern else []
    loss, optimizer = SoftmaxCrossEntropy(label_smoothing=0.2 if modern else 0.0), make_optimizer(flags)
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    settings = {name: getattr(flags, name) for name in SETTINGS} | {"num_images": num_images}
    known = {"recipe": flags.recipe, "widths": flags.widths, "labels": LABELS}
    if not flags.smoke:
        known |= recorded("cifar10", flags.data, test.digest())
    print(f"{num_images} images in the training set, {len(test.labels)} in the test set; chance is {CHANCE:.3f} nats")
    with Run(
        flags, model, optimizer, settings, "cifar10", known, chance=CHANCE, inputs=[flags.data], files=PICTURES,
        figures={"test_accuracy": float},
    ) as run:
        for epoch in run.epochs():
            total = 0.0
            for k, (images, labels) in enumerate(run.progress(ahead(batches(flags, training, epoch)), num_steps)):
                set_rates(optimizer, flags, (epoch - 1) * num_steps + k, flags.epochs * num_steps)
                images, labels = to_device(images), to_device(labels)
                predicted = model.forward(images)
                total += loss.loss(predicted, labels) * len(labels)
                gradient = loss.gradient(predicted, labels)
                model.backward(gradient)
                for bias in biases:
                    bias.grad *= BIAS_RATE
                optimizer.step(model)
            with evaluating(model):
                guesses = scores(model, flags.recipe, test.pixels, views=False).argmax(axis=1)
            run.record(loss=total / num_images, test_accuracy=float((guesses == test.labels).mean()))

    with evaluating(model):
        found = scores(model, flags.recipe, test.pixels)
    confusion = count_confusions(test.labels, found.argmax(axis=1), len(LABELS))
    figures = run.finish(
        "CIFAR-10", accuracy=accuracy(confusion), num_learned=num_images, num_tested=len(test.labels),
        accuracy_by_epoch=run.history.column("test_accuracy"),
    )
    confusion_file, filters_file, mistakes_file = files = [run.out / name for name in PICTURES]
    confusion_matrix(confusion_file, shares(confusion), LABELS, "CIFAR-10, test images")
    image_grid(filters_file, *filters(model), columns=8)
    image_grid(mistakes_file, *mistakes(test, found))
    print(f"\nTest images: accuracy {figures['accuracy']:.4f}")
    print(f"Weights:     {run.weights}\nPlots:       {', '.join(map(str, [run.plot, *files]))}")


def batches(flags: Namespace, images: Images, epoch: int) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """The batches of an epoch. Their generator is seeded here, on the main thread, since `ahead` draws on another."""
    draw = generator()
    if flags.recipe == "document":
        return document_batches(images, flags.batch_size, draw)
    mirrored = flips(len(images.labels), flags.seed) ^ (epoch % 2 == 0)
    return modern_batches(images, mirrored, flags.batch_size, draw)


def make_optimizer(flags: Namespace) -> Optimizer:
    if flags.optimizer == "adam":
        return Adam(flags.lr)
    if flags.optimizer == "gradient_descent":
        return GradientDescent(flags.lr, weight_decay=0.0005)
    # Momentum averages gradients; PyTorch's SGD adds them up. There the same steps need lr = 10 (1 - 0.85) = 1.5.
    # An epoch has 49 steps, a multiple of 7, so the run ends on Lookahead's slow weights.
    return Lookahead(Momentum(flags.lr, 0.85, nesterov=True, weight_decay=0.00133), every=7)


def set_rates(optimizer: Optimizer, flags: Namespace, step: int, num_steps: int) -> None:
    """Set the learning rate of a step, and Lookahead's decay: towards the end, its slow weights follow more slowly."""
    if isinstance(optimizer, Lookahead):
        optimizer.lr = flags.lr * triangle(step, num_steps, start=0.2, top=0.23, end=0.07)
        optimizer.decay = 0.95**optimizer.every * (step / num_steps) ** 3
    elif isinstance(optimizer, GradientDescent):
        optimizer.lr = flags.lr * cosine_decay(step, num_steps)


def smoke_images() -> tuple[Images, Images]:
    """Training and test images of ten classes that are easy to learn: horizontal or vertical stripes of 5 colours."""
    labels = numpy.arange(120) % 10
    colours = numpy.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
    stripes = numpy.broadcast_to(numpy.arange(32) // 4 % 2, (32, 32))
    patterns = numpy.array([stripes, stripes.T])[labels // 5, ..., None] * colours[labels % 5, None, None]
    noise = numpy.random.default_rng(0).integers(0, 60, patterns.shape)
    pixels = (40 + 150 * patterns + noise).astype(numpy.uint8)
    return Images(pixels[:100], labels[:100]), Images(pixels[100:], labels[100:])


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on CIFAR-10.", prog="cifar10 train")
    parser.add_argument(
        "--recipe", choices=list(RECIPES), default="modern", help="modern (default), or document, a plainer network"
    )
    parser.add_argument(
        "--optimizer", choices=("gradient_descent", "adam"), help="for --recipe document (default: gradient_descent)"
    )
    parser.common(
        data=None, out=Path("runs/cifar10"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        plain=False, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.optimizer and flags.recipe == "modern":
        raise ScratchError("--optimizer: the modern recipe sets its own; add --recipe document")
    if flags.optimizer == "adam" and flags.lr is None:
        flags.lr = ADAM_RATE
    if flags.smoke:
        flags.batch_size, flags.epochs = flags.batch_size or 20, flags.epochs or 6
        if flags.recipe == "modern" and flags.lr is None:
            flags.lr = 1.0
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    widths = WIDTHS[flags.recipe]
    flags.widths = [16] * len(widths) if flags.smoke else list(widths)
    return flags
