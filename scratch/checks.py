"""One-line checks that reject wrong input with a clear message: `expect`, `expect_ids`, `expect_mask`.

The layer that receives a wrong shape should report it, with the shape it expected, the shape it got and a likely cause:

    expect(input.shape[-1:] == (self.input_dim,), self, "input (..., {input_dim})", input, "is it transposed?")
    # Linear(input_dim=64, output_dim=10): expected input (..., 64), got (32, 50); is it transposed?

Read next: `backend.py`.
"""

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


def expect_ids(who: object, ids: Any, num_ids: int, lowest: int = 0) -> None:
    """Raise ScratchError unless `ids` is an array of integers from `lowest` to num_ids - 1."""
    if ids.dtype.kind not in "iu":
        expect(False, who, "integer ids", f"{ids.dtype} of shape {ids.shape}")
    if ids.size and not lowest <= int(ids.min()) <= int(ids.max()) < num_ids:
        expect(
            False, who, f"ids from {lowest} to {num_ids - 1}", f"ids from {int(ids.min())} to {int(ids.max())}",
            "is the vocabulary the one it was trained with?",
        )


def expect_mask(who: object, mask: Any, shape: tuple[int, ...]) -> None:
    """Raise ScratchError unless `mask` is an array of booleans of the given shape."""
    right = mask.shape == shape and mask.dtype.kind == "b"
    expect(right, who, f"a mask of booleans of shape {shape}", f"{mask.dtype} of shape {mask.shape}")
