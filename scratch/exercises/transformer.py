"""Exercises on `self_attention.py` and `transformer.py`."""

from typing import Any

import numpy

from scratch.backend import Array
from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal, expect_gradients
from scratch.functions import softmax
from scratch.initial import generator
from scratch.layer import Layer
from scratch.self_attention import SelfAttention
from scratch.transformer import Block

START = """
import numpy

from scratch import Layer
"""


class Peeks(Layer):
    """Position 0 also receives the input of position 1; the other positions receive only their own."""

    def forward(self, input: Array) -> Array:
        output = numpy.array(input)
        output[:, 0] += output[:, 1]
        return output


@exercise
def looks_ahead(answer: Any) -> None:
    """If the causal mask is left out, nothing fails, and the training loss is even lower. Write a function that finds
    the mistake. It returns True if any output of the layer depends on an input at a later position, and False
    otherwise. The layer takes an array of the shape (N, T, features), with T > 1, and so does the function.

    Start:

        def looks_ahead(layer, x):
            raise NotImplementedError  # change a part of x, call layer.forward, and compare
    """
    attentions = {causal: SelfAttention(4, 2, causal=causal) for causal in (True, False)}
    second = Block(4, 2)
    second.attention.causal = False
    for layer in (*attentions.values(), second):
        for parameter in layer.parameters():
            parameter.data[...] = generator().standard_normal(parameter.data.shape)
    cases = [
        (attentions[True], False, "a causal SelfAttention; an output may depend on its own input and on earlier ones"),
        (Linear(4, 4), False, "a Linear; an output may depend on the input of its own position"),
        (attentions[False], True, "a SelfAttention with causal=False"),
        (second, True, "a Block whose attention has causal=False; its LayerNorm undoes a shift or a stretch of a row"),
        (Peeks(), True, "a layer in which only output 0 looks ahead, and only at input 1: try all positions"),
    ]
    x = generator().standard_normal((2, 5, 4))
    for layer, expected, what in cases:
        given = x.copy()
        found = answer(layer, given)
        if found is None:
            raise Wrong("looks_ahead returned None: is there a `return`?")
        if not numpy.array_equal(given, x):
            raise Wrong("looks_ahead changes the array that it is given; change a copy, x.copy()")
        if bool(found) != expected:
            raise Wrong(f"looks_ahead returned {found} for {what}")


@exercise
def heads_of_one_feature(answer: Any) -> None:
    """With as many heads as features, each head has a size of 1, so a query and a key are one number each. The letters
    a, b and c have the keys -1, 0 and 1. For each letter, give a query whose softmax has a weight above 0.9 for that
    letter, or None if there is no such query. Then let the size be 2: give three keys and three queries, of two numbers
    each, such that query i has a weight above 0.9 for key i. (The scores are q . k / sqrt(size).)

    Start:

        heads_of_one_feature = {
            "a": 0, "b": 0, "c": 0,
            "keys": [[0, 0], [0, 0], [0, 0]],
            "queries": [[0, 0], [0, 0], [0, 0]],
        }
    """
    keys = numpy.array([-1.0, 0, 1])
    for i, letter in enumerate("abc"):
        query = answer[letter]
        if query is None and letter != "b":
            raise Wrong(f"there is a query for {letter}: its key is at an end, so a large query of one sign will do")
        if query is not None:
            weights = softmax(float(query) * keys)
            end = "; the weight of b, between the others, is never the largest" if letter == "b" else ""
            if weights[i] <= 0.9:
                raise Wrong(f"with the query {query}, the weights of a, b and c are {weights.round(2)}{end}")
    keys, queries = (numpy.array(answer[name], dtype=float) for name in ("keys", "queries"))
    if keys.shape != (3, 2) or queries.shape != (3, 2):
        raise Wrong(f"the keys have shape {keys.shape} and the queries {queries.shape}, expected (3, 2)")
    weights = softmax(queries @ keys.T / numpy.sqrt(2))
    for i, row in enumerate(weights):
        if row[i] <= 0.9:
            hint = "larger queries would do" if row.argmax() == i and (row == row.max()).sum() == 1 else ""
            hint = hint or "its dot product with its own key must be the largest"
            raise Wrong(f"query {i} gives the keys the weights {row.round(2)}; {hint}")


@exercise
def Sinusoids(answer: Any) -> None:
    """The first transformer did not learn its positions. It added sines and cosines, of a period that grows from
    feature to feature. Write such a layer, for an even number of features:

        y[n, t, 2i]     = x[n, t, 2i]     + sin(t / 10000^(2i / features))
        y[n, t, 2i + 1] = x[n, t, 2i + 1] + cos(t / 10000^(2i / features))

    Positions count from 0. Nothing is learned, so a text may have any length.

    Start:

        class Sinusoids(Layer):
            def __init__(self, features):
                self.features = features

            def forward(self, input):
                raise NotImplementedError  # (N, T, features) -> the same

            def backward(self, gradient):
                raise NotImplementedError
    """
    features, x = 6, generator().standard_normal((2, 5, 6))
    layer, t, i = answer(features), numpy.arange(5.0)[:, None], numpy.arange(3)

    def added(angles: Array) -> Array:
        return numpy.stack([numpy.sin(angles), numpy.cos(angles)], axis=2).reshape(5, features)

    angles = t / 10000 ** (2 * i / features)
    output = layer.forward(x.copy())
    if getattr(output, "shape", None) == x.shape:
        halves = numpy.concatenate([numpy.sin(angles), numpy.cos(angles)], axis=1)
        for mistake, message in (
            (halves, "all sines come first, then all cosines; they alternate: sin at 2i, cos at 2i + 1"),
            (added((t + 1) / 10000 ** (2 * i / features)), "the first position is 1; positions count from 0"),
            (added(t / 10000 ** (i / features)), "the exponent is i / features, expected 2i / features"),
        ):
            if numpy.allclose(output, x + mistake):
                raise Wrong(message)
    expect_equal(output, x + added(angles), "the output")
    if layer.parameters():
        raise Wrong("the layer has a Parameter, so an optimizer would change it; store nothing, or a plain array")
    expect_gradients(layer, x)
    longer = generator().standard_normal((1, 50, features))
    if getattr(layer.forward(longer), "shape", None) != longer.shape:
        raise Wrong("a text of 50 positions gives an output of another shape")
