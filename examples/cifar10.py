"""Pictures to classes: CIFAR-10, by a network as its document has it, and by one that gets 94 % on two cores.

  python examples/cifar10.py show                      random test pictures with the likeliest classes, as a PNG
  python examples/cifar10.py show --images cat.jpg     your own pictures
  python examples/cifar10.py evaluate                  the accuracy of trained weights on the 10,000 test images
  python examples/cifar10.py train --recipe modern     patch whitening, alternating flips, faster biases, Lookahead
  python examples/cifar10.py train --recipe document   flips, brightness, contrast, gradient descent

Losses are in nats: a blind guess among the ten classes costs log(10) = 2.303. (The modern recipe smooths the truth; its
loss cannot fall below 0.867.)
"""

import math
import random
import time
from argparse import Namespace
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
from images.augment import document_batches, flips, modern_batches
from images.batches import LABELS, Images, load_cifar
from images.networks import WIDTHS, build, scores, standardised, whiten
from images.pictures import filters, mistakes, read_pictures, with_likeliest
from scratch.parallel import default_threads, in_threads, mine

from scratch.averages import Lookahead
from scratch.backend import to_device, to_host
from scratch.batching import ahead
from scratch.checks import ScratchError
from scratch.functions import softmax
from scratch.initial import generator
from scratch.layer import Sequential, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam, GradientDescent, Momentum, Optimizer
from scratch.regular import BatchNorm
from scratch.schedules import cosine_decay, triangle
from scratch.tools import program
from scratch.tools.checkpoint import begin_run, save_checkpoint
from scratch.tools.files import read_shapes
from scratch.tools.history import History, progress, stop_unless_finite
from scratch.tools.plots import confusion_matrix, curve, image_grid
from scratch.tools.scores import accuracy, count_confusions, shares, table
from scratch.tools.weights import load_weights, metadata_of, save_weights

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "confusion.png", "filters.png", "mistakes.png", "loss.png")
SETTINGS = ("recipe", "optimizer", "epochs", "batch_size", "lr", "widths", "seed")
RECIPES: dict[str, dict[str, Any]] = {
    "document": {"epochs": 20, "batch_size": 128, "lr": 0.5, "optimizer": "gradient_descent"},
    "modern": {"epochs": 12, "batch_size": 1024, "lr": 10.0, "optimizer": "lookahead"},
}
ADAM_RATE = 0.0001
BIAS_RATE = 64  # how much faster than weights a BatchNorm's biases learn
CHANCE = math.log(len(LABELS))
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "cifar10.npz"


def main() -> None:
    program.choose(__doc__, "cifar10.py", {"train": command_train, "evaluate": command_evaluate, "show": command_show})


