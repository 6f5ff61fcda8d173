"""Exercises on `bpe.py`."""

import random
from typing import Any

from scratch.bpe import BytePairs
from scratch.exercises.checking import Wrong, exercise, expect_equal

START = """
from scratch.bpe import merge
"""


@exercise
def hotel(answer: Any) -> None:
    """`BytePairs.learn("hot hotel motel", 300)` learns three pairs. Which strings do their ids 256, 257 and 258 stand
    for? Into which tokens are "hotel" and "lot" then split? (The ids of letters are in alphabetical order.)

    Start:

        hotel = {"learned": ["", "", ""], "hotel": [""], "lot": [""]}
    """
    learned, pairs = answer["learned"], BytePairs.learn("hot hotel motel", 300)
    expected = [pairs.decode([k]) for k in range(256, pairs.size)]
    if learned[:1] == ["ho"]:
        raise Wrong("the first pair is not ho: it occurs twice, but another pair occurs three times")
    if learned[:2] == ["ot", "hot"]:
        raise Wrong("the second pair is not h[ot]: of the pairs that then occur twice, it does not have the lowest ids")
    if any(" " in token for token in learned):
        raise Wrong("a space and the letter after it occur only once as a pair: the two words differ in that letter")
    expect_tokens(learned, expected, "the list of learned strings")
    for word in ("hotel", "lot"):
        expect_tokens(answer[word], [pairs.decode([k]) for k in pairs.encode(word)], f"the list for {word!r}")


def expect_tokens(found: Any, expected: list[str], what: str) -> None:
    """Rejects a list of strings that is not the one expected."""
    if list(found) != expected:
        raise Wrong(f"{what} is {list(found)}, expected {expected}")


@exercise
def encode(answer: Any) -> None:
    """Write a function that returns the ids of `word`, which is a bytes object, as BytePairs does. `merges` has the
    pairs in the order in which they were learned, as tuples: the first has id 256. `merge(ids, pair, new_id)` is the
    function of the chapter.

    Start:

        def encode(word, merges):
            ids = list(word)
            raise NotImplementedError
    """
    banana = [(97, 110), (98, 256), (256, 97)]
    found = answer(b"an", banana)
    if found == [0]:
        raise Wrong("the id of the first pair is 0, which is a byte: the ids of pairs start at 256")
    expect_equal(found, [256], "for b'an', the list of ids")
    found = answer(b"abc", [(98, 99), (97, 98)])
    if found == [257, 99]:
        raise Wrong("in b'abc' you merge ab, but bc was learned earlier, so it is merged first")
    expect_equal(found, [97, 256], "for b'abc', after learning bc and then ab, the list of ids")
    for _ in range(20):
        pairs = BytePairs.learn("".join(random.choices("ab", k=60)), 270)
        word = "".join(random.choices("ab", k=random.randrange(1, 30)))
        merges = [(first, second) for first, second in pairs.state()]
        found = answer(word.encode(), list(merges))
        expect_equal(found, pairs.encode(word), f"for {word!r} and the merges {merges}, the list of ids")
