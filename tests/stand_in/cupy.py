"""A strict stand-in for CuPy, so that everything can be run as on a GPU where no GPU is at hand.

    SCRATCH_DEVICE=cuda PYTHONPATH="$PWD/tests/stand_in" python -m pytest

Its arrays hold NumPy's, but have only the methods, functions and arguments of CuPy that are listed here, as CuPy 14 has
them (test_stand_in.py compares them where CuPy is installed); they refuse to meet arrays of the host, and to become one
unasked. Kernels are run line by line. `launches` counts what would be started on a GPU.
"""

import operator
import re
import types

import numpy as np

launches = [0]


class ndarray:
    """An array of the device."""

    __slots__ = ("host",)

    def __init__(self, host):
        self.host = host

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, *args, **kwargs):
        raise TypeError(f"numpy.{ufunc.__name__} was called with an array of the device; use xp")

    def __array_function__(self, function, *args, **kwargs):
        raise TypeError(f"numpy.{function.__name__} was called with an array of the device; use xp")

    def __getitem__(self, key):
        key = bare(key)
        launches[0] += any(isinstance(part, (np.ndarray, list)) for part in (key if type(key) is tuple else (key,)))
        return wrap(self.host[key])

    def __setitem__(self, key, value):
        launches[0] += 1
        self.host[bare(key)] = bare(no_list(value))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __len__(self):
        return len(self.host)

    def __repr__(self):
        return repr(self.host)

    def __deepcopy__(self, memo):
        return self.copy()

    T = property(lambda self: ndarray(self.host.T))


def no_list(value):
    """Raises: TypeError for what NumPy would make an array of."""
    if isinstance(value, (list, tuple)):
        raise TypeError("a list was mixed with an array of the device; use to_device")
    return value


def bare(value):
    """`value` with device arrays laid bare. Raises: TypeError if there is an array of the host in it."""
    kind = type(value)
    if kind is ndarray:
        return value.host
    if kind is tuple or kind is list:
        return kind([bare(item) for item in value])
    if isinstance(value, np.ndarray):
        raise TypeError("an array of the host was mixed with the device's")
    return value


def wrap(value):
    if type(value) is np.ndarray:
        return ndarray(value)
    if isinstance(value, tuple):
        return tuple(map(wrap, value))
    return ndarray(np.asarray(value)) if isinstance(value, np.generic) else value


def call(function, *args, **kwargs):
    """The function of NumPy on device arrays. `out` is returned as it was given."""
    launches[0] += 1
    if not kwargs:
        return wrap(function(*map(bare, args)))
    result = function(*map(bare, args), **{key: bare(value) for key, value in kwargs.items()})
    return wrap(result) if kwargs.get("out") is None else kwargs["out"]


# Methods --------------------------------------------------------------------------------------------------------

METHODS = {  # their arguments
    "argmax": ("axis", "out", "keepdims"), "argmin": ("axis", "out", "keepdims"), "all": ("axis", "out", "keepdims"),
    "any": ("axis", "out", "keepdims"), "max": ("axis", "out", "keepdims"), "min": ("axis", "out", "keepdims"),
    "mean": ("axis", "dtype", "out", "keepdims"), "std": ("axis", "dtype", "out", "ddof", "keepdims"),
    "sum": ("axis", "dtype", "out", "keepdims"), "dot": ("b", "out"), "astype": ("dtype", "order", "copy"),
    "copy": ("order",), "fill": ("value",), "ravel": ("order",),
}
VIEWS = ("reshape", "swapaxes", "transpose")
PROPERTIES = ("dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides")


def _method(name, allowed):
    def method(self, *args, **kwargs):
        if len(args) > len(allowed) or not set(kwargs) <= set(allowed):
            raise TypeError(f"cupy.ndarray.{name} takes {allowed}")
        return call(getattr(np.ndarray, name), self, **kwargs, **dict(zip(allowed, args, strict=False)))

    return method


def dot(a, b, out=None):
    if out is not None and not (out.flags.c_contiguous and out.dtype == np.result_type(a.dtype, b.dtype)):
        raise ValueError("output array must be C-contiguous, and of the product's type")
    return call(np.dot, a, b, out=out)


for name, arguments in METHODS.items():
    setattr(ndarray, name, _method(name, arguments))
ndarray.dot, ndarray.fill = dot, lambda self, value: self.__setitem__(..., value)
for name in VIEWS:
    setattr(ndarray, name, lambda self, *args, name=name: ndarray(getattr(self.host, name)(*args)))