# Training -------------------------------------------------------------------------------------------------------


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags, shared=True)
    learn, test = smoke_images() if flags.smoke else load_cifar(flags.data)
    program.writable(flags.out)
    checkpoint, history_file, weights, confusion_file, filters_file, mistakes_file, curve_file = files = [
        flags.out / name for name in FILES
    ]
    flags.plot = flags.plot or curve_file
    program.writable_file(flags.plot, flags.data, *files[:-1])
    program.writable_file(flags.report, flags.data, flags.plot, *files)

    modern = flags.recipe == "modern"
    model = build(flags.recipe, flags.widths)
    if modern:
        whiten(model, standardised(learn.pixels[:5000]))
    loss = SoftmaxCrossEntropy(label_smoothing=0.2 if modern else 0.0)
    optimizer = make_optimizer(flags)
    settings = {name: getattr(flags, name) for name in SETTINGS} | {"num_images": len(learn.labels)}
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": default_threads(flags.batch_size)}
    done = begin_run(files, flags.resume, model, optimizer, settings, done, flags.threads)
    history = History(history_file, done["rows"])
    parallel = in_threads(model, done["threads"])
    biases = [layer.b for layer in model.layers if isinstance(layer, BatchNorm)] if modern else []
    num_steps = -(-len(learn.labels) // flags.batch_size)
    print(f"{len(learn.labels)} images to learn from, {len(test.labels)} to test on; a blind guess costs {CHANCE:.3f}")

    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            total = 0.0
            made = progress(ahead(batches(flags, learn, epoch)), f"epoch {epoch}", num_steps)
            for k, (images, labels) in enumerate(made):
                set_rates(optimizer, flags, (epoch - 1) * num_steps + k, flags.epochs * num_steps)
                truth = to_device(mine(labels))
                predicted = parallel.forward(to_device(mine(images)))
                total += loss.loss(predicted, truth) * len(labels)
                gradient = loss.gradient(predicted, truth)
                parallel.backward(gradient)
                for bias in biases:
                    bias.grad *= BIAS_RATE
                optimizer.step(model)
            mean = stop_unless_finite(total / len(learn.labels), model, f"epoch {epoch}")
            row = {"epoch": epoch, "loss": mean}
            if epoch <= 10 or epoch % 10 == 0 or epoch == flags.epochs:
                with evaluating(parallel):
                    guesses = scores(parallel, flags.recipe, test.pixels, views=False).argmax(axis=1)
                row["accuracy"] = float((guesses == test.labels).mean())
            history.add(**row, seconds=time.perf_counter() - started)
            shown = f"  test accuracy {row['accuracy']:.4f}" if "accuracy" in row else ""
            print(f"epoch {epoch:3}  loss {mean:.4f} (blind: {CHANCE:.3f}){shown}", flush=True)
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    with evaluating(parallel):
        found = scores(parallel, flags.recipe, test.pixels)
    confusion = count_confusions(test.labels, found.argmax(axis=1), len(LABELS))
    figures = {
        "accuracy": accuracy(confusion), "loss": history.column("loss")[-1], "epochs": flags.epochs, "seed": flags.seed,
        "seconds": done["seconds"], "num_learned": len(learn.labels), "num_tested": len(test.labels),
        "accuracy_by_epoch": history.column("accuracy"),
        "command": program.command_line("examples/cifar10.py", ["train", *arguments]),
    }
    known = {"program": "cifar10", "recipe": flags.recipe, "widths": flags.widths, "labels": LABELS}
    save_weights(model, weights, known | figures)
    program.write_report(flags.report, figures)
    curve(flags.plot, {"training": history.column("loss")}, "epoch", "loss (nats)", "CIFAR-10", {"chance": CHANCE})
    confusion_matrix(confusion_file, shares(confusion), LABELS, "CIFAR-10, test images")
    image_grid(filters_file, *filters(model), columns=8)
    image_grid(mistakes_file, *mistakes(test, found))
    print(f"\nTest images: accuracy {figures['accuracy']:.4f}")
    print(f"Weights:     {weights}\nPictures:    {flags.plot}, {confusion_file}, {filters_file}, {mistakes_file}")


def batches(flags: Namespace, images: Images, epoch: int) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """The batches of an epoch. What is drawn for them is seeded here, on the thread that owns chance."""
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
    # Ours is an average: to one who adds gradients up, as PyTorch does, 10 with a momentum of 0.85 is a rate of 1.5.
    # 7 divides the 49 steps of an epoch: so it ends on the slow weights.
    return Lookahead(Momentum(flags.lr, 0.85, nesterov=True, weight_decay=0.00133), every=7)


def set_rates(optimizer: Optimizer, flags: Namespace, step: int, num_steps: int) -> None:
    """The learning rate of a step; and how slowly Lookahead's weights follow, at the end more slowly than before."""
    if isinstance(optimizer, Lookahead):
        optimizer.lr = flags.lr * triangle(step, num_steps, start=0.2, top=0.23, end=0.07)
        optimizer.decay = 0.95**optimizer.every * (step / num_steps) ** 3
    elif isinstance(optimizer, GradientDescent):
        optimizer.lr = flags.lr * cosine_decay(step, num_steps)


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on CIFAR-10.", prog="cifar10.py train")
    parser.add_argument("--recipe", choices=list(RECIPES), default="modern", help="which of the two (default: modern)")
    parser.add_argument(
        "--optimizer", choices=("gradient_descent", "adam"), help="of the document's recipe (default: gradient_descent)"
    )
    parser.common(
        data=None, out=Path("runs/cifar10"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.optimizer and flags.recipe == "modern":
        raise ScratchError("--optimizer: the modern recipe has its own; choose --recipe document")
    if flags.optimizer == "adam" and flags.lr is None:
        flags.lr = ADAM_RATE
    if flags.smoke:
        flags.batch_size, flags.epochs = flags.batch_size or 20, flags.epochs or 6
        if flags.recipe == "modern" and flags.lr is None:
            flags.lr = 1.0
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    flags.widths = list(WIDTHS[flags.recipe])
    if flags.smoke:
        flags.widths = [16] * len(flags.widths)
    return flags


def smoke_images() -> tuple[Images, Images]:
    """Stripes in five colours, across or upright, with some noise: enough to see that a network learns."""
    labels = numpy.arange(120) % 10
    colours = numpy.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
    stripes = numpy.broadcast_to(numpy.arange(32) // 4 % 2, (32, 32))
    patterns = numpy.array([stripes, stripes.T])[labels // 5, ..., None] * colours[labels % 5, None, None]
    noise = numpy.random.default_rng(0).integers(0, 60, patterns.shape)
    pixels = (40 + 150 * patterns + noise).astype(numpy.uint8)
    return Images(pixels[:100], labels[:100]), Images(pixels[100:], labels[100:])


# Trained weights ------------------------------------------------------------------------------------------------


def load(path: Path) -> tuple[Sequential, str]:
    """The network in a file of weights, and the recipe that it is of."""
    known = metadata_of(path, "cifar10", recipe=str, widths=list)
    recipe, widths = known["recipe"], known["widths"]
    right = recipe in WIDTHS and len(widths) == len(WIDTHS[recipe])
    if not right or not all(type(width) is int and 1 <= width <= 4096 for width in widths):
        raise ScratchError(f"{path}: its metadata do not fit a network of this program")
    numbers = sum(math.prod(shape) for shape in read_shapes(path).values())
    chain = [width for width in widths for _ in range(2 if recipe == "modern" else 1)]
    if 9 * sum(a * b for a, b in pairwise(chain)) > numbers:  # of a size that is only claimed: it is not even made
        raise ScratchError(f"{path}: its metadata do not fit its network")
    model = build(recipe, widths)
    load_weights(model, path)
    return model, recipe


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try weights on the 10,000 test images.", prog="cifar10.py evaluate")
    parser.common(data=None, weights=WEIGHTS, device=None, threads=None, report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    program.writable_file(flags.plot, flags.weights, flags.data)
    program.writable_file(flags.report, flags.weights, flags.plot, flags.data)
    model, recipe = load(flags.weights)
    _, test = load_cifar(flags.data)
    started = time.perf_counter()
    parallel = in_threads(model, flags.threads or default_threads(500))
    with evaluating(parallel):
        found = scores(parallel, recipe, test.pixels)
    seconds = time.perf_counter() - started
    confusion = count_confusions(test.labels, found.argmax(axis=1), len(LABELS))
    print(table(confusion, LABELS))
    print(f"\n{len(test.labels)} test images: accuracy {accuracy(confusion):.4f}, in {seconds:.0f} s")
    if flags.plot:
        confusion_matrix(flags.plot, shares(confusion), LABELS, "CIFAR-10, test images")
    program.write_report(flags.report, {
        "accuracy": accuracy(confusion), "seconds": seconds, "num_tested": len(test.labels),
        "confusion": confusion.tolist(),
    })


def command_show(arguments: list[str]) -> None:
    parser = program.Parser("Draw pictures: what each is, and the likeliest classes.", prog="cifar10.py show")
    parser.add_argument("--images", nargs="+", type=Path, metavar="FILE", help="pictures of your own")
    parser.add_argument("--top", type=program.positive, default=3, metavar="N", help="how many classes (default: 3)")
    parser.common(data=None, weights=WEIGHTS, count=10, seed=None, device=None, plot=Path("runs/cifar10/show.png"))
    flags = parser.parse_args(arguments)
    program.begin(flags)
    program.writable_file(flags.plot, flags.weights, flags.data, *(flags.images or []))
    model, recipe = load(flags.weights)
    if flags.images:
        pixels, names = read_pictures(flags.images), [path.name for path in flags.images]
    else:
        _, test = load_cifar(flags.data)
        places = random.sample(range(len(test.labels)), min(flags.count, len(test.labels)))
        pixels, names = test.pixels[places], [LABELS[test.labels[place]] for place in places]
    with evaluating(model):
        p = to_host(softmax(to_device(scores(model, recipe, pixels))))
    captions = with_likeliest(names, p, flags.top)
    for caption in captions:
        print(program.one_line(caption.replace("\n", "  ")))
    image_grid(flags.plot, pixels, captions)
    print(f"Picture: {flags.plot}")


if __name__ == "__main__":
    program.run(main)
