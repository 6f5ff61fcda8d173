"""`python examples/movie_reviews evaluate`: accuracy, errors by length and confusions on the held-out phrases."""

import numpy
from movie_reviews.phrases import LABELS, digest_of, load_phrases, split
from movie_reviews.reading import add_model, committed, load, log_probabilities, print_summary

from scratch.fast import fast
from scratch.text import words_of
from scratch.tools import program
from scratch.tools.datasets import trained_on
from scratch.tools.plots import confusion_matrix
from scratch.tools.scores import accuracy, count_confusions, mean_f1, shares, table

BUCKETS = (1, 2, 3, 5, 9, 17)  # the least number of words in each


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on the held-out phrases.", prog="movie_reviews evaluate")
    add_model(parser)
    parser.common(data=None, weights=None, device=None, plain=False, report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    weights = flags.weights or committed(flags.model, flags.split)
    reader, model, known = load(weights)
    if flags.summary:
        print_summary(model, known.get("length"))
        return
    origin = trained_on(weights, "movie_reviews", flags.data)
    program.writable_file(flags.plot, weights, origin.place)
    program.writable_file(flags.report, weights, flags.plot, origin.place)
    phrases = load_phrases(origin.place)
    origin.expect(digest_of(phrases))
    *_, held_out = split(phrases, known["split"])
    rows = reader.encode([phrase.text for phrase in held_out])
    guesses = log_probabilities(model if flags.plain else fast(model), reader, rows).argmax(axis=1)
    labels = numpy.array([phrase.label for phrase in held_out])
    confusion = count_confusions(labels, guesses, len(LABELS))
    print(table(confusion, LABELS))
    print("\nConfusion matrix: rows are true classes, columns predicted classes, in the same order")
    for label, row in zip(LABELS, confusion, strict=True):
        print(f"{label:18}" + "".join(f"{count:>7}" for count in row))
    lengths = numpy.array([len(words_of(phrase.text)) for phrase in held_out])
    print(f"\n{'words':>7} {'phrases':>8} {'error':>7}")
    for least, beyond in zip(BUCKETS, (*BUCKETS[1:], 10**6), strict=True):
        some = (lengths >= least) & (lengths < beyond)
        name = f"{least}-{beyond - 1}" if beyond < 10**6 else f"{least}-"
        wrong = (guesses != labels)[some].mean() if some.any() else 0.0
        print(f"{name if beyond != least + 1 else least:>7} {some.sum():>8} {wrong:>7.3f}")
    print(f"\n{len(held_out)} held-out phrases (by {known['split']}): accuracy {accuracy(confusion):.4f}, mean F1 "
          f"{mean_f1(confusion):.4f}")
    if flags.plot:
        confusion_matrix(flags.plot, shares(confusion), LABELS, "Held-out phrases")
    program.write_report(flags.report, {
        "accuracy": accuracy(confusion), "f1": mean_f1(confusion), "model": known["model"], "split": known["split"],
        "num_phrases": len(held_out), "confusion": confusion.tolist(),
    })
