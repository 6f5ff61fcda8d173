"""Questions as arrays: which of them can be learned from, batches of them, and the answers that scores stand for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from bidaf.squad import Squad, is_held_out, read_squad
from bidaf.words import Lexicon

from scratch.backend import to_device, to_host
from scratch.batching import batches, padded
from scratch.checks import ScratchError
from scratch.functions import log_softmax
from scratch.layer import Layer, evaluating
from scratch.tools.datasets import find
from scratch.tools.history import progress

LEARN = ("train-v1.1.json", "train-v1.1.partial.json")
TEST = "dev-v1.1.json"
LONGEST_ANSWER = 20  # words
SPANS = ("smart", "each")


class Data(NamedTuple):
    """Paragraphs with questions to learn from, and those held out."""

    learn: Squad
    held_out: Squad


def load_squad(given: Path | None, whole: bool) -> Data:
    """With `whole`, the official files: train and dev. Without, what of train is here, with three quarters of dev.

    Held out are then the articles of dev that `is_held_out` names.
    Raises: ScratchError when a file is missing, or nothing held out.
    """
    folder = find("squad", given)
    learn, test = _read(folder, *LEARN[: 1 if whole else 2]), _read(folder, TEST)
    return Data(learn if whole else joined(learn, part(test, held_out=False)), _held_out(test, whole))


def load_held_out(given: Path | None, whole: bool) -> Squad:
    """The questions held out alone, for which train is not needed. Raises: as `load_squad`."""
    return _held_out(_read(find("squad", given), TEST), whole)


def _read(folder: Path, *names: str) -> Squad:
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise ScratchError(f"{folder}: lacks {names[0]}")
    return read_squad(path)


def _held_out(test: Squad, whole: bool) -> Squad:
    kept = test if whole else part(test, held_out=True)
    if not kept.questions:
        raise ScratchError(f"none of the articles of {TEST} is held out; with all of it, --whole tests on all")
    return kept


def part(squad: Squad, held_out: bool) -> Squad:
    """The articles that are held out, or the others."""
    kept = [k for k, title in enumerate(squad.titles) if is_held_out(title) == held_out]
    number = {k: new for new, k in enumerate(kept)}
    questions = [q._replace(context=number[q.context]) for q in squad.questions if q.context in number]
    return Squad([squad.contexts[k] for k in kept], [squad.titles[k] for k in kept], questions)


def joined(first: Squad, second: Squad) -> Squad:
    """The paragraphs and questions of both."""
    moved = [question._replace(context=question.context + len(first.contexts)) for question in second.questions]
    return Squad(first.contexts + second.contexts, first.titles + second.titles, first.questions + moved)


class Encoded(NamedTuple):
    """A question as numbers: the words of its context and its own, and the span of its answer (or None)."""

    context: list[int]
    asked: list[int]
    span: tuple[int, int] | None


def encode(squad: Squad, lexicon: Lexicon, most: int, most_asked: int) -> list[Encoded]:
    """Every question as numbers; contexts and questions are cut, and an answer beyond the cut is None."""
    contexts = [lexicon.encode(context.words[:most]) for context in squad.contexts]
    found = []
    for question in squad.questions:
        span = question.span if question.span is not None and question.span[1] < most else None
        asked = lexicon.encode(question.asked.words[:most_asked])
        found.append(Encoded(contexts[question.context], asked or [0], span))
    return found


def batch(examples: Sequence[Encoded]) -> tuple[Any, ...]:
    """Contexts (N, T), questions (N, J) and their masks, on the device."""
    contexts, context_mask = padded([example.context for example in examples], fill=0)
    asked, asked_mask = padded([example.asked for example in examples], fill=0)
    return tuple(to_device(array) for array in (contexts, asked, context_mask, asked_mask))


def in_batches(examples: Sequence[Encoded], batch_size: int) -> Iterator[list[Encoded]]:
    """All examples once, in random order, those with contexts of about one length together."""
    return batches(examples, batch_size, length=lambda example: len(example.context))


class Guess(NamedTuple):
    """A span of words, and how probable it is."""

    begin: int
    end: int
    probability: float


def best_spans(begin: numpy.ndarray, end: numpy.ndarray, count: int = 1, spans: str = "smart") -> list[Guess]:
    """The most probable spans, by the log-probabilities (T,) of where they begin and end.

    "smart": of all spans that end where they begin or after it, of at most LONGEST_ANSWER words, the most probable
    together; "each": the likeliest begin and the likeliest end, each by itself, whatever their order.
    """
    if spans == "each":
        first, last = int(begin.argmax()), int(end.argmax())
        return [Guess(first, last, float(numpy.exp(begin[first] + end[last])))]
    # Row t: the spans that begin at word t, of 1, 2, ... words; beyond the last word none ends.
    ends = numpy.pad(end.astype(numpy.float64), (0, LONGEST_ANSWER - 1), constant_values=-numpy.inf)
    together = begin[:, None] + numpy.lib.stride_tricks.sliding_window_view(ends, LONGEST_ANSWER)
    best = numpy.argsort(-together, axis=None, kind="stable")[:count]
    found = ((*divmod(int(k), LONGEST_ANSWER), together.flat[k]) for k in best)
    return [Guess(first, first + more, float(numpy.exp(value))) for first, more, value in found if value > -numpy.inf]


def log_probabilities(
    model: Layer, examples: Sequence[Encoded], batch_size: int = 64
) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    """For each example, of every word of its context, the log-probabilities to be the answer's first and its last."""
    order = sorted(range(len(examples)), key=lambda k: len(examples[k].context))
    found: list[Any] = [None] * len(examples)
    with evaluating(model):
        for start in progress(range(0, len(order), batch_size), "reading"):
            places = order[start : start + batch_size]
            contexts, asked, context_mask, asked_mask = batch([examples[k] for k in places])
            scores = model.forward(contexts, asked, context_mask=context_mask, asked_mask=asked_mask)
            for k, row in zip(places, to_host(scores), strict=True):
                if not numpy.isfinite(row).all():
                    raise ScratchError("scores that are not finite; are the weights damaged?")
                rows = to_host(log_softmax(to_device(row[:, : len(examples[k].context)])))
                found[k] = (rows[0], rows[1])
    return found


def answers(
    squad: Squad, said: Sequence[tuple[numpy.ndarray, numpy.ndarray]], spans: str = "smart"
) -> dict[str, str]:
    """The text of the best span for each question, by its id; none where it would end before it begins."""
    guesses = {}
    for question, (begin, end) in zip(squad.questions, said, strict=True):
        best = best_spans(begin, end, spans=spans)[0]
        context = squad.contexts[question.context]
        guesses[question.id] = context.span(best.begin, best.end) if best.begin <= best.end else ""
    return guesses
