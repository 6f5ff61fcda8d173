"""SQuAD: paragraphs of Wikipedia, questions about them, and answers that are spans of the paragraph.

Source: Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250; the files are those of version 1.1.
"""

import hashlib
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scratch.checks import ScratchError
from scratch.tools.files import read_json

# A word as GloVe has them, in its own letters: of "doesn't" does and n't, of "film's" film and 's; a number may have
# points and commas. Hyphens and dashes stand alone, for an answer often begins or ends at one.
_WORD = re.compile(
    r"\d+(?:[.,]\d+)*|[^\W\d_]+?(?=n['\u2019]t\b)|n['\u2019]t\b|['\u2019](?:s|re|ve|ll|d|m)\b|[^\W\d_]+|``|''|\S",
    flags=re.IGNORECASE,
)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Text(NamedTuple):
    """A text and its words, each with the characters where it begins and ends: text[starts[k] : ends[k]] is word k."""

    text: str
    words: list[str]
    starts: list[int]
    ends: list[int]

    def span(self, begin: int, end: int) -> str:
        """The characters from word `begin` to word `end`, both included, as they stand in the text."""
        return self.text[self.starts[begin] : self.ends[end]]


class Question(NamedTuple):
    """A question about a paragraph: its id, its words, the answers that people gave, and the span of the first.

    span: the first and the last word of the answer in the paragraph; None where its text does not stand there.
    exact: whether the answer begins and ends where these words do; else it is a part of them.
    """

    id: str
    asked: Text
    context: int
    answers: list[str]
    span: tuple[int, int] | None
    exact: bool


class Squad(NamedTuple):
    """Paragraphs, with the title of each one's article, and the questions about them."""

    contexts: list[Text]
    titles: list[str]
    questions: list[Question]


def words_with_places(text: str) -> Text:
    """The words of `text`, and where they are. (Blanks are no words.)"""
    found = list(_WORD.finditer(text))
    return Text(text, [word[0] for word in found], [word.start() for word in found], [word.end() for word in found])


def find_span(context: Text, start: int, answer: str) -> tuple[tuple[int, int] | None, bool]:
    """The first and the last word that the answer at character `start` touches, and whether it is exactly these."""
    end = start + len(answer)
    if not answer or start < 0 or context.text[start:end] != answer:
        return None, False
    touched = [k for k, (a, b) in enumerate(zip(context.starts, context.ends, strict=True)) if a < end and b > start]
    if not touched:
        return None, False
    first, last = touched[0], touched[-1]
    return (first, last), context.starts[first] == start and context.ends[last] == end


def read_squad(path: str | Path) -> Squad:
    """The paragraphs and questions of a file of SQuAD 1.1.

    Raises: ScratchError for a file of another form (of SQuAD 2.0, whose questions may have no answer, too), or one
        without a question.
    """
    data = read_json(path, most=256 * 2**20)
    squad = Squad([], [], [])
    try:
        if str(data.get("version", "1.1")).lstrip("v").startswith("2"):
            raise ScratchError(f"{path}: is SQuAD 2.0, where questions may have no answer; this reads 1.1")
        for article in data["data"]:
            for paragraph in article["paragraphs"]:
                squad.contexts.append(words_with_places(_text(paragraph["context"])))
                squad.titles.append(_text(article["title"]))
                if paragraph["qas"] and not squad.contexts[-1].words:
                    raise ScratchError(f"{path}: a paragraph of {squad.titles[-1]} has questions, but not a word")
                for asked in paragraph["qas"]:
                    squad.questions.append(_question(path, squad.contexts, asked))
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ScratchError(f"{path}: not a file of SQuAD 1.1 ({type(error).__name__}: {error})") from error
    if not squad.questions:
        raise ScratchError(f"{path}: has no question")
    return squad


def _question(path: str | Path, contexts: Sequence[Text], asked: Mapping[str, Any]) -> Question:
    if asked.get("is_impossible"):
        raise ScratchError(f"{path}: is SQuAD 2.0, where questions may have no answer; this reads 1.1")
    answers = [(_text(answer["text"]), int(answer["answer_start"])) for answer in asked["answers"]]
    span, exact = find_span(contexts[-1], answers[0][1], answers[0][0]) if answers else (None, False)
    text = words_with_places(_text(asked["question"]))
    return Question(_text(asked["id"]), text, len(contexts) - 1, [answer for answer, _ in answers], span, exact)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    value.encode()  # half a character, which JSON can hold, could not be written to any file
    return value


def is_held_out(title: str) -> bool:
    """Whether an article of the development set is kept for testing: a quarter of them is."""
    return int(hashlib.sha256(title.encode()).hexdigest(), 16) % 4 == 0


# Scores ---------------------------------------------------------------------------------------------------------


def normalised(answer: str) -> str:
    """An answer as SQuAD compares it: small letters, without punctuation, articles and more than one space."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(guess: str, answers: Sequence[str]) -> float:
    """1 if the guess is one of the answers, else 0."""
    return max((float(normalised(guess) == normalised(answer)) for answer in answers), default=0.0)


def f1(guess: str, answers: Sequence[str]) -> float:
    """How much the words of the guess and of an answer have in common, 0 to 1, of the answer that has most."""
    return max((_f1(normalised(guess).split(), normalised(answer).split()) for answer in answers), default=0.0)


def _f1(guess: list[str], answer: list[str]) -> float:
    common = sum((Counter(guess) & Counter(answer)).values())
    # Harmonic mean of the share of the guess that is right, and of the answer that is found.
    return 2 * common / (len(guess) + len(answer)) if common else 0.0


def score(questions: Sequence[Question], guesses: Mapping[str, str]) -> dict[str, float]:
    """Exact match and F1, in per cent, by SQuAD's own definition; a question without a guess counts as wrong."""
    given = [(guesses[question.id], question.answers) for question in questions if question.id in guesses]
    count = max(len(questions), 1)
    return {
        "exact_match": 100 * sum(exact_match(guess, answers) for guess, answers in given) / count,
        "f1": 100 * sum(f1(guess, answers) for guess, answers in given) / count,
    }
