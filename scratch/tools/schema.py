"""Schemas: what each kind of file must contain, and one function that checks a file against its schema.

A file may be damaged, malicious, or written by another program. So its contents are checked against a schema before
they are used. A schema is a value that looks like the data:

    schema = {"layer": ("rnn", "gru"), "hidden": SIZE, "names": [str], "loss": Maybe(float)}
    check({"layer": "gru", "hidden": -1, "names": []}, schema, "w.npz")
    # ScratchError: w.npz: hidden: expected a whole number from 1 to 1000000, got -1

| schema | the data |
|---|---|
| `str`, `bool`, `int`, `dict`, `list`, `None` | any value of this type |
| `float` | a finite number, whole or not |
| `range(1, 10)` | a whole number from 1 to 9 |
| `("rnn", "gru")`, `(None, int)` | one of these values, or a value of one of these schemas |
| `[str]` | a list of texts, of any length |
| `Row(str, int)` | a list of a text and a whole number |
| `{"hidden": int, "loss": Maybe(float)}` | an object with `hidden`; `loss` may be missing; others are ignored |
| `{str: int}` | an object whose entries, of any names, are whole numbers |
| a function | a value for which it returns True; its docstring says what is expected |

Read next: `files.py`.
"""

import reprlib
import sys
from typing import Any, NamedTuple

from scratch.checks import ScratchError

SIZE = range(1, 1_000_001)  # such as a layer's size; the range that flags of type `program.positive` accept
_NAMES: dict[Any, str] = {
    str: "a string", bool: "true or false", int: "a whole number", float: "a finite number", dict: "an object",
    list: "a list", None: "null",
}


class Row(tuple):
    """The schema of a list of fixed length: a schema for each of its items."""

    def __new__(cls, *items: Any) -> "Row":
        return super().__new__(cls, items)


class Maybe(NamedTuple):
    """The schema of an entry that may be missing."""

    schema: Any


class _Wrong(NamedTuple):
    place: str
    expected: str
    got: str


def check(value: Any, schema: Any, place: object) -> Any:
    """Return `value`. Raises: ScratchError, which names the `place` and the part of it that does not fit the schema."""
    if wrong := _compare(value, schema, str(place)):
        raise ScratchError(f"{wrong.place}: expected {wrong.expected}, got {wrong.got}")
    return value


def _compare(value: Any, schema: Any, place: str) -> _Wrong | None:
    """The first part of `value` that does not fit, or None."""
    if isinstance(schema, (dict, list, Row)) and type(value) is not (dict if isinstance(schema, dict) else list):
        return _Wrong(place, _described(schema), _shown(value))
    if isinstance(schema, dict):
        return _compare_entries(value, schema, place)
    if isinstance(schema, Row) and len(schema) != len(value):
        return _Wrong(place, _described(schema), f"a list of {len(value)}")
    if isinstance(schema, list) and isinstance(schema[0], range) and set(map(type, value)) == {int}:
        if min(value) in schema[0] and max(value) in schema[0]:  # a shortcut for lists of millions of positions
            return None
    if isinstance(schema, (list, Row)):
        for number, item in enumerate(value):
            if wrong := _compare(item, schema[number if isinstance(schema, Row) else 0], f"{place}[{number}]"):
                return wrong
        return None
    return None if _fits(value, schema) else _Wrong(place, _described(schema), _shown(value))


def _compare_entries(value: dict[str, Any], schema: dict[Any, Any], place: str) -> _Wrong | None:
    for name, inner in schema.items():
        optional = isinstance(inner, Maybe)
        inner = inner.schema if isinstance(inner, Maybe) else inner
        if name is str:
            for key, item in value.items():
                if wrong := _compare(item, inner, f"{place}: {reprlib.repr(key)}"):
                    return wrong
        elif name in value:
            if wrong := _compare(value[name], inner, f"{place}: {name}"):
                return wrong
        elif not optional:
            return _Wrong(f"{place}: {name}", _described(inner), "nothing")
    return None


def _fits(value: Any, schema: Any) -> bool:
    if isinstance(schema, tuple):
        return any(_compare(value, one, "") is None for one in schema)
    if isinstance(schema, range):
        return type(value) is int and value in schema
    if schema is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    if schema is str:
        return type(value) is str and is_text(value)
    if isinstance(schema, type):
        return type(value) is schema
    if callable(schema):
        return schema(value)
    return type(value) is type(schema) and value == schema


def _described(schema: Any) -> str:
    if isinstance(schema, Row):
        return f"a list of {len(schema)}"
    if isinstance(schema, tuple):
        return " or ".join(map(_described, schema))
    if isinstance(schema, range):
        return f"a whole number from {schema[0]} to {schema[-1]}"
    if isinstance(schema, (dict, list)):
        return _NAMES[type(schema)]
    if schema is None or isinstance(schema, type):
        return _NAMES[schema]
    return (schema.__doc__ or "").strip() if callable(schema) else repr(schema)


def _shown(value: Any) -> str:
    return _NAMES[type(value)] if isinstance(value, (dict, list)) else reprlib.repr(value)


def is_text(value: str) -> bool:
    """Whether UTF-8 can encode `value`: JSON may contain a lone surrogate, which UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


# Schemas that several kinds of file share -----------------------------------------------------------------------


def vocabulary(value: Any) -> bool:
    """a vocabulary of the form {word: id} with ids 0, 1, 2, ..."""
    right = type(value) is dict and all(type(word_id) is int for word_id in value.values())
    return right and all(map(is_text, value)) and sorted(value.values()) == list(range(len(value)))


def letters(value: Any) -> bool:
    """a vocabulary of the form {character: id} with ids 0, 1, 2, ..."""
    return vocabulary(value) and all(len(character) == 1 for character in value)


def alphabet(value: Any) -> bool:
    """a non-empty text in which no character occurs twice"""
    return type(value) is str and 0 < len(value) == len(set(value)) and is_text(value)


def rate(value: Any) -> bool:
    """a finite number of at least 0"""
    return _fits(value, float) and value >= 0


def share(value: Any) -> bool:
    """a number from 0 to below 1"""
    return rate(value) and value < 1
