"""The likeliest wrong answers to the exercises on byte pairs are told why."""

from itertools import pairwise

import pytest

from scratch.bpe import merge
from scratch.exercises.checking import verdict

HOTEL = {"learned": ["ot", "el", "hot"], "hotel": ["hot", "el"], "lot": ["l", "ot"]}


def in_order(word, merges, start=256):
    ids = list(word)
    for new_id, pair in enumerate(merges, start=start):
        ids = merge(ids, pair, new_id)
    return ids


def longest_first(word, merges):
    """Takes the longest token that fits, from the left."""
    tokens = [bytes([k]) for k in range(256)]
    for first, second in merges:
        tokens.append(tokens[first] + tokens[second])
    ids = []
    while word:
        ids.append(max((k for k in range(len(tokens)) if word.startswith(tokens[k])), key=lambda k: len(tokens[k])))
        word = word[len(tokens[ids[-1]]) :]
    return ids


def leftmost_first(word, merges):
    """Merges the leftmost pair that was learned, whenever it was."""
    ids = list(word)
    while found := [pair for pair in pairwise(ids) if pair in merges]:
        k = list(pairwise(ids)).index(found[0])
        ids[k : k + 2] = [256 + merges.index(found[0])]
    return ids


def once(word, merges):
    """Replaces only the first occurrence of each pair."""
    ids = list(word)
    for new_id, pair in enumerate(merges, start=256):
        if pair in pairwise(ids):
            k = list(pairwise(ids)).index(pair)
            ids[k : k + 2] = [new_id]
    return ids


def test_without_a_mistake_it_is_right():
    assert verdict("bpe.hotel", HOTEL) == "" and verdict("bpe.encode", in_order) == ""


@pytest.mark.parametrize(("name", "answer", "words"), [
    ("bpe.hotel", HOTEL | {"learned": ["ho", "el", "hot"]}, "the first pair is not ho: it occurs twice"),
    ("bpe.hotel", HOTEL | {"learned": ["ot", "hot", "el"]}, "twice, it does not have the lowest ids"),
    ("bpe.hotel", HOTEL | {"learned": ["ot", "el", " m"]}, "occur only once as a pair"),
    ("bpe.hotel", HOTEL | {"learned": ["ot", "el", "otel"]}, "expected ['ot', 'el', 'hot']"),
    ("bpe.hotel", HOTEL | {"hotel": ["h", "ot", "el"]}, "the list for 'hotel' is ['h', 'ot', 'el'], expected"),
    ("bpe.hotel", HOTEL | {"lot": ["lo", "t"]}, "the list for 'lot' is ['lo', 't'], expected ['l', 'ot']"),
    ("bpe.encode", lambda word, merges: in_order(word, merges, start=0), "the ids of pairs start at 256"),
    ("bpe.encode", longest_first, "in b'abc' you merge ab, but bc was learned earlier"),
    ("bpe.encode", leftmost_first, "in b'abc' you merge ab, but bc was learned earlier"),
    ("bpe.encode", lambda word, merges: in_order(word, merges[::-1]), "for b'an', the list of ids"),
    ("bpe.encode", once, "and the merges [("),
    ("bpe.encode", lambda word, merges: None, "is there a `return`?"),
])
def test_a_wrong_answer_is_told_what_is_wrong(name, answer, words):
    assert words in verdict(name, answer)