for name in PROPERTIES:
    setattr(ndarray, name, property(lambda self, name=name: getattr(self.host, name)))
for name in ("item", "tolist"):  # crossings, of which scratch uses none
    setattr(ndarray, name, lambda self, name=name: getattr(self.host, name)())
for name in ("__float__", "__int__", "__bool__", "__index__"):
    setattr(ndarray, name, lambda self, name=name: getattr(self.host, name)())


def _give_operators():
    def binary(function):
        def forward(self, other):
            return call(function, self, no_list(other))

        return forward, lambda self, other: call(function, no_list(other), self)

    def in_place(function):
        def method(self, other):
            launches[0] += 1
            function(self.host, bare(no_list(other)))
            return self

        return method

    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"):
        bar = name.rstrip("_")
        forward, backward = binary(getattr(operator, name))
        setattr(ndarray, f"__{bar}__", forward)
        setattr(ndarray, f"__r{bar}__", backward)
        setattr(ndarray, f"__i{bar}__", in_place(getattr(operator, f"i{bar}")))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(ndarray, f"__{name}__", binary(getattr(operator, name))[0])
    for name in ("neg", "abs", "invert"):
        setattr(ndarray, f"__{name}__", lambda self, name=name: call(getattr(operator, name), self))
    ndarray.__hash__ = None


_give_operators()

# Functions ------------------------------------------------------------------------------------------------------

UFUNCS = (
    "add", "subtract", "multiply", "divide", "negative", "reciprocal", "exp", "log", "sqrt", "tanh", "maximum",
    "minimum", "logaddexp", "isfinite",
)
FUNCTIONS = {
    "arange": ("start", "stop", "step", "dtype"), "empty": ("shape", "dtype", "order"),
    "zeros": ("shape", "dtype", "order"), "ones": ("shape", "dtype", "order"), "full": ("shape", "fill_value", "dtype"),
    "empty_like": ("prototype", "dtype", "order"), "zeros_like": ("a", "dtype", "order"),
    "ones_like": ("a", "dtype", "order"), "concatenate": ("tup", "axis", "out"), "stack": ("tup", "axis", "out"),
    "where": ("condition", "x", "y"), "take": ("a", "indices", "axis", "out"), "count_nonzero": ("a", "axis"),
    "take_along_axis": ("a", "indices", "axis"), "ascontiguousarray": ("a", "dtype"),
    "moveaxis": ("a", "source", "destination"), "matmul": ("a", "b", "out"), "broadcast_to": ("array", "shape"),
    "clip": ("a", "a_min", "a_max", "out"), "pad": ("array", "pad_width", "mode"),
    "unique": ("ar", "return_index", "return_inverse", "return_counts", "axis"),
}
OF_THE_HOST = ("arange", "empty", "zeros", "ones", "full")  # made of plain numbers


def _function(name, allowed):
    of_numpy = getattr(np, name)

    def function(*args, **kwargs):
        if len(args) > len(allowed) or not set(kwargs) <= set(allowed):
            raise TypeError(f"cupy.{name} takes {allowed}")
        if name in UFUNCS or name == "where":
            for value in args:
                no_list(value)
        given = args[0] if args and type(args[0]) in (list, tuple) else args
        if name not in OF_THE_HOST and not any(isinstance(value, ndarray) for value in given):
            raise TypeError(f"cupy.{name} takes arrays of the device")
        return call(of_numpy, *args, **kwargs)

    function.at = lambda *args: call(of_numpy.at, *args)
    return function


for name in UFUNCS:
    globals()[name] = _function(name, ("x1", "x2", "out", "casting", "dtype"))
for name, arguments in FUNCTIONS.items():
    globals()[name] = _function(name, arguments)
finfo, inf, float32, int32, int64, uint64 = np.finfo, np.inf, np.float32, np.int32, np.int64, np.uint64


def asarray(a, dtype=None):
    """On its way to the device an array is copied; one that is there already is not."""
    return a if isinstance(a, ndarray) and dtype in (None, a.dtype) else ndarray(np.array(bare_or_host(a), dtype=dtype))


def bare_or_host(value):
    return value.host if isinstance(value, ndarray) else value


def asnumpy(a):
    if not isinstance(a, ndarray):
        raise TypeError("asnumpy of something that is not on the device")
    return np.array(a.host)


# Kernels --------------------------------------------------------------------------------------------------------


