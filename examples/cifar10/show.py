"""`python examples/cifar10 show`: test images, or the user's own, with their likeliest classes, drawn to a file."""

import random
from pathlib import Path

from cifar10.batches import LABELS, load_test
from cifar10.network import WEIGHTS, load, scores
from cifar10.pictures import read_pictures, with_likeliest

from scratch.backend import to_device, to_host
from scratch.fast import fast
from scratch.functions import softmax
from scratch.layer import evaluating
from scratch.tools import program
from scratch.tools.datasets import trained_on
from scratch.tools.plots import image_grid


def command(arguments: list[str]) -> None:
    parser = program.Parser("Draw images with their true and likeliest classes.", prog="cifar10 show")
    parser.add_argument(
        "--images", nargs="+", type=Path, metavar="FILE", help="your own images, in place of test images"
    )
    parser.add_argument(
        "--top", type=program.positive, default=3, metavar="N", help="number of likeliest classes to show (default: 3)"
    )
    parser.add_argument(
        "--count", type=program.positive, default=10, metavar="N", help="number of test images to draw (default: 10)"
    )
    parser.common(
        data=None, weights=WEIGHTS, seed=None, device=None, plain=False, plot=Path("runs/cifar10/show.png")
    )
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    program.writable_file(flags.plot, flags.weights, flags.data, *(flags.images or []))
    model, recipe = load(flags.weights)
    model = model if flags.plain else fast(model)
    if flags.images:
        pixels, names, truth = read_pictures(flags.images), [path.name for path in flags.images], None
    else:
        origin = trained_on(flags.weights, "cifar10", flags.data)
        program.writable_file(flags.plot, origin.place)
        test = load_test(origin)
        places = random.sample(range(len(test.labels)), min(flags.count, len(test.labels)))
        pixels, truth = test.pixels[places], test.labels[places]
        names = [f"true class: {LABELS[label]}" for label in truth]
    with evaluating(model):
        p = to_host(softmax(to_device(scores(model, recipe, pixels))))
    captions = with_likeliest(names, p, flags.top, truth)
    for caption in captions:
        print(program.one_line(caption.replace("\n", "  ")))
    right = [] if truth is None else (p.argmax(axis=1) == truth).tolist()
    image_grid(flags.plot, pixels, captions, right=right)
    print((f"{sum(right)} of {len(right)} classified correctly. " if right else "") + f"Plot: {flags.plot}")
