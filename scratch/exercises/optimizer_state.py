"""Exercises on `optimizer_state.py`."""

import copy
from typing import Any

import numpy

from scratch.activations import Tanh
from scratch.dense import Linear
from scratch.exercises.checking import Wrong, exercise, expect_equal
from scratch.layer import Sequential
from scratch.optimizers import Adam

START = """
import numpy
"""


@exercise
def grown(answer: Any) -> None:
    """A trained layer, Linear(3, 4), becomes the first layer of Sequential([linear, Tanh(), Linear(4, 1)]). Its
    Parameters were named "w" and "b"; in the larger model they are "layers.0.w" and "layers.0.b". Write the function
    that turns the state saved for the layer alone into one that fits the larger model. Leave its argument unchanged.

    Start:

        def grown(saved):
            raise NotImplementedError  # return a dict with the same keys: "kind", "arguments", "steps", "arrays"
    """
    linear, adam = Linear(3, 4), Adam(0.1)
    for step in (1, 2):
        for grad in linear.grads():
            grad[:] = step
        adam.step(linear)
    saved = adam.state_dict(linear)
    given = copy.deepcopy(saved)
    found = answer(given)
    if found is None:
        raise Wrong("the result is None: is there a `return`?")
    if [*given["steps"], *given["arrays"]] != [*saved["steps"], *saved["arrays"]]:
        raise Wrong("the argument was changed: make new dictionaries for the steps and the arrays")
    right = {"steps": {"layers.0.w", "layers.0.b"}, "arrays": {f"{slot}/layers.0.{p}" for slot in "mv" for p in "wb"}}
    for key, names in right.items():
        if {*found[key]} != names:
            raise Wrong(f"the names in {key!r} are {sorted(found[key])}, expected {sorted(names)}")
    model, other = Sequential([linear, Tanh(), Linear(4, 1)]), Adam(0.1)
    other.load_state(model, found)
    for name, p in linear.named_parameters().items():
        expect_equal(other.steps[p], 2, f"the step count of layers.0.{name}")
        for slot, before, after in zip(adam.slots, adam.state[p], other.state[p], strict=True):
            expect_equal(after, numpy.asarray(before), f"the array {slot}/layers.0.{name}")
