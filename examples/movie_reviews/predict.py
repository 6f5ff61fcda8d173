"""`python examples/movie_reviews predict`: the label of each phrase."""

from collections.abc import Sequence

import numpy
from movie_reviews.phrases import LABELS
from movie_reviews.reading import add_model, committed, load, log_probabilities, print_summary

from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.tools import program


def command(arguments: list[str]) -> None:
    parser = program.Parser("Predict the sentiment of phrases.", prog="movie_reviews predict")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="phrases (default: lines of standard input)")
    add_model(parser)
    parser.common(weights=None, device=None, plain=False)
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    reader, model, known = load(flags.weights or committed(flags.model, flags.split))
    if flags.summary:
        print_summary(model, known.get("length"))
        return
    model = model if flags.plain else fast(model)

    def reply(texts: Sequence[str]) -> None:
        rows, unknown = reader.encode(texts), []
        for text, row, log_p in zip(texts, rows, log_probabilities(model, reader, rows), strict=True):
            if not reader.knows(row):
                unknown.append(text)
                continue
            shown = ", ".join(f"{label} {value:.3f}" for label, value in zip(LABELS, numpy.exp(log_p), strict=True))
            print(f"{program.one_line(text)[:100]}\n  {LABELS[log_p.argmax()]} ({shown})")
        if unknown:  # after the answers for the other texts
            raise ScratchError(f"{unknown[0][:40]!r}: has no {reader.UNIT} that the network knows")

    program.answer(flags.texts, "texts", reply)
