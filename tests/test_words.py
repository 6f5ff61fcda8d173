"""Words: one set of rules for all that split a text, whatever its script and spelling."""

import re
import unicodedata

from bidaf.squad import words_with_places
from char_cnn.texts import cleaned
from hypothesis import example, given
from hypothesis import strategies as st
from movie_reviews import predict as reviews_predict
from name_languages import predict as names_predict

from scratch.text import as_known, words_of

MIXED = st.text(st.one_of(
    st.sampled_from(["'", "\u2019", *"nts -.3\r\n", "\u00a0", "\u0301", "\u0308", "\u0307"]),
    st.characters(codec="utf-8"),
), max_size=30)
OF_GLOVE = re.compile(
    r"-[lr][rsc]b-|\w+?(?=n't\b)|n't\b|\w+(?:[-/.]\w+)*|'\w+|\.\.\.|--|``|''|[^\w\s]"
)
OF_SQUAD = re.compile(
    r"\d+(?:[.,]\d+)*|[^\W\d_]+?(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|[^\W\d_]+|``|''|\S", flags=re.IGNORECASE
)


@given(st.text(st.one_of(st.characters(max_codepoint=127), st.sampled_from("nt's-. "))))
def test_ascii_words_are_those_that_the_weights_were_trained_on(text):
    assert words_of(text) == OF_GLOVE.findall(text.lower())
    found = words_with_places(text)
    assert [*zip(found.starts, found.ends, strict=True)] == [match.span() for match in OF_SQUAD.finditer(text)]
    assert as_known(text) == text.lower()


@given(MIXED)
def test_words_do_not_depend_on_how_letters_and_apostrophes_are_spelled(text):
    composed, taken_apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    straight = text.replace("\u2019", "'")
    assert words_of(composed) == words_of(taken_apart) and words_of(text) == words_of(straight)
    assert words_with_places(text)[2:] == words_with_places(straight)[2:]
    known = [[as_known(word) for word in words_with_places(form).words] for form in (composed, taken_apart)]
    assert known[0] == known[1]
    assert as_known(as_known(text)) == as_known(text)


@given(MIXED)
@example("Tom\u00a0lives\r\nin Beyonce\u0301s \U0001f469\u200d\U0001f4bb house, \u0939\u093f\u0928\u094d\u0926\u0940.")
def test_a_word_is_a_part_of_the_text_as_given_and_no_mark_is_torn_off(text):
    found = words_with_places(text)
    place = 0
    for word, start, end in zip(found.words, found.starts, found.ends, strict=True):
        assert not text[place:start].strip() and text[start:end] == word and start < end
        for edge in (start, end):
            after_a_letter = 0 < edge < len(text) and not text[edge - 1].isspace()
            assert not after_a_letter or not unicodedata.category(text[edge]).startswith("M")
        place = end
    assert not text[place:].strip()
    for first in range(len(found.words)):
        assert found.span(first, len(found.words) - 1) in text


def test_words_of_other_scripts():
    for form in ("NFC", "NFD"):
        assert words_of(unicodedata.normalize(form, "Beyonc\u00e9 sang")) == ["beyonc\u00e9", "sang"]
        assert len(words_with_places(unicodedata.normalize(form, "Beyonc\u00e9 sang")).words) == 2
    hindi = "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e"
    assert words_of(hindi) == words_with_places(hindi).words == hindi.split()
    assert words_of("It isn\u2019t good") == ["it", "is", "n't", "good"]
    assert words_of("\u0130stanbul") == ["istanbul"] and as_known("\u0130stanbul") == "istanbul"
    assert cleaned(f"#{hindi.split()[0]} a", ["remove_hashtags"]) == " a"


def test_a_curly_apostrophe_changes_no_answer(capsys):
    printed = []
    for text in ("It isn't good", "It isn\u2019t good"):
        for model in ("glove", "lstm", "characters"):
            reviews_predict.command([text, "--model", model])
        names_predict.command([text.replace("It isn", "O").replace("t good", "Neal")])
        printed.append(capsys.readouterr().out.replace("\u2019", "'"))
    assert printed[0] == printed[1]
