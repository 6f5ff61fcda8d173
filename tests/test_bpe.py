"""Byte pairs: any text survives the round trip, merges agree with counting by hand, and damaged ones are refused."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import ROOT

from scratch import BytePairs, Embedding, ScratchError
from scratch.bpe import merge, words_in_bytes
from scratch.checks import as_ids

ENGLISH = "the cat sat on the mat, and the other cat sat on that cat.\n\n" * 3
SOME = st.one_of(st.text(), st.text("ab \n", max_size=60), st.text("é日😀 a", max_size=40))


@given(SOME, SOME, st.integers(256, 300))
def test_any_text_survives_the_round_trip(learned, text, size):
    pairs = BytePairs.learn(learned, size)
    ids = pairs.encode(text)
    assert pairs.decode(ids) == text
    assert len(ids) <= len(text.encode())
    assert b"".join(words_in_bytes(text)) == text.encode()
    as_ids("test", numpy.array(ids, dtype=numpy.int64), pairs.size)


def by_counting(text, size):
    """`learn` in its slowest and plainest form: every pair of every word is counted again for each merge."""
    words, merges = [list(word) for word in words_in_bytes(text)], []
    while 256 + len(merges) < size:
        counts = Counter(pair for word in words for pair in pairwise(word))
        most = max(counts.values(), default=0)
        if most < 2:
            break
        best = min(pair for pair in counts if counts[pair] == most)
        words = [merge(word, best, 256 + len(merges)) for word in words]
        merges.append(list(best))
    return merges, [id for word in words for id in word]


@given(st.one_of(SOME, st.text("abc ", max_size=200)), st.integers(256, 290))
def test_merges_are_those_of_counting_again(text, size):
    """The text that was learned is encoded as learning left it, so the two orders of merging agree."""
    pairs = BytePairs.learn(text, size)
    assert (pairs.state(), pairs.encode(text)) == by_counting(text, size)


def test_the_example_of_the_chapter():
    pairs = BytePairs.learn("banana bandana", 300)
    assert pairs.state() == [[97, 110], [98, 256], [256, 97]]
    assert pairs.tokens[256:] == [b"an", b"ban", b"ana"]
    assert pairs.encode("banana bandana") == [257, 258, 32, 257, 100, 258]
    assert pairs.decode([257, 100]) == "band"
    assert pairs.size == 259 and repr(pairs) == "BytePairs(size=259)"


def test_merges_by_hand():
    # aa occurs twice in aaa, where the two overlap; only the first is merged. Then [aa]a occurs once.
    assert BytePairs.learn("aaa", 300).state() == [[97, 97]]
    assert BytePairs.learn("aaa", 300).encode("aaaa aaa") == [256, 256, 32, 256, 97]
    # of pairs that occur equally often, the lowest ids: ab before bc
    assert BytePairs.learn("bc,ab,bc,ab,", 257).state() == [[97, 98]]
    # only inside words: b and the space after it are never a pair
    assert BytePairs.learn("a b a b a b", 300).tokens[256:] == [b" b", b" a"]
    # é is the bytes c3 a9: a token need not be whole characters, and the lower id, of a9 and e, is merged first
    assert BytePairs.learn("ée ée", 300).tokens[256:] == [b"\xa9e", b"\xc3\xa9e"]


def test_words():
    assert words_in_bytes("It's 2  o'clock,\n\n (a_b)") == [
        b"It", b"'", b"s", b" 2", b"  ", b"o", b"'", b"clock", b",", b"\n\n ", b"(", b"a_b", b")",
    ]
    assert [len(word) for word in words_in_bytes(" " + "x" * 70)] == [33, 32, 6]
    assert max(map(len, BytePairs.learn("y " + "x" * 10_000, 999).tokens)) <= 33


def test_the_size_is_reached_or_no_pair_occurs_twice():
    assert BytePairs.learn(ENGLISH, 256).state() == []
    assert BytePairs.learn(ENGLISH, 270).size == 270
    most = BytePairs.learn(ENGLISH, 10**9)
    assert 270 < most.size < 400
    assert most.state()[:14] == BytePairs.learn(ENGLISH, 270).state()  # a larger one begins with a smaller one
    for size in (255, 0, -1):
        with pytest.raises(ScratchError, match=r"a size of at least 256 \(the bytes\), got"):
            BytePairs.learn(ENGLISH, size)


def test_an_empty_text():
    pairs = BytePairs.learn("", 300)
    assert pairs.size == 256 and pairs.encode("") == [] and pairs.decode([]) == ""


@pytest.mark.parametrize("text", ["a\ud800b", "\udfff"])
def test_half_of_a_surrogate_pair(text):
    with pytest.raises(ScratchError, match=r"the text has U\+D[8F]..*half of a surrogate pair"):
        BytePairs().encode(text)
    with pytest.raises(ScratchError, match="half of a surrogate pair"):
        BytePairs.learn(text, 300)


def test_every_process_learns_the_same():
    command = f"from scratch import BytePairs; p = BytePairs.learn({ENGLISH!r}, 320); print(p.state(), p.tokens)"
    outputs = {
        subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True, capture_output=True, text=True,
                       env=os.environ | {"PYTHONHASHSEED": seed}).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1


@given(SOME, st.integers(256, 300))
def test_its_state_in_json(text, size):
    pairs = BytePairs.learn(text, size)
    again = BytePairs(json.loads(json.dumps(pairs.state())))
    assert (again.tokens, again.new_ids, again.state()) == (pairs.tokens, pairs.new_ids, pairs.state())


DOUBLING = [[97, 97], *([k, k] for k in range(256, 400))]


@pytest.mark.parametrize(("merges", "words"), [
    ([[97, 256]], "for id 256 a pair of ids from 0 to 255, got [97, 256]"),
    ([[97, 98], [257, 99]], "for id 257 a pair of ids from 0 to 256, got [257, 99]"),
    ([[-1, 97]], "got [-1, 97]"),
    ([[97]], "got [97]"),
    ([[97, 98, 99]], "got [97, 98, 99]"),
    ([[97, 98.0]], "got [97, 98.0]"),
    ([[True, 98]], "got [True, 98]"),
    ([["a", "b"]], "got ['a', 'b']"),
    ([97, 98], "got 97"),
    (["ab"], "got 'ab'"),
    ([None], "got None"),
    ([[97, 98], [98, 97], [97, 98]], "for id 258 a new pair, got [97, 98]"),
    (DOUBLING, "for id 263 up to 132 bytes, got 256"),
    ({"97": 98}, "a list of pairs, got dict"),
    (None, "a list of pairs, got NoneType"),
])
def test_damaged_merges_are_refused(merges, words):
    with pytest.raises(ScratchError) as refused:
        BytePairs(merges)
    assert words in str(refused.value)


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_any_json_is_read_or_refused(merges):
    try:
        assert BytePairs(merges).state() == merges
    except ScratchError:
        pass


def test_ids_that_no_token_has():
    pairs = BytePairs.learn("banana bandana", 300)
    for ids in ([259], [-1], numpy.array([97, 300])):
        with pytest.raises(ScratchError, match=r"BytePairs\(size=259\): expected ids from 0 to 258, got"):
            pairs.decode(ids)


def test_bytes_that_are_no_text():
    """A model can generate any ids, for instance only the first byte of a character."""
    assert BytePairs().decode([97, 195, 97]) == "a\ufffda"


def test_a_layer_reads_the_ids():
    pairs = BytePairs.learn(ENGLISH, 300)
    ids = numpy.array([pairs.encode(ENGLISH)])
    assert Embedding(pairs.size, 3).forward(ids).shape == (*ids.shape, 3)
    assert pairs.decode(ids[0]) == ENGLISH
