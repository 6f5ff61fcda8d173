"""Many small operations in one: on a GPU a function of a few lines is traced, and becomes a kernel.

A GPU works on a large array as fast as it can read and write it. On small ones the time goes into starting: each
operation takes some microseconds to be started, whatever it does. A step of an LSTM is twenty operations on a few
thousand numbers, and it cannot begin before the step before it has ended. So what a step does number by number is
made one operation:

    step = fused(layer.gates, blocks, recurrent, previous, state)      # for arrays like these
    step(blocks, recurrent, previous, state)

On a CPU `fused` returns the function as it is. For a GPU it calls it once, with a `Symbol` in the place of each block
of numbers. Symbols can be added and multiplied, and each notes how it came about:

    blocks += recurrent             v0 = a0_0 + a1_0;
    xp.tanh(blocks, out=state)      v1 = tanh(v0);

These lines, between the reading of what the function has used and the writing of what it has changed, are the kernel,
in CUDA's C, which CuPy compiles and keeps. So there is no second version of a chapter that could differ from the first.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from scratch.backend import Array, xp
from scratch.checks import ScratchError, expect
from scratch.fast.arrays import library_of_xp

_THREADS = 128  # in each block of a kernel: few, so that small arrays are spread over the whole GPU too
_FUNCTIONS = ("exp", "log", "sqrt", "tanh")  # NumPy asks objects for methods of these names
TYPES = {"f": "float", "d": "double", "?": "bool"}


def fused(function: Callable[..., Any], *arrays: Array | None, axis: int = 0) -> Callable[..., Any]:
    """`function` for arrays of these shapes, or None, as one operation; on a CPU it is `function` itself.

    It changes its arrays in place, and what it does to a number depends on nothing but the numbers at the same place;
    its value is lost. Two arrays may share memory only place by place, or where neither is changed. While a function is
    traced, at the first call for a GPU, no other thread may use `xp`.

    Shapes: each of (blocks, ..., N, H), and the function may treat each block in its own way. `axis` is where the
        blocks are counted; axes before it are steps, done all at once. Others, without blocks: (..., N, H), or
        (..., N, 1) of a mask. The first has blocks, and floats in it. Each lies in one piece; or, without steps, is a
        view with the blocks in front of an array (..., N, blocks, H) that does.
    Raises: ScratchError for arrays that lie otherwise, or are of another kind; for a function that asks whether
        something is true, which no kernel can answer while it is written.
    """
    return function if xp.device == "cpu" else Kernel(function, arrays, axis)


class Kernel:
    """What `fused` returns for a GPU. `text` is its CUDA C, which each of the GPU's threads runs for one place."""

    def __init__(self, function: Callable[..., Any], arrays: Sequence[Array | None], axis: int) -> None:
        first: Any = arrays[0]
        steps, core = first.shape[:axis], first.shape[axis + 1 :]
        num_numbers = max(array.size for array in arrays if array is not None)
        expect(num_numbers < 2**31, "fused", "fewer than 2^31 numbers", num_numbers)
        num_places = math.prod(core)
        self.sizes = [numpy.int32(size) for size in (math.prod(steps) * num_places, num_places, core[-1])]
        lines: list[str] = []
        arguments = [None if a is None else Argument(f"a{k}", a, steps, core, lines) for k, a in enumerate(arrays)]
        with library_of_xp(Tracing()):
            function(*(None if argument is None else argument.array for argument in arguments))
        given = [argument for argument in arguments if argument is not None]
        self.text, changes_something = _text(given[0].type, given, lines)
        self.grid = (-(-int(self.sizes[0]) // _THREADS),)
        self.kernel = xp.RawKernel(self.text, "fused") if self.sizes[0] and changes_something else None

    def __call__(self, *arrays: Array | None) -> None:
        if self.kernel is not None:
            given = [array for array in arrays if array is not None]
            self.kernel(self.grid, (_THREADS,), (*given, *self.sizes))


class Argument:
    """An array that a kernel is given: where in it the numbers of a place are, and the Symbols that stand for them.

    A place is one number of each block: number `i` of the `num_places` in a block, in row `row` of `width` numbers, at
    step `step`.

    symbols: one for each block, as the function is given them in `array`, which holds afterwards what becomes of them.
    """

    def __init__(
        self, name: str, array: Array, steps: tuple[int, ...], core: tuple[int, ...], lines: list[str]
    ) -> None:
        kind = array.dtype.char
        expect(kind in TYPES, "fused", "arrays of float32, float64 or booleans", array.dtype)
        self.name, self.type = name, TYPES[kind]
        shape, in_one_piece = array.shape[len(steps) :], array.flags.c_contiguous
        with_blocks = shape[1:] == core
        blocks = shape[0] if with_blocks else 1
        if shape[-len(core) :] == core and in_one_piece:  # one block after the other
            self.index = f"{f'(step * {blocks} + {{k}})' if steps else '{k}'} * num_places + i"
        elif shape == (*core[:-1], 1) and in_one_piece and not steps:  # a mask, one for each row
            self.index = "row"
        elif with_blocks and not steps and xp.moveaxis(array, 0, -2).flags.c_contiguous:  # in each row side by side
            self.index = f"(row * {blocks} + {{k}}) * width + i % width"
        else:
            raise ScratchError(f"fused: unsupported memory layout of an array of shape {array.shape}")
        self.symbols = [Symbol(f"{name}_{k}", lines) for k in range(blocks)]
        self.array: numpy.ndarray = numpy.empty(blocks, dtype=object)
        self.array[:] = self.symbols
        if with_blocks:
            self.array = self.array.reshape((1,) * len(steps) + (blocks, 1))

    def at(self, k: int) -> str:
        """Where block k has its number."""
        return f"{self.name}[{self.index.format(k=k)}]"


def _text(number: str, arguments: list[Argument], lines: list[str]) -> tuple[str, bool]:
    """The kernel: what is read, what the function does, what it has changed; and whether that is anything."""
    read, written = [], []
    for argument in arguments:
        for k, (symbol, value) in enumerate(zip(argument.symbols, argument.array.flat, strict=True)):
            if value is not symbol:
                written.append(f"{argument.at(k)} = {literal(value)};")
    for argument in arguments:  # what is written may have been used only there, so this comes second
        for k, symbol in enumerate(argument.symbols):
            if symbol.used:
                read.append(f"const {argument.type} {symbol.name} = {argument.at(k)};")
    parameters = ", ".join(f"{argument.type}* {argument.name}" for argument in arguments)
    body = [
        "const int place = blockIdx.x * blockDim.x + threadIdx.x;", "if (place >= num_all) return;",
        "const int step = place / num_places;", "const int i = place % num_places;", "const int row = i / width;",
        *read, *(f"const number {line}" for line in lines), *written,
    ]
    head = f'extern "C" __global__ void fused({parameters}, int num_all, int num_places, int width)'
    return f"typedef {number} number;\n{head} {{\n" + "\n".join(body) + "\n}\n", bool(written)


class Symbol:
    """A number that a kernel will know, by name. What is computed of it adds a line to the kernel."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self.lines, self.used = name, lines, False

    def new(self, template: str, *values: Any) -> "Symbol":
        """The Symbol of what the template says of the values."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {template.format(*map(literal, values))};")
        return Symbol(name, self.lines)

    def __neg__(self) -> "Symbol":
        return self.new("-{}", self)

    def __bool__(self, *other: Any) -> bool:
        raise ScratchError("fused: a kernel's values cannot be compared or used as conditions; use xp.where")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__
    __hash__ = None  # type: ignore[assignment]


def literal(value: Any) -> str:
    """A Symbol or a number, as a kernel writes it."""
    if isinstance(value, Symbol):
        value.used = True
        return value.name
    expect(math.isfinite(value), "fused", "finite numbers", value)
    return f"number({float(value)!r})"


def _give_operators() -> None:
    for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("truediv", "/"), ("and", "&")):
        template = f"{{}} {sign} {{}}"
        setattr(Symbol, f"__{name}__", lambda self, other, t=template: self.new(t, self, other))
        setattr(Symbol, f"__r{name}__", lambda self, other, t=template: self.new(t, other, self))
    for name in _FUNCTIONS:
        setattr(Symbol, name, lambda self, t=f"{name}({{}})": self.new(t, self))


_give_operators()


class Tracing:
    """What `xp` is meanwhile: NumPy, which does its arithmetic with any objects, but for what asks them for a truth.

    `clip`, in C, gives the lower limit for NaN.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)

    @staticmethod
    def where(condition: Any, yes: Any, no: Any) -> Any:
        return numpy.frompyfunc(lambda mask, a, b: mask.new("{} ? {} : {}", mask, a, b), 3, 1)(condition, yes, no)

    @staticmethod
    def clip(values: Any, low: float, high: float, out: Any = None) -> Any:
        limit = numpy.frompyfunc(lambda value: value.new("fmin(fmax({}, {}), {})", value, low, high), 1, 1)
        return limit(values, out=out)
