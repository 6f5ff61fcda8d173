"""`python examples/bidaf evaluate`: exact match and F1 on the held-out questions, by kind, and the near misses."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bidaf.examples import SPANS, answers, digest_of, encode, load_held_out, log_probabilities
from bidaf.prepare import read_prepared
from bidaf.squad import Question, exact_match, f1, score
from bidaf.trained import WEIGHTS, load, texts_of

from scratch.fast import fast
from scratch.tools import program
from scratch.tools.datasets import trained_on
from scratch.tools.files import write_text
from scratch.tools.weights import metadata_of

KINDS = ("what", "who", "when", "where", "which", "how", "why")


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on the held-out questions.", prog="bidaf evaluate")
    parser.add_argument(
        "--predictions", type=Path, metavar="FILE", help="write the answers to FILE in SQuAD's JSON format"
    )
    parser.add_argument(
        "--spans", choices=SPANS, help="how an answer's start and end are chosen (default: as recorded)"
    )
    parser.add_argument(
        "--count", type=program.positive, default=5, metavar="N", help="number of near misses to show (default: 5)"
    )
    parser.common(data=None, weights=WEIGHTS, device=None, threads=None, plain=False, report=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    whole = metadata_of(flags.weights, "bidaf", whole=bool)["whole"]
    origin = trained_on(flags.weights, "squad", flags.data)
    program.writable_file(flags.predictions, flags.weights, origin.place)
    program.writable_file(flags.report, flags.weights, origin.place, flags.predictions)
    if origin.place is not None and origin.place.is_file():  # the file of `prepare`
        held_out = read_prepared(origin.place, word_length=1)[0].held_out
    else:
        held_out = load_held_out(origin.place, whole)
    origin.expect(digest_of(held_out))
    model, lexicon, metadata = load(flags.weights, *texts_of(held_out))
    started = time.perf_counter()
    model = model if flags.plain else fast(model, flags.threads)
    said = log_probabilities(model, encode(held_out, lexicon, metadata["context_words"], metadata["asked_words"]))
    seconds = time.perf_counter() - started
    spans = flags.spans or metadata["spans"]
    guesses = answers(held_out, said, spans)
    found = score(held_out.questions, guesses)
    print(f"{len(guesses)} held-out questions: exact match {found['exact_match']:.2f}, F1 {found['f1']:.2f}")
    for other in SPANS:
        if other != spans:
            plain = score(held_out.questions, answers(held_out, said, other))
            print(f"(with --spans {other}: {plain['exact_match']:.2f}, {plain['f1']:.2f})")
    rows = by_kind(held_out.questions, guesses)
    print(f"\n{'question':10}{'count':>8}{'EM':>8}{'F1':>8}{'EM = 0':>9}{'F1 = 0':>9}")
    for kind, row in rows.items():
        print(f"{kind:10}{row.number:8}{row.exact_match:8.2f}{row.f1:8.2f}{row.not_exact:9.1%}{row.all_wrong:9.1%}")
    for question in near_misses(held_out.questions, guesses)[: flags.count]:
        print(f"\n{program.one_line(question.asked.text)}")
        print(f"  answered {program.one_line(guesses[question.id])}")
        print(f"  expected {program.one_line(' | '.join(dict.fromkeys(question.answers)))}")
    if flags.predictions:
        write_text(flags.predictions, json.dumps(guesses, ensure_ascii=False) + "\n")
    program.write_report(flags.report, found | {
        "num_questions": len(guesses), "spans": spans, "seconds": seconds,
        "by_kind": {kind: row._asdict() for kind, row in rows.items()},
    })


class Row(NamedTuple):
    """The number of questions of a kind, their mean scores in per cent, and the shares that score 0."""

    number: int
    exact_match: float
    f1: float
    not_exact: float
    all_wrong: float


def kind_of(question: Question) -> str:
    """The first of KINDS among its words, or "other"."""
    return next((word for word in map(str.lower, question.asked.words) if word in KINDS), "other")


def by_kind(questions: Sequence[Question], guesses: Mapping[str, str]) -> dict[str, Row]:
    """The scores of the questions of each kind that occurs."""
    rows = {}
    for kind in (*KINDS, "other"):
        some = [question for question in questions if kind_of(question) == kind]
        if some:
            em = [exact_match(guesses[question.id], question.answers) for question in some]
            shares = [f1(guesses[question.id], question.answers) for question in some]
            means = 100 * sum(em) / len(em), 100 * sum(shares) / len(shares)
            rows[kind] = Row(len(some), *means, em.count(0) / len(em), shares.count(0) / len(shares))
    return rows


def near_misses(questions: Sequence[Question], guesses: Mapping[str, str]) -> list[Question]:
    """The questions whose answer is wrong but shares words with a right one, in order of falling F1."""
    shared = {q.id: f1(guesses[q.id], q.answers) for q in questions if not exact_match(guesses[q.id], q.answers)}
    missed = [question for question in questions if shared.get(question.id)]
    return sorted(missed, key=lambda question: -shared[question.id])
