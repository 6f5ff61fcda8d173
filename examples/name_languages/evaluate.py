"""`python examples/name_languages evaluate`: accuracy, recalls and confusions on the held-out names."""

from collections.abc import Sequence

import numpy
from name_languages.letters import Example, digest_of, split
from name_languages.network import WEIGHTS, NameReader, load
from name_languages.predict import log_probabilities

from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.tools import program
from scratch.tools.datasets import find, read_labelled_lines, trained_on
from scratch.tools.plots import confusion_matrix
from scratch.tools.scores import accuracy, count_confusions, mean_recall, per_class, shares, table


def confusions(model: NameReader, examples: Sequence[Example]) -> numpy.ndarray:
    """How often each language (row) is taken for each other (column)."""
    guesses = log_probabilities(model, [name for name, _ in examples]).argmax(axis=1)
    return count_confusions([language for _, language in examples], guesses, len(model.labels))


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on the held-out names.", prog="name_languages evaluate")
    parser.common(data=None, weights=WEIGHTS, device=None, plain=False, report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, origin = load(flags.weights), trained_on(flags.weights, "names", flags.data)
    folder = find("names", origin.place)
    program.writable_file(flags.plot, flags.weights, folder)
    program.writable_file(flags.report, flags.weights, flags.plot, folder)
    model = model if flags.plain else fast(model)
    data = read_labelled_lines(folder)
    origin.expect(digest_of(data))
    if tuple(data) != model.labels:
        known, found = ", ".join(model.labels), ", ".join(data)
        raise ScratchError(f"{flags.weights}: was trained on the languages {known}; the data has {found}")
    *_, held_out = split(data)
    confusion = confusions(model, held_out)
    _, recall, _ = per_class(confusion)
    print(table(confusion, model.labels))
    print("\nConfusion matrix: rows are true classes, columns predicted classes, in the same order")
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
