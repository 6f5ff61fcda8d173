"""The likeliest wrong answers to the exercises on transformers are told why."""

import numpy as np
import pytest

from scratch import Layer, Parameter
from scratch.exercises.checking import verdict

KEYS = [[1, 0], [-0.5, 0.866], [-0.5, -0.866]]
QUERIES = [[10, 0], [-5, 8.66], [-5, -8.66]]
ONE = {"a": -10, "b": None, "c": 10, "keys": KEYS, "queries": QUERIES}


def last_only(layer, x):
    """Changes only the last input, and compares the outputs before it."""
    before, changed = layer.forward(x).copy(), x.copy()
    changed[:, -1, 0] += 1
    return not np.allclose(layer.forward(changed)[:, :-1], before[:, :-1])


def all_outputs(layer, x):
    """Compares all outputs, also those of the changed position."""
    before, changed = layer.forward(x).copy(), x.copy()
    changed[:, -1, 0] += 1
    return not np.allclose(layer.forward(changed), before)


def up_to_t(layer, x):
    """Compares the outputs up to the changed position, instead of before it."""
    for t in range(1, x.shape[1]):
        before, changed = layer.forward(x).copy(), x.copy()
        changed[:, t, 0] += 1
        if not np.allclose(layer.forward(changed)[:, : t + 1], before[:, : t + 1]):
            return True
    return False


def all_features(layer, x):
    """Adds the same number to all features, which a LayerNorm removes."""
    before, changed = layer.forward(x).copy(), x.copy()
    changed[:, -1] += 1
    return not np.allclose(layer.forward(changed)[:, :-1], before[:, :-1])


def in_place(layer, x):
    before = layer.forward(x).copy()
    x[:, -1, 0] += 1
    return not np.allclose(layer.forward(x)[:, :-1], before[:, :-1])


class Sinusoids(Layer):
    first, factor = 0, 2

    def __init__(self, features):
        self.features = features

    def arranged(self, sines, cosines):
        return np.stack([sines, cosines], axis=2).reshape(len(sines), self.features)

    def forward(self, input):
        self.remember(input.shape)
        t, i = np.arange(input.shape[1])[:, None] + self.first, np.arange(self.features // 2)
        angles = t / 10000 ** (self.factor * i / self.features)
        return input + self.arranged(np.sin(angles), np.cos(angles))

    def backward(self, gradient):
        self.recall(gradient)
        return gradient.copy()


class Halves(Sinusoids):
    def arranged(self, sines, cosines):
        return np.concatenate([sines, cosines], axis=1)


class FromOne(Sinusoids):
    first = 1


class Exponent(Sinusoids):
    factor = 1


class CosinesFirst(Sinusoids):
    def arranged(self, sines, cosines):
        return super().arranged(cosines, sines)


class Learned(Sinusoids):
    def __init__(self, features):
        super().__init__(features)
        self.table = Parameter(np.zeros((9, features)))


class NoGradient(Sinusoids):
    def backward(self, gradient):
        return np.zeros_like(gradient)


class Cropped(Sinusoids):
    def forward(self, input):
        return super().forward(input[:, :9])


def test_without_a_mistake_it_is_right():
    assert verdict("transformer.heads_of_one_feature", ONE) == ""
    assert verdict("transformer.Sinusoids", Sinusoids) == ""


@pytest.mark.parametrize(("name", "answer", "words"), [
    ("looks_ahead", last_only, "only output 0 looks ahead, and only at input 1: try all positions"),
    ("looks_ahead", all_outputs, "True for a causal SelfAttention; an output may depend on its own input"),
    ("looks_ahead", up_to_t, "True for a causal SelfAttention; an output may depend on its own input"),
    ("looks_ahead", all_features, "its LayerNorm undoes a shift or a stretch of a row"),
    ("looks_ahead", in_place, "changes the array that it is given"),
    ("looks_ahead", lambda layer, x: not getattr(layer, "causal", True), "returned False for a Block"),
    ("looks_ahead", lambda layer, x: None, "is there a `return`?"),
    ("heads_of_one_feature", ONE | {"b": 0}, "are [0.33 0.33 0.33]; the weight of b, between the others, is never"),
    ("heads_of_one_feature", ONE | {"a": None}, "there is a query for a"),
    ("heads_of_one_feature", ONE | {"c": 1}, "with the query 1, the weights of a, b and c are [0.09 0.24 0.67]"),
    ("heads_of_one_feature", ONE | {"queries": KEYS}, "query 0 gives the keys the weights [0.59 0.2  0.2 ]; larger"),
    ("heads_of_one_feature", ONE | {"queries": QUERIES[::-1]}, "its dot product with its own key must be the largest"),
    ("heads_of_one_feature", ONE | {"keys": [[-1, 0], [0, 0], [1, 0]]}, "its own key must be the largest"),
    ("heads_of_one_feature", ONE | {"keys": [-1, 0, 1]}, "the keys have shape (3,)"),
    ("Sinusoids", Halves, "all sines come first, then all cosines"),
    ("Sinusoids", FromOne, "the first position is 1; positions count from 0"),
    ("Sinusoids", Exponent, "the exponent is i / features, expected 2i / features"),
    ("Sinusoids", CosinesFirst, "the output is [[["),
    ("Sinusoids", Learned, "the layer has a Parameter"),
    ("Sinusoids", NoGradient, "the gradient of input 0 differs"),
    ("Sinusoids", Cropped, "a text of 50 positions gives an output of another shape"),
])
def test_a_wrong_answer_is_told_what_is_wrong(name, answer, words):
    assert words in verdict(f"transformer.{name}", answer)
