"""Many small operations in one: on a GPU a function of a few lines is traced, and becomes a kernel.

A GPU works on a large array as fast as it can read and write it. On small ones the time goes into starting: each
operation takes some microseconds to be started, whatever it does. A step of an LSTM is twenty operations on a few
thousand numbers, and it cannot begin before the step before it has ended. So what a step does number by number is
made one operation:

    step = fused(layer.gates, blocks, recurrent, previous, state)      # for arrays like these
    step(blocks, recurrent, previous, state)

On a CPU `fused` returns the function as it is. For a GPU it calls it once, with a `Symbol` in the place of each block
of numbers. Symbols can be added and multiplied, and each notes how it came about:

    z += recurrent          v3 = v1 + v2;
    xp.tanh(z, out=z)       v4 = tanh(v3);

These lines, between the reading of what the function has used and the writing of what it has changed, are the kernel,
in CUDA's C, which CuPy compiles and keeps. So there is no second version of a chapter that could differ from the first.

Read next: `initial.py`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from scratch.backend import Array, ScratchError, expect, library_of_xp, xp

_THREADS = 128  # in each block of a kernel: few, so that small arrays are spread over the whole GPU too
_FUNCTIONS = ("exp", "log", "sqrt", "tanh")  # NumPy asks objects for methods of these names
_TYPES = {"f": "float", "d": "double", "?": "bool"}


def fused(function: Callable[..., Any], *arrays: Array | None, axis: int = 0) -> Callable[..., Any]:
    """`function` for arrays of these shapes, or None, as one operation; on a CPU it is `function` itself.

    It changes its arrays in place, and what it does to a number depends on nothing but the numbers at the same place;
    its value is lost.

    Shapes: each of (blocks, ..., N, H), and the function may treat each block in its own way. `axis` is where the
        blocks are counted; axes before it are steps, done all at once. Others, without blocks: (..., N, H), or
        (..., N, 1) of a mask. The first has blocks, and floats in it. All lie in one piece in memory; or, of one
        number, (..., N, blocks, H) does, of which the array is a view.
    """
    return function if xp.device == "cpu" else Kernel(function, arrays, axis)


class Kernel:
    """A function that has been made one operation of a GPU, for arrays of some shapes. `text` is its CUDA C."""

    def __init__(self, function: Callable[..., Any], arrays: Sequence[Array | None], axis: int) -> None:
        first: Any = arrays[0]
        steps, core = first.shape[:axis], first.shape[axis + 1 :]
        num_numbers = max(array.size for array in arrays if array is not None)
        expect(num_numbers < 2**31, "fused", "less than 2^31 numbers", num_numbers)
        num_places = math.prod(core)
        self.sizes = [numpy.int32(size) for size in (math.prod(steps) * num_places, num_places, core[-1])]
        lines: list[str] = []
        places = [None if a is None else Place(f"a{k}", a, steps, core, lines) for k, a in enumerate(arrays)]
        with library_of_xp(_Tracing()):
            function(*(None if place is None else place.array for place in places))
        given = [place for place in places if place is not None]
        self.text = _text(_TYPES[first.dtype.char], given, lines)
        self.grid, self.kernel = (-(-int(self.sizes[0]) // _THREADS),), xp.RawKernel(self.text, "fused")

    def __call__(self, *arrays: Array | None) -> None:
        if self.sizes[0]:
            given = [array for array in arrays if array is not None]
            self.kernel(self.grid, (_THREADS,), (*given, *self.sizes))


class Place:
    """Where a kernel finds the numbers of one of its arrays, and the Symbols that stand for them.

    symbols: one for each block, as the function is given them in `array`, which holds afterwards what becomes of them.
    """

    def __init__(
        self, name: str, array: Array, steps: tuple[int, ...], core: tuple[int, ...], lines: list[str]
    ) -> None:
        self.name, self.type = name, _TYPES.get(array.dtype.char, "")
        shape, in_one_piece = array.shape[len(steps) :], array.flags.c_contiguous
        with_blocks = shape[1:] == core
        blocks = shape[0] if with_blocks else 1
        if shape[-len(core) :] == core and in_one_piece:
            self.index = f"{f'(step * {blocks} + {{k}})' if steps else '{k}'} * num_places + i"
        elif shape == (*core[:-1], 1) and in_one_piece and not steps:
            self.index = "row"
        elif with_blocks and not steps and xp.moveaxis(array, 0, -2).flags.c_contiguous:
            self.index = f"(row * {blocks} + {{k}}) * width + i % width"
        else:
            raise ScratchError(f"fused: an array of shape {array.shape} does not lie as it should")
        self.symbols = [Symbol(f"{name}_{k}", lines) for k in range(blocks)]
        self.array: numpy.ndarray = numpy.empty(blocks, dtype=object)
        self.array[:] = self.symbols
        if with_blocks:
            self.array = self.array.reshape((1,) * len(steps) + (blocks, 1))

    def at(self, k: int) -> str:
        """Where block k has its number."""
        return f"{self.name}[{self.index.format(k=k)}]"


def _text(number: str, places: list[Place], lines: list[str]) -> str:
    """The kernel: what is read, what the function does, what it has changed."""
    numbers = [
        (f"const {place.type} {symbol.name} = {place.at(k)};", f"{place.at(k)} = ", symbol, value)
        for place in places
        for k, (symbol, value) in enumerate(zip(place.symbols, place.array.flat, strict=True))
    ]
    written = [f"{write}{_literal(value)};" for _, write, symbol, value in numbers if value is not symbol]
    read = [line for line, _, symbol, _ in numbers if symbol.used]
    parameters = ", ".join(f"{place.type}* {place.name}" for place in places)
    body = [
        "const int place = blockIdx.x * blockDim.x + threadIdx.x;", "if (place >= num_all) return;",
        "const int step = place / num_places;", "const int i = place % num_places;", "const int row = i / width;",
        *read, *(f"const number {line}" for line in lines), *written,
    ]
    head = f'extern "C" __global__ void fused({parameters}, int num_all, int num_places, int width)'
    return f"typedef {number} number;\n{head} {{\n" + "\n".join(body) + "\n}\n"


class Symbol:
    """A number that a kernel will know, by name. What is computed of it adds a line to the kernel."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self.lines, self.used = name, lines, False

    def new(self, template: str, *values: Any) -> "Symbol":
        """The Symbol of what the template says of the values."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {template.format(*map(_literal, values))};")
        return Symbol(name, self.lines)

    def __neg__(self) -> "Symbol":
        return self.new("-{}", self)


def _literal(value: Any) -> str:
    if isinstance(value, Symbol):
        value.used = True
        return value.name
    return f"number({float(value)!r})"


def _give_operators() -> None:
    for name, sign in (("add", "+"), ("sub", "-"), ("mul", "*"), ("truediv", "/")):
        template = f"{{}} {sign} {{}}"
        setattr(Symbol, f"__{name}__", lambda self, other, t=template: self.new(t, self, other))
        setattr(Symbol, f"__r{name}__", lambda self, other, t=template: self.new(t, other, self))
    for name in _FUNCTIONS:
        setattr(Symbol, name, lambda self, t=f"{name}({{}})": self.new(t, self))


_give_operators()


class _Tracing:
    """What `xp` is meanwhile: NumPy, which does its arithmetic with any objects, but for what asks them for a truth."""

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)

    @staticmethod
    def where(condition: Any, yes: Any, no: Any) -> Any:
        return numpy.frompyfunc(lambda mask, a, b: mask.new("{} ? {} : {}", mask, a, b), 3, 1)(condition, yes, no)
