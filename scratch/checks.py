"""One-line checks that reject wrong input with a clear message: `expect`, `as_ids`, `expect_mask`; and introspection.

The layer that receives a wrong shape should report it, with the shape it expected, the shape it got and a likely cause:

    expect(input.shape[-1:] == (self.input_dim,), self, "input (..., {input_dim})", input, "is it transposed?")
    # Linear(input_dim=64, output_dim=10): expected input (..., 64), got (32, 50); is it transposed?

The message begins with the call that makes such a layer, which is its `repr`. `call_of` writes it for every class.

Read next: `backend.py`.
"""

import inspect
from collections.abc import Iterator
from typing import Any


class ScratchError(ValueError):
    """An error that the caller can correct: the message says what was expected, what was given, and what to do."""


def expect(ok: bool, who: object, expected: str, got: object, hint: str = "") -> None:
    """Raise ScratchError unless `ok`.

    Names in braces in `expected` stand for attributes of `who`. An array in `got` is reported by its shape.
    """
    if ok:
        return
    expected = expected.format_map(vars(who)) if hasattr(who, "__dict__") else expected  # `who` may be a string
    shape = getattr(got, "shape", None)
    raise ScratchError(f"{who}: expected {expected}, got {got if shape is None else shape}" + (hint and f"; {hint}"))


VOCABULARY = "is the vocabulary the one it was trained with?"  # a hint for layers that read ids


def as_ids(who: object, ids: Any, num_ids: int, lowest: int = 0, hint: str = "") -> Any:
    """`ids` as an array of int64, since sums of smaller integers, such as uint8, wrap around.

    Raises: ScratchError unless they are integers from `lowest` to num_ids - 1.
    """
    if ids.dtype.kind not in "iu":
        expect(False, who, "integer ids", f"{ids.dtype} of shape {ids.shape}")
    if ids.size and not lowest <= int(ids.min()) <= int(ids.max()) < num_ids:
        found = f"ids from {int(ids.min())} to {int(ids.max())}"
        expect(False, who, f"ids from {lowest} to {num_ids - 1}", found, hint)
    return ids.astype("int64")


def expect_mask(who: object, mask: Any, shape: tuple[int, ...]) -> None:
    """Raise ScratchError unless `mask` is an array of booleans of the given shape."""
    right = mask.shape == shape and mask.dtype.kind == "b"
    expect(right, who, f"a mask of booleans of shape {shape}", f"{mask.dtype} of shape {mask.shape}")


def arguments_of(thing: Any) -> dict[str, Any]:
    """The arguments of its constructor that `thing` has as attributes, and the values they have now."""
    return {name: getattr(thing, name) for name in inspect.signature(type(thing)).parameters if hasattr(thing, name)}


def call_of(thing: Any) -> str:
    """The call that makes such an object, "Linear(input_dim=64, output_dim=10)", without arguments at their default."""
    defaults = inspect.signature(type(thing)).parameters
    given = {name: repr(value) for name, value in arguments_of(thing).items()}
    shown = [f"{name}={value}" for name, value in given.items() if value != repr(defaults[name].default)]
    return f"{type(thing).__name__}({', '.join(shown)})"


def explain_with(cls: type, base: type) -> None:
    """Append the docstring of `base` to that of its subclass, so that help(LSTM) explains all arguments."""
    cls.__doc__ = f"{inspect.getdoc(cls)}\n\n{inspect.cleandoc(base.__doc__ or '')}"


def leaves_of(container: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All items of a list, tuple or dict, and of those inside it, each with its path ("towers.left.0")."""
    for key, item in container.items() if isinstance(container, dict) else enumerate(container):
        if isinstance(item, (list, tuple, dict)):
            yield from leaves_of(item, f"{path}{key}.")
        else:
            yield f"{path}{key}", item
