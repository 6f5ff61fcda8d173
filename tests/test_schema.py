"""The schemas that files are compared with, and the limits of a network that a file of weights claims."""

import numpy as np
import pytest

from scratch.backend import to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.initial import at_most, random_tensor, zeros
from scratch.recurrent import LSTM
from scratch.tools.schema import SIZE, Maybe, Row, alphabet, check, letters, rate, share, vocabulary
from scratch.tools.weights import load_model, save_weights

SCHEMA = {
    "layer": ("rnn", "gru"), "hidden": SIZE, "names": [str], "window": (None, SIZE), "loss": Maybe(float),
    "steps": {str: range(1, 5)}, "random": Row(int, [int], (None, float)), "whole": bool, "vocabulary": vocabulary,
}
GOOD = {
    "layer": "gru", "hidden": 3, "names": ["a"], "window": None, "loss": 1, "steps": {"w": 4}, "random": [1, [2], 0.5],
    "whole": True, "vocabulary": {"b": 1, "a": 0}, "more": object(),
}


def test_what_fits_is_returned():
    assert check(GOOD, SCHEMA, "here") is GOOD
    check({name: value for name, value in GOOD.items() if name != "loss"} | {"window": 5}, SCHEMA, "here")


@pytest.mark.parametrize(("change", "words"), [
    ({"layer": "lstm"}, "layer: expected 'rnn' or 'gru', got 'lstm'"),
    ({"layer": ["gru"]}, "layer: expected 'rnn' or 'gru', got a list"),
    ({"hidden": 10**30}, "hidden: expected a whole number from 1 to 1000000, got 10"),
    ({"hidden": True}, "hidden: expected a whole number from 1 to 1000000, got True"),
    ({"hidden": 3.0}, "got 3.0"), ({"names": "ab"}, "names: expected a list, got 'ab'"),
    ({"names": ["a", 3]}, "names[1]: expected a string, got 3"), ({"names": ["\ud800"]}, "names[0]: expected a string"),
    ({"window": 0}, "window: expected null or a whole number from 1 to 1000000, got 0"),
    ({"loss": float("nan")}, "loss: expected a finite number, got nan"), ({"loss": 10**400}, "loss: expected a finite"),
    ({"steps": {"a\x1b": 9}}, r"steps: 'a\x1b': expected a whole number from 1 to 4, got 9"),
    ({"steps": [1]}, "steps: expected an object, got a list"),
    ({"random": [1, [2]]}, "random: expected a list of 3, got a list of 2"),
    ({"random": [1, [None], None]}, "random[1][0]: expected a whole number, got None"),
    ({"random": [1, 2, None]}, "random[1]: expected a list, got 2"),
    ({"whole": 1}, "whole: expected true or false, got 1"),
    ({"vocabulary": {"a": 0, "b": 0}}, "vocabulary: expected a vocabulary of the form {word: id}"),
    ({"vocabulary": {"a": False}}, "vocabulary: expected"), ({"vocabulary": {"\ud800": 0}}, "vocabulary: expected"),
])
def test_the_first_part_that_does_not_fit_is_named(change, words):
    with pytest.raises(ScratchError) as caught:
        check(GOOD | change, SCHEMA, "w.npz")
    assert str(caught.value).startswith("w.npz: ") and words in str(caught.value)


@pytest.mark.parametrize("name", [name for name in SCHEMA if name != "loss"])
def test_a_missing_entry_is_named(name):
    with pytest.raises(ScratchError, match=f"here: {name}: expected .*, got nothing"):
        check({key: value for key, value in GOOD.items() if key != name}, SCHEMA, "here")


@pytest.mark.parametrize(("schema", "right", "wrong"), [
    (letters, [{"a": 0}, {}], [{"ab": 0}, {"": 0}, []]), (alphabet, ["ab", "é"], ["", "aa", "\ud800", ["a"], None]),
    (rate, [0, 0.5, 10], [-1, float("inf"), "1", None, True]), (share, [0, 0.5], [1, 1.0, -0.1, float("nan")]),
])
def test_schemas_that_several_files_share(schema, right, wrong):
    assert all(map(schema, right)) and not any(map(schema, wrong))


def test_a_network_is_not_built_beyond_the_given_numbers():
    with at_most(2, 12):
        Linear(3, 3)
    for arrays, numbers in ((2, 11), (1, 12)):
        with at_most(arrays, numbers), pytest.raises(ScratchError, match="exceed the allowed number"):
            Linear(3, 3)
    with at_most(1, 10**6), pytest.raises(ScratchError, match="exceed the allowed number"):
        random_tensor(10**9, 10**9)
    zeros(5)  # outside, any number


def test_a_model_is_built_in_the_size_of_its_file_or_not_at_all(tmp_path):
    path, saved = tmp_path / "w.npz", LSTM(5, 4)
    save_weights(saved, path)
    loaded = load_model(path, lambda: LSTM(5, 4))
    assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(loaded.params(), saved.params(), strict=True))
    for build in (lambda: LSTM(5, 10**7), lambda: [LSTM(1, 1) for _ in range(10**9)], lambda: Linear(0, 1)):
        with pytest.raises(ScratchError, match=r"w\.npz: its metadata does not fit its arrays"):
            load_model(path, build)