class RawKernel:
    """A kernel whose lines are assignments, to constants or to items of arrays: all places at once, line by line.

    Those of rows.py may also write under a condition, and reduce over the threads of a block.
    """

    def __init__(self, code, name):
        before, rest = code.split('extern "C" __global__ void ')
        head, body = re.fullmatch(r"(.*?)\{\n(.*)\}\n", rest, re.DOTALL).groups()
        assert head.startswith(f"{name}(")
        self.parameters = re.findall(r"(\w+)(\*?) (\w+)[,)]", head)
        self.number = {"float": np.float32, "double": np.float64}[re.match(r"typedef (\w+) number;", before)[1]]
        self.reduces = "row_" in body
        lines = []
        for line in body.splitlines():
            if line == "if (place >= num_all) return;":
                line = "const int place = place.ravel()[:num_all];"
            condition, target, value = re.fullmatch(r"(?:if \((.*?)\) |const \w+ )?(.*?) = (.*);", line).groups()
            if "row_" in value:  # each thread gets there, and a sum leaves out those beyond the row
                assert condition is None and re.fullmatch(REDUCTION, value) and "__device__ T row_" in before, line
            value = re.sub(r"^(\w+) \? (.*) : (.*)$", r"where(\1, \2, \3)", value)
            value = re.sub(r" / (num_places|width|rows_per_item)", r" // \1", value)
            if condition is not None:
                array, index = re.fullmatch(r"(\w+)\[(.*)\]", target).groups()
                index = re.sub(r" / (rows_per_item)", r" // \1", index)
                lines.append(f"put({array}, {index}, {value}, {condition})")
            else:
                lines.append(f"{target} = {value}")
        self.code = compile("\n".join(lines), name, "exec")  # the lines are those of fusion.py and rows.py

    def __call__(self, grid, block, args, *, shared_mem=0):
        launches[0] += 1
        assert 0 < grid[0] < 2**31 and 0 < block[0] <= 1024
        if self.reduces:  # by halves, in a double for each thread
            assert block[0] in (32, 64, 128, 256, 512, 1024) and 8 * block[0] <= shared_mem <= 48 * 1024
        names = {f: getattr(np, f) for f in ("exp", "log", "sqrt", "tanh", "fmin", "fmax", "where")}
        names |= {"number": self.number, "double": np.float64, "put": put, "row_sum": row_sum, "row_max": row_max}
        for index, size, axis in (("threadIdx", block[0], 0), ("blockIdx", grid[0], 1)):
            names[index] = types.SimpleNamespace(x=np.expand_dims(np.arange(size), axis))
        names["blockDim"] = types.SimpleNamespace(x=block[0])
        for (kind, pointer, name), value in zip(self.parameters, args, strict=True):
            assert isinstance(value, ndarray if pointer else np.int32), name
            names[name] = memory(value) if pointer else value
            assert kind in ("bool", "int") or np.dtype({"float": "f4", "double": "f8"}[kind]) == value.dtype, name
        with np.errstate(all="ignore" if self.reduces else None):  # `c ? a : b` computes both here
            exec(self.code, names)


REDUCTION = r"row_(sum\(\w+, inside\)|max\(\w+\))( / number\(width\))?"


def row_sum(value, inside):
    value = value + np.zeros(inside.shape, dtype=value.dtype)
    return np.where(inside, value.astype("f8"), 0).sum(axis=1, keepdims=True).astype(value.dtype)


def row_max(value):
    return np.fmax.reduce(value, axis=1, keepdims=True)


def put(array, index, value, condition):
    """`if (condition) array[index] = value;` in each thread."""
    index, value, condition = np.broadcast_arrays(index, value, condition)
    array[index[condition]] = value[condition]


def memory(array):
    """The memory from an array's first number on, in a row."""
    host = array.host
    length = 1 + sum((size - 1) * step for size, step in zip(host.shape, host.strides, strict=True)) // host.itemsize
    return np.lib.stride_tricks.as_strided(host, (length if host.size else 0,), (host.itemsize,))


# The device -----------------------------------------------------------------------------------------------------


class _RandomState:
    def __init__(self, seed, method):
        assert method == "Philox"

    def seed(self, seed):
        self.draw = np.random.default_rng(seed)

    def random_sample(self, size, dtype):
        launches[0] += 1
        return ndarray(self.draw.random(size, dtype=dtype))


cuda = types.SimpleNamespace(
    Device=lambda number: types.SimpleNamespace(use=lambda: None),
    runtime=types.SimpleNamespace(
        getDeviceCount=lambda: 8, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000
    ),
    curand=types.SimpleNamespace(CURAND_RNG_PSEUDO_PHILOX4_32_10="Philox"),
)
random = types.SimpleNamespace(RandomState=_RandomState)
