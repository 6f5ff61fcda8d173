"""One-line input checks with clear messages (`expect`, `as_ids`, `expect_mask`), and helpers for introspection.

A layer that receives a wrong shape should report the shape it expected, the shape it got and a likely cause:

    expect(input.shape[-1:] == (self.input_dim,), self, "input (..., {input_dim})", input, "is it transposed?")
    # Linear(input_dim=64, output_dim=10): expected input (..., 64), got (32, 50); is it transposed?

The message begins with the layer's `repr`: the call that constructs such a layer. `call_of` writes it for any class.

Read next: `backend.py`.
"""

import inspect
from collections.abc import Iterator
from typing import Any


class ScratchError(ValueError):
    """An error that the caller can correct: the message says what was expected, what was given, and what to do."""


def expect(ok: bool, who: object, expected: str, got: object, hint: str = "") -> None:
    """Raise ScratchError unless `ok`.

    Names in braces in `expected` stand for attributes of `who`. If `got` is an array, the message gives its shape.
    """
    if ok:
        return
    expected = expected.format_map(vars(who)) if hasattr(who, "__dict__") else expected  # `who` may be a string
    shape = getattr(got, "shape", None)
    raise ScratchError(f"{who}: expected {expected}, got {got if shape is None else shape}" + (hint and f"; {hint}"))


VOCABULARY = "is this the vocabulary that the model was trained with?"  # a hint for layers that read ids


def as_ids(who: object, ids: Any, num_ids: int, lowest: int = 0, hint: str = "") -> Any:
    """`ids` as an array of int64: arithmetic with small integers wraps around, as in uint8, where 0 - 1 is 255.

    `lowest` is -1 where that stands for padding.
    Raises: ScratchError unless they are integers from `lowest` to num_ids - 1.
    """
    if ids.dtype.kind not in "iu":
        expect(False, who, "integer ids", f"{ids.dtype} of shape {ids.shape}")
    if ids.size and not lowest <= int(ids.min()) <= int(ids.max()) < num_ids:
        found = f"ids from {int(ids.min())} to {int(ids.max())}"
        expect(False, who, f"ids from {lowest} to {num_ids - 1}", found, hint)
    return ids.astype("int64")


def expect_mask(who: object, mask: Any, shape: tuple[int, ...]) -> None:
    """Raise ScratchError unless `mask` is a boolean array of the given shape."""
    right = mask.shape == shape and mask.dtype.kind == "b"
    expect(right, who, f"a mask of booleans of shape {shape}", f"{mask.dtype} of shape {mask.shape}")


def arguments_of(thing: Any) -> dict[str, Any]:
    """The constructor arguments that `thing` stores as attributes, with their current values."""
    return {name: getattr(thing, name) for name in inspect.signature(type(thing)).parameters if hasattr(thing, name)}


def call_of(thing: Any) -> str:
    """The call that constructs such an object, "Linear(input_dim=64, output_dim=10)".

    Left out are default values, and `init`, which no object stores, since it only says how the weights began.
    """
    defaults = inspect.signature(type(thing)).parameters
    # As text, since arrays cannot be compared by `!=` alone.
    given = {name: repr(value) for name, value in arguments_of(thing).items()}
    shown = [f"{name}={value}" for name, value in given.items() if value != repr(defaults[name].default)]
    return f"{type(thing).__name__}({', '.join(shown)})"


def explain_with(cls: type, base: type) -> None:
    """Append the docstring of `base` to that of its subclass, so that help(LSTM) explains all arguments."""
    if cls.__doc__:
        cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n\n{inspect.cleandoc(base.__doc__ or '')}"


def leaves_of(container: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The items of a nested list, tuple or dict that are not containers, each with its path, such as "layers.0".

    With it, a Layer finds its inner layers.
    """
    for key, item in container.items() if isinstance(container, dict) else enumerate(container):
        if isinstance(item, (list, tuple, dict)):
            yield from leaves_of(item, f"{path}{key}.")
        else:
            yield f"{path}{key}", item
