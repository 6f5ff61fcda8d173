"""Operations on rows in one kernel: on a GPU, one block of threads computes each row, with sums over it.

`fusion.py` compiles elementwise lines. A softmax or a LayerNorm also needs the sum or the maximum of a row, so each row
of up to 1,024 numbers gets a block of threads, one thread per number:

    def softmax(z):
        e = xp.exp(z - row_max(z))
        return e / row_sum(e)

    on_rows(softmax, [output], z)

The function is traced, as in `fusion.py`, once for each combination of types and forms of arrays. Sizes are arguments
of the kernel, so longer rows need no new one. Sums are accumulated in float64, always in the same order.
"""

from collections.abc import Callable, Sequence
from typing import Any

from scratch.backend import Array, xp
from scratch.checks import ScratchError, expect
from scratch.fast.arrays import library_of_xp
from scratch.fast.fusion import TYPES, Symbol, Tracing, literal

_WIDEST = 1024  # CUDA's limit for the threads of a block

# Every thread of a block must reach every __syncthreads. Threads beyond the width repeat the row's last number, which
# leaves the maximum as it is; a sum leaves them out. The number of threads is a power of two.
_REDUCTIONS = """extern __shared__ double shared[];
template <typename T> __device__ T row_sum(T value, bool inside) {
    shared[threadIdx.x] = inside ? double(value) : 0.0;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    const T sum = T(shared[0]);
    __syncthreads();  // all have read it, before the next reduction overwrites it
    return sum;
}
template <typename T> __device__ T row_max(T value) {
    shared[threadIdx.x] = double(value);
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] = fmax(shared[threadIdx.x], shared[threadIdx.x + half]);
        __syncthreads();
    }
    const T largest = T(shared[0]);
    __syncthreads();
    return largest;
}
"""

_INDEX = {  # where in an array a thread finds its number, by the array's form
    "whole": "row * width + column", "one per row": "row", "one row": "column",
    "one row per item": "row / rows_per_item * width + column",
}


def rows_fit(width: int, num_numbers: int) -> bool:
    """Whether `on_rows` can be used: on a GPU, for rows of at most 1,024 numbers, and fewer than 2^31 in all."""
    return xp.device != "cpu" and width <= _WIDEST and num_numbers < 2**31


def on_rows(function: Callable[..., Any], outputs: Sequence[Array | None], *inputs: Array | float | None) -> None:
    """Fills `outputs` with what `function(*inputs)` returns for each row, in one kernel.

    The function, which belongs to a module, is traced with a Symbol in place of each array; integers are arguments of
    the kernel, other numbers are written into it. It returns as many values as there are outputs. An output that is
    None is not written. An output may be one of the inputs, if both have the shape of the first input.

    Shapes: the first input (..., width). Others: the same; (..., 1), one number per row; (width,), the same for all
        rows; (N, 1, ..., 1, width), a row for each item of the first axis. An output has one of the first two.
    Raises: ScratchError for arrays of other shapes or types, or that are not contiguous.
    """
    rows: Any = inputs[0]
    if not rows.size:
        return
    given, width = (*outputs, *inputs), rows.shape[-1]
    expect(rows_fit(width, rows.size), "on_rows", f"rows of at most {_WIDEST} numbers on a GPU", rows.shape)
    forms = tuple(_form(value, rows.shape) for value in given)
    kernels, key = xp.__dict__.setdefault("row_kernels", {}), (function, len(outputs), forms)
    if key not in kernels:
        kernels[key] = xp.RawKernel(_text(function, forms, len(outputs)), "rows")
    num_rows, num_threads = rows.size // width, max(1 << (width - 1).bit_length(), 32)
    arguments = [xp.int32(value) if isinstance(value, int) else value for value in given if _is_argument(value)]
    sizes = xp.int32(width), xp.int32(num_rows // len(rows))
    kernels[key]((num_rows,), (num_threads,), (*arguments, *sizes), shared_mem=8 * num_threads)


def row_sum(x: Any) -> Any:
    """The sum over the row, accumulated in float64 and rounded to the type of x."""
    return x.new("row_sum({}, inside)", x)


def row_mean(x: Any) -> Any:
    """The mean over the row, likewise."""
    return x.new("row_sum({}, inside) / number(width)", x)


def row_max(x: Any) -> Any:
    """The largest number of the row."""
    return x.new("row_max({})", x)


def as_float64(x: Any) -> Any:
    """x in float64, as is all that is computed from it."""
    return x.new("double({})", x)


def up_to_query(num_queries: Any, first: Any) -> Any:
    """True for the keys up to the row's query: rows are queries, at positions first, first + 1, ..., in turn."""
    return first.new("column <= row % {} + {}", num_queries, first)


def _is_argument(value: Array | float | None) -> bool:
    return value is not None and not isinstance(value, float)


def _form(value: Any, shape: tuple[int, ...]) -> Any:
    """What a kernel's text has to know of an input or output: an array's form and type, or a number's value."""
    if not _is_argument(value):
        return value
    if isinstance(value, int):
        return int
    if value.flags.c_contiguous and value.dtype.char in TYPES:
        shapes = {
            "whole": shape, "one per row": (*shape[:-1], 1), "one row": shape[-1:],
            "one row per item": (shape[0], *[1] * (len(shape) - 2), shape[-1]),
        }
        for form, right in shapes.items():
            if value.shape == right:
                return form, TYPES[value.dtype.char]
    raise ScratchError(f"on_rows: unsupported array: shape {value.shape} for rows of {shape}, type {value.dtype}")


def _text(function: Callable[..., Any], forms: Sequence[Any], num_outputs: int) -> str:
    """The kernel, in CUDA's C++."""
    lines: list[str] = []
    symbols = [Symbol(f"x{k}", lines) if _is_argument(form) else form for k, form in enumerate(forms)]
    with library_of_xp(Tracing()):
        values = function(*symbols[num_outputs:])
    values = values if isinstance(values, tuple) else (values,)
    written, read, parameters = [], [], []
    for k, (form, value) in enumerate(zip(forms[:num_outputs], values, strict=True)):
        if form is not None:
            expect(form[0] in ("whole", "one per row"), "on_rows", "an output for each row", form[0])
            condition = "inside" if form[0] == "whole" else "thread == 0"
            written.append(f"if ({condition}) a{k}[{_INDEX[form[0]]}] = {literal(value)};")
    for k, (form, symbol) in enumerate(zip(forms, symbols, strict=True)):
        if form is int:
            parameters.append(f"int x{k}")
        elif _is_argument(form):
            parameters.append(f"{form[1]}* a{k}")
            if symbol.used:
                read.append(f"const {form[1]} x{k} = a{k}[{_INDEX[form[0]]}];")
    body = [
        "const int thread = threadIdx.x;", "const int row = blockIdx.x;", "const bool inside = thread < width;",
        "const int column = inside ? thread : width - 1;", *read, *(f"const auto {line}" for line in lines), *written,
    ]
    head = f'extern "C" __global__ void rows({", ".join(parameters)}, int width, int rows_per_item)'
    return f"typedef {forms[num_outputs][1]} number;\n{_REDUCTIONS}{head} {{\n" + "\n".join(body) + "\n}\n"
