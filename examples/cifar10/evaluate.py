"""`python examples/cifar10 evaluate`: the accuracy of trained weights on the 10,000 test images."""

import time

from cifar10.batches import LABELS, load_test
from cifar10.network import WEIGHTS, load, scores

from scratch.fast import fast
from scratch.layer import evaluating
from scratch.tools import program
from scratch.tools.datasets import trained_on
from scratch.tools.plots import confusion_matrix
from scratch.tools.scores import accuracy, count_confusions, shares, table


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on the 10,000 test images.", prog="cifar10 evaluate")
    parser.common(data=None, weights=WEIGHTS, device=None, threads=None, plain=False, report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, recipe = load(flags.weights)
    origin = trained_on(flags.weights, "cifar10", flags.data)
    program.writable_file(flags.plot, flags.weights, origin.place)
    program.writable_file(flags.report, flags.weights, flags.plot, origin.place)
    model = model if flags.plain else fast(model, flags.threads)
    test = load_test(origin)
    started = time.perf_counter()
    with evaluating(model):
        found = scores(model, recipe, test.pixels)
    seconds = time.perf_counter() - started
    confusion = count_confusions(test.labels, found.argmax(axis=1), len(LABELS))
    print(table(confusion, LABELS))
    print(f"\n{len(test.labels)} test images: accuracy {accuracy(confusion):.4f} (chance 0.1), in {seconds:.0f} s")
    if flags.plot:
        confusion_matrix(flags.plot, shares(confusion), LABELS, "CIFAR-10, test images")
    program.write_report(flags.report, {
        "accuracy": accuracy(confusion), "seconds": seconds, "num_tested": len(test.labels),
        "confusion": confusion.tolist(),
    })
