"""Questions as arrays: training and held-out sets, batches, and the answers that a network's scores stand for."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from bidaf.squad import Question, Squad, find_span, is_held_out, read_squad, words_with_places
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
    """Paragraphs and questions: the training set, and the held-out set."""

    learn: Squad
    held_out: Squad


def load_squad(given: Path | None, whole: bool) -> Data:
    """With `whole`, the official files: train and dev. Otherwise train, or a part of it, with three quarters of dev.

    The held-out set is then the articles of dev that `is_held_out` names.
    Raises: ScratchError when a file is missing, or the held-out set is empty.
    """
    folder = find("squad", given)
    learn, test = _read(folder, *LEARN[: 1 if whole else 2]), _read(folder, TEST)
    return Data(learn if whole else joined(learn, part(test, held_out=False)), _held_out(test, whole))


def load_held_out(given: Path | None, whole: bool) -> Squad:
    """The held-out set, which does not need the training file. Raises: as `load_squad`."""
    return _held_out(_read(find("squad", given), TEST), whole)


def digest_of(squad: Squad) -> str:
    """The SHA-256 of the questions."""
    return hashlib.sha256(repr(squad.questions).encode()).hexdigest()


def _read(folder: Path, *names: str) -> Squad:
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise ScratchError(f"{folder}: contains no {names[0]}")
    return read_squad(path)


def _held_out(test: Squad, whole: bool) -> Squad:
    kept = test if whole else part(test, held_out=True)
    if not kept.questions:
        raise ScratchError(f"no article of {TEST} is held out; --whole evaluates on all of them")
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


def smoke_data() -> Data:
    """Who lives where and likes what: a paragraph of two sentences for each name, and a question about each of them."""
    names, places, things = "Ann Bob Eve Kim Lea Max Tom Zoe".split(), "Rome Oslo Lima Bonn".split(), "tea cake".split()
    data = Data(Squad([], [], []), Squad([], [], []))
    for k, name in enumerate(names * 8):
        place, thing = places[k % 7 % 4], things[k % 5 % 2]
        context = words_with_places(f"{name} lives in {place} . {names[k % 3]} likes {thing} .")
        squad = data[k % 8 == 7]
        squad.contexts.append(context)
        squad.titles.append(name)
        for number, (asked, answer) in enumerate(((f"Where does {name} live ?", place), ("What is liked ?", thing))):
            span, exact = find_span(context, context.text.rindex(answer), answer)
            last = len(squad.contexts) - 1
            squad.questions.append(Question(f"{k}-{number}", words_with_places(asked), last, [answer], span, exact))
    return data


class Encoded(NamedTuple):
    """A question as ids: the words of its context and its own words, and the span of its answer (or None)."""

    context: list[int]
    asked: list[int]
    span: tuple[int, int] | None


def encode(squad: Squad, lexicon: Lexicon, most: int, most_asked: int) -> list[Encoded]:
    """Every question as ids. Contexts and questions are cut; the span of an answer beyond the cut is None."""
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
    """All examples once, in random order; contexts of similar length are in the same batch."""
    return batches(examples, batch_size, length=lambda example: len(example.context))


class Guess(NamedTuple):
    """A span of words, and its probability."""

    begin: int
    end: int
    probability: float


def best_spans(begin: numpy.ndarray, end: numpy.ndarray, count: int = 1, spans: str = "smart") -> list[Guess]:
    """The most probable spans, given the log-probabilities (T,) of each word to be the first and the last.

    "smart": of all spans that end where they begin or later, and have at most LONGEST_ANSWER words, those with the
    largest product of both probabilities. "each": the likeliest begin and the likeliest end, whatever their order.
    """
    if spans == "each":
        first, last = int(begin.argmax()), int(end.argmax())
        return [Guess(first, last, float(numpy.exp(begin[first] + end[last])))]
    # Row t: the spans of 1, 2, ... words that begin at word t. Ends beyond the last word have probability 0.
    ends = numpy.pad(end.astype(numpy.float64), (0, LONGEST_ANSWER - 1), constant_values=-numpy.inf)
    together = begin[:, None] + numpy.lib.stride_tricks.sliding_window_view(ends, LONGEST_ANSWER)
    best = numpy.argsort(-together, axis=None, kind="stable")[:count]
    found = ((*divmod(int(k), LONGEST_ANSWER), together.flat[k]) for k in best)
    return [Guess(first, first + more, float(numpy.exp(value))) for first, more, value in found if value > -numpy.inf]


def log_probabilities(
    model: Layer, examples: Sequence[Encoded], batch_size: int = 64
) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    """For each example, the log-probabilities of each word of its context to be the answer's first, and its last."""
    order = sorted(range(len(examples)), key=lambda k: len(examples[k].context))
    found: list[Any] = [None] * len(examples)
    with evaluating(model):
        for start in progress(range(0, len(order), batch_size), "reading"):
            chosen = order[start : start + batch_size]
            contexts, asked, context_mask, asked_mask = batch([examples[k] for k in chosen])
            scores = model.forward(contexts, asked, context_mask=context_mask, asked_mask=asked_mask)
            for k, row in zip(chosen, to_host(scores), strict=True):
                if not numpy.isfinite(row).all():
                    raise ScratchError(
                        "the scores are not finite: the weights are damaged, or the learning rate was too large"
                    )
                rows = to_host(log_softmax(to_device(row[:, : len(examples[k].context)])))
                found[k] = (rows[0], rows[1])
    return found


def answers(
    squad: Squad, said: Sequence[tuple[numpy.ndarray, numpy.ndarray]], spans: str = "smart"
) -> dict[str, str]:
    """The text of the best span for each question, by its id; an empty one if it ends before it begins.

    said: what `log_probabilities` returned for the questions of `squad`.
    """
    guesses = {}
    for question, (begin, end) in zip(squad.questions, said, strict=True):
        best = best_spans(begin, end, spans=spans)[0]
        context = squad.contexts[question.context]
        guesses[question.id] = context.span(best.begin, best.end) if best.begin <= best.end else ""
    return guesses
