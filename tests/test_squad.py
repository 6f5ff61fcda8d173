"""SQuAD's files, and the spans and scores of answers."""

import json

import pytest
from bidaf.squad import exact_match, f1, find_span, is_held_out, read_squad, score, words_with_places
from hypothesis import given
from hypothesis import strategies as st
from programs import DATA

from scratch.checks import ScratchError

# SQuAD ----------------------------------------------------------------------------------------------------------


def test_words_are_where_they_say():
    text = "Denver doesn't win 1,234.5 games—in 2016's “Super Bowl” (50)…  naïve\u200b東京 x_y"
    found = words_with_places(text)
    assert found.words == [
        "Denver", "does", "n't", "win", "1,234.5", "games", "—", "in", "2016", "'s", "“", "Super", "Bowl", "”", "(",
        "50", ")", "…", "naïve", "\u200b", "東京", "x", "_", "y",
    ]
    assert [text[a:b] for a, b in zip(found.starts, found.ends, strict=True)] == found.words
    assert found.span(11, 12) == "Super Bowl" and words_with_places("") == ("", [], [], [])


@given(st.text(max_size=40))
def test_no_character_but_white_space_is_lost(text):
    found = words_with_places(text)
    assert "".join(found.words) == "".join(text.split())
    assert [text[a:b] for a, b in zip(found.starts, found.ends, strict=True)] == found.words


def test_spans():
    context = words_with_places("The 1990s were  loud.")
    assert find_span(context, 4, "1990s") == ((1, 2), True)  # a number and a letter are two words
    assert find_span(context, 10, "were  loud") == ((3, 4), True)
    assert find_span(context, 5, "990") == ((1, 1), False)  # a part of a word
    for start, answer in ((0, "1990s"), (4, ""), (-1, "T"), (14, "  "), (99, "x")):
        assert find_span(context, start, answer) == (None, False)


def squad_file(path, version="1.1", **changes):
    qas = {"id": "q1", "question": "When?", "answers": [{"text": "1990s", "answer_start": 4}]} | changes
    article = {"title": "Loud", "paragraphs": [{"context": "The 1990s were loud.", "qas": [qas]}]}
    path.write_text(json.dumps({"version": version, "data": [article]}), encoding="utf-8")
    return path


def test_a_file(tmp_path):
    squad = read_squad(squad_file(tmp_path / "s.json"))
    (question,) = squad.questions
    assert squad.titles == ["Loud"] and question.asked.words == ["When", "?"] and question.answers == ["1990s"]
    assert squad.contexts[question.context].span(*question.span) == "1990s" and question.exact
    moved = read_squad(squad_file(tmp_path / "s.json", answers=[{"text": "1990s", "answer_start": 3}])).questions[0]
    assert moved.span is None and moved.answers == ["1990s"]


@pytest.mark.parametrize(("content", "words"), [
    ('{"version": "v2.0", "data": []}', "SQuAD 2.0"), ('{"version": "1.1", "data": []}', "no questions"),
    ("[]", "read as SQuAD 1.1: expected an object"),
    ('{"data": [{"title": "x"}]}', "read as SQuAD 1.1: "), ("{", "damaged"),
    ('{"data": [{"title": 3}]}', "expected a string, got 3"),
])
def test_files_of_another_form_are_refused(content, words, tmp_path):
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(ScratchError, match=words):
        read_squad(tmp_path / "s.json")


@pytest.mark.parametrize("changes", [
    {"answers": [{"text": "x", "answer_start": start}]} for start in ("abc", float("inf"), None)
] + [{"question": "\ud800"}, {"id": 7}])
def test_a_damaged_question_is_refused(changes, tmp_path):
    with pytest.raises(ScratchError, match=r"read as SQuAD|not a finite number"):
        read_squad(squad_file(tmp_path / "s.json", **changes))


def test_a_paragraph_without_a_word_is_refused(tmp_path):
    text = squad_file(tmp_path / "s.json").read_text().replace("The 1990s were loud.", "  ")
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ScratchError, match="of Loud has questions but no words"):
        read_squad(tmp_path / "s.json")


def test_a_question_without_an_answer_is_of_squad_2(tmp_path):
    with pytest.raises(ScratchError, match=r"SQuAD 2\.0"):
        read_squad(squad_file(tmp_path / "s.json", is_impossible=True, answers=[]))


@pytest.mark.parametrize(("guess", "answers", "em", "expected"), [
    ("The Denver Broncos!", ["Denver Broncos"], 1, 1), ("denver", ["Denver Broncos"], 0, 2 / 3),
    ("Carolina", ["Denver Broncos", "Carolina Panthers"], 0, 2 / 3), ("the", ["a"], 1, 0), ("", ["x"], 0, 0),
    ("to to be", ["to be to"], 0, 1), ("a cat", ["cat a"], 1, 1), ("x", [], 0, 0), ("24\u201310", ["24-10"], 0, 0),
    ("U.S.", ["us"], 1, 1), ("Éire", ["éire"], 1, 1),
])
def test_scores_are_squads(guess, answers, em, expected):
    assert exact_match(guess, answers) == em and f1(guess, answers) == pytest.approx(expected)


@pytest.mark.thorough
def test_the_real_files():
    path = DATA / "squad" / "dev-v1.1.json"
    if not path.exists():
        pytest.skip("the real data set is not here")
    squad = read_squad(path)
    assert (len(squad.contexts), len(squad.questions), len(set(squad.titles))) == (2067, 10570, 48)
    held_out = [question for question in squad.questions if is_held_out(squad.titles[question.context])]
    assert len(held_out) == 2125 and len({squad.titles[question.context] for question in held_out}) == 12
    assert all(question.span for question in squad.questions)
    assert sum(not question.exact for question in squad.questions) < 100
    perfect = {question.id: question.answers[0] for question in squad.questions}
    assert score(squad.questions, perfect) == {"exact_match": 100, "f1": 100}
    told = {question.id: squad.contexts[question.context].span(*question.span) for question in squad.questions}
    assert score(squad.questions, told)["exact_match"] > 99
    assert score(squad.questions, {}) == {"exact_match": 0, "f1": 0}
