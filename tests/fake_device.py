"""A strict stand-in for CuPy, so that a mixture of host and device is caught where no GPU is at hand.

Its arrays are NumPy's, but refuse whatever CuPy's would not take: operators and functions with arrays of the host in
them, NumPy's own functions, and indexing with arrays of the host.
"""

import operator
import types

import numpy as np


class FakeArray(np.ndarray):
    __array_priority__ = 100

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was called with an array of the device; use xp")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        # NumPy's own methods, such as .sum(), come this way; numpy.tanh(array) does too, and is refused.
        if method not in ("reduce", "accumulate"):
            raise TypeError(f"numpy.{ufunc.__name__} was called with an array of the device; use xp")
        return call(getattr(ufunc, method), *inputs, **kwargs)

    def __getitem__(self, key):
        return wrap(bare(self)[device_only(key)])

    def __setitem__(self, key, value):
        bare(self)[device_only(key)] = device_only(value)

    def dot(self, other, out=None):
        return call(np.dot, self, other, **({} if out is None else {"out": out}))

    def astype(self, dtype, copy=True):
        return wrap(bare(self).astype(dtype, copy=copy))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def tolist(self):
        return bare(self).tolist()  # CuPy has it too, and it is a crossing; scratch uses to_host


def bare(value):
    return value.view(np.ndarray)


def wrap(value):
    return np.asarray(value).view(FakeArray) if isinstance(value, (np.ndarray, np.generic)) else value


def device_only(value):
    """`value` with device arrays laid bare. Raises: TypeError if there is an array of the host in it."""
    if isinstance(value, FakeArray):
        return bare(value)
    if isinstance(value, np.ndarray):
        raise TypeError("an array of the host was mixed with the device's")
    if isinstance(value, (tuple, list)):
        return type(value)(device_only(item) for item in value)
    return value


def call(function, *args, **kwargs):
    out = kwargs.get("out")
    result = function(*device_only(args), **{key: device_only(value) for key, value in kwargs.items()})
    if out is not None:
        return out[0] if isinstance(out, tuple) else out
    return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)


def _binary(name, swapped):
    ufunc = getattr(operator, name)
    if swapped:
        return lambda self, other: call(lambda a, b: ufunc(b, a), self, other)
    return lambda self, other: call(ufunc, self, other)


def _in_place(name):
    def method(self, other):
        getattr(operator, name)(bare(self), device_only(other))
        return self

    return method


for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor"):
    dunder = name.rstrip("_")
    setattr(FakeArray, f"__{dunder}__", _binary(name, swapped=False))
    setattr(FakeArray, f"__r{dunder}__", _binary(name, swapped=True))
    setattr(FakeArray, f"__i{dunder}__", _in_place(f"i{dunder}"))
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(FakeArray, f"__{name}__", _binary(name, swapped=False))
for name in ("neg", "abs", "invert"):
    setattr(FakeArray, f"__{name}__", (lambda function: lambda self: call(function, self))(getattr(operator, name)))


class FakeCupy(types.ModuleType):
    """`cupy`: NumPy's functions for device arrays only, and the two crossings."""

    ndarray = FakeArray
    missing = ("errstate", "random", "char", "rec", "ma")  # what CuPy lacks, or does in another way

    def __init__(self):
        super().__init__("cupy")
        runtime = types.SimpleNamespace(getDeviceCount=lambda: 1)
        self.cuda = types.SimpleNamespace(runtime=runtime)

    def __getattr__(self, name):
        value = getattr(np, name)
        if name in self.missing:
            raise AttributeError(f"cupy has no {name}")
        if isinstance(value, np.ufunc):
            function = lambda *args, **kwargs: call(value, *args, **kwargs)  # noqa: E731
            function.at = lambda *args: call(value.at, *args)
            return function
        if callable(value) and not isinstance(value, type):
            return lambda *args, **kwargs: call(value, *args, **kwargs)
        return value

    @staticmethod
    def asarray(value, dtype=None):
        return np.array(value, dtype=dtype).view(FakeArray)  # a copy, as on its way to another memory

    array = asarray

    @staticmethod
    def asnumpy(value):
        if not isinstance(value, FakeArray):
            raise TypeError("asnumpy of something that is not on the device")
        return np.array(bare(value))
