"""`python examples/name_languages predict`: the likeliest languages of names."""

import math
from collections.abc import Sequence

import numpy
from name_languages.letters import as_batch, check
from name_languages.network import WEIGHTS, NameReader, load

from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.layer import evaluating
from scratch.tools import program
from scratch.tools.history import progress


def log_probabilities(model: NameReader, names: Sequence[str], batch_size: int = 256) -> numpy.ndarray:
    """The log-probability of each language for each name, on the host: (number of names, number of languages)."""
    order = sorted(range(len(names)), key=lambda k: len(names[k]))  # names of similar length need less padding
    log_p = numpy.zeros((len(names), len(model.labels)), dtype=numpy.float32)
    with evaluating(model):
        for start in progress(range(0, len(names), batch_size), "reading"):
            rows = order[start : start + batch_size]
            letters, mask = as_batch([names[k] for k in rows], model.alphabet)
            log_p[rows] = to_host(model.forward(letters, mask=mask))
    return log_p


def predict(model: NameReader, names: Sequence[str], top: int) -> list[list[tuple[float, str]]]:
    """The `top` likeliest languages of each name, each with its log-probability, the likeliest first."""
    log_p = log_probabilities(model, names)
    best = (-log_p).argsort(axis=1, kind="stable")[:, :top]
    return [[(float(row[k]), model.labels[k]) for k in ks] for row, ks in zip(log_p, best, strict=True)]


def command(arguments: list[str]) -> None:
    parser = program.Parser("Predict the languages of names.", prog="name_languages predict")
    parser.add_argument("names", nargs="*", metavar="NAME", help="names (default: lines of standard input)")
    parser.add_argument(
        "--top", type=program.positive, default=3, metavar="K", help="number of languages to show per name (default: 3)"
    )
    parser.add_argument(
        "--log-probabilities", action="store_true", help="show log-probabilities, as in the tutorial: (-0.47) Scottish"
    )
    parser.common(weights=WEIGHTS, device=None, plain=False)
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    model = load(flags.weights)
    model = model if flags.plain else fast(model)

    def reply(given: Sequence[str]) -> None:
        names, refused = [], []
        for name in given:
            try:
                names.append(check(name, model.alphabet))
            except ScratchError as error:
                refused.append(str(error))
        for name, guesses in zip(names, predict(model, names, flags.top), strict=True):
            print(f"\n> {program.one_line(name)}")
            for log_p, label in guesses:
                print(f"({program.figure(log_p, 2)})" if flags.log_probabilities else per_cent(log_p), label)
        if refused:  # after the answers for the other names
            raise ScratchError("; ".join(refused))

    program.answer(flags.names, "names", reply)


def per_cent(log_p: float) -> str:
    """A log-probability as a percentage; it is never shown as exactly 0 or 100 %."""
    p = 100 * math.exp(log_p)
    return f"{'< 0.1' if p < 0.1 else '> 99.9' if p > 99.9 else f'{p:.1f}':>6} % "
