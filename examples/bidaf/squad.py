"""SQuAD: paragraphs of Wikipedia, questions about them, and answers that are spans of the paragraph.

Source: Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250; the files of version 1.1.
"""

import hashlib
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scratch.checks import ScratchError
from scratch.text import places_of_words
from scratch.tools.files import read_json
from scratch.tools.history import progress
from scratch.tools.schema import check

# Words as GloVe divides them, in their own case: "doesn't" is does and n't, "film's" is film and 's; a number may
# contain points and commas. Hyphens and dashes are words of their own, because answers often begin or end at one.
_WORD = re.compile(
    r"\d+(?:[.,]\d+)*|[^\W\d_]+?(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|[^\W\d_]+|``|''|\S", flags=re.IGNORECASE
)
SCHEMA = {
    "data": [{"title": str, "paragraphs": [{"context": str, "qas": [
        {"id": str, "question": str, "answers": [{"text": str, "answer_start": int}]},
    ]}]}],
}
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Text(NamedTuple):
    """A text and its words: word k is text[starts[k] : ends[k]]."""

    text: str
    words: list[str]
    starts: list[int]
    ends: list[int]

    def span(self, begin: int, end: int) -> str:
        """The text from word `begin` to word `end`, both included."""
        return self.text[self.starts[begin] : self.ends[end]]


class Question(NamedTuple):
    """A question about a paragraph: its id, its words, the answers that people gave, and the span of the first answer.

    context: the number of the paragraph.
    span: the first and the last word of the answer in the paragraph; None if the answer is not where the file says.
    exact: whether the answer begins and ends where these words do; otherwise it is a part of them.
    """

    id: str
    asked: Text
    context: int
    answers: list[str]
    span: tuple[int, int] | None
    exact: bool


class Squad(NamedTuple):
    """Paragraphs, the title of each one's article, and the questions about them."""

    contexts: list[Text]
    titles: list[str]
    questions: list[Question]


def words_with_places(text: str) -> Text:
    """The words of `text` with their positions. White space separates words and belongs to none."""
    places = places_of_words(_WORD, text)
    starts, ends = [start for start, _ in places], [end for _, end in places]
    return Text(text, [text[start:end] for start, end in places], starts, ends)


def find_span(context: Text, start: int, answer: str) -> tuple[tuple[int, int] | None, bool]:
    """The first and last word that overlap the answer at character `start`, and whether it is exactly these words."""
    end = start + len(answer)
    if not answer or start < 0 or context.text[start:end] != answer:
        return None, False
    overlap = [k for k, (a, b) in enumerate(zip(context.starts, context.ends, strict=True)) if a < end and b > start]
    if not overlap:
        return None, False
    first, last = overlap[0], overlap[-1]
    return (first, last), context.starts[first] == start and context.ends[last] == end


def read_squad(path: str | Path) -> Squad:
    """The paragraphs and questions of a file of SQuAD 1.1.

    Raises: ScratchError for a file of another format, such as SQuAD 2.0, whose questions may have no answer; or one
        without a question.
    """
    place = f"{path}, read as SQuAD 1.1"
    data = check(read_json(path, most=256 * 2**20), dict, place)
    if str(data.get("version", "1.1")).lstrip("v").startswith("2"):
        raise ScratchError(f"{path}: is SQuAD 2.0, where questions may have no answer; expected SQuAD 1.1")
    squad = Squad([], [], [])
    for article in progress(check(data, SCHEMA, place)["data"], "reading"):
        for paragraph in article["paragraphs"]:
            squad.contexts.append(words_with_places(paragraph["context"]))
            squad.titles.append(article["title"])
            if paragraph["qas"] and not squad.contexts[-1].words:
                raise ScratchError(f"{path}: a paragraph of {squad.titles[-1]} has questions but no words")
            for asked in paragraph["qas"]:
                squad.questions.append(_question(path, squad.contexts, asked))
    if not squad.questions:
        raise ScratchError(f"{path}: contains no questions")
    return squad


def _question(path: str | Path, contexts: Sequence[Text], asked: Mapping[str, Any]) -> Question:
    if asked.get("is_impossible"):
        raise ScratchError(f"{path}: is SQuAD 2.0, where questions may have no answer; expected SQuAD 1.1")
    answers = [(answer["text"], answer["answer_start"]) for answer in asked["answers"]]
    span, exact = find_span(contexts[-1], answers[0][1], answers[0][0]) if answers else (None, False)
    text = words_with_places(asked["question"])
    return Question(asked["id"], text, len(contexts) - 1, [answer for answer, _ in answers], span, exact)


def is_held_out(title: str) -> bool:
    """Whether an article of the development set is held out: a quarter of them are."""
    return int(hashlib.sha256(title.encode()).hexdigest(), 16) % 4 == 0


# Scores ---------------------------------------------------------------------------------------------------------


def normalised(answer: str) -> str:
    """An answer as SQuAD compares it: in lower case, without punctuation, articles and repeated spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(guess: str, answers: Sequence[str]) -> float:
    """1 if the guess is one of the answers, else 0."""
    return max((float(normalised(guess) == normalised(answer)) for answer in answers), default=0.0)


def f1(guess: str, answers: Sequence[str]) -> float:
    """The overlap of the guess's words with those of the answer nearest to it, 0 to 1."""
    return max((_f1(normalised(guess).split(), normalised(answer).split()) for answer in answers), default=0.0)


def _f1(guess: list[str], answer: list[str]) -> float:
    common = sum((Counter(guess) & Counter(answer)).values())
    # The harmonic mean of precision (common / guess) and recall (common / answer).
    return 2 * common / (len(guess) + len(answer)) if common else 0.0


def score(questions: Sequence[Question], guesses: Mapping[str, str]) -> dict[str, float]:
    """Exact match and F1 in per cent, by SQuAD's own definition; a question without a guess counts as wrong."""
    given = [(guesses[question.id], question.answers) for question in questions if question.id in guesses]
    count = max(len(questions), 1)
    return {
        "exact_match": 100 * sum(exact_match(guess, answers) for guess, answers in given) / count,
        "f1": 100 * sum(f1(guess, answers) for guess, answers in given) / count,
    }
