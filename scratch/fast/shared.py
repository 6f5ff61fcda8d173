"""Memory that this process shares with a worker process (`workers.py`), and a model whose Parameters lie in it.

The memory has no name in any folder, so it ends with the last process that maps it: a kill leaves nothing behind.
"""

import io
import math
import mmap
import os
import pickle
import sys
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

from scratch.backend import Array, xp
from scratch.layer import Layer, Parameter

TRANSIT = 1 << 24  # bytes for the arrays of one request, or of its answer


class Block:
    """So many bytes of memory, zeros at first. A worker that inherits `handle` and is sent the Block has the same."""

    def __init__(self, size: int) -> None:
        self.size = max(size, 1)
        if sys.platform == "win32":
            self.handle: Any = f"scratch-{uuid.uuid4()}"  # Windows forgets the name with the last process
        elif hasattr(os, "memfd_create"):
            self.handle = os.memfd_create("scratch")
        else:
            with tempfile.TemporaryFile() as file:  # it is unlinked by now
                self.handle = os.dup(file.fileno())
        if isinstance(self.handle, int):
            os.ftruncate(self.handle, self.size)
        self._map()

    def __getstate__(self) -> tuple[int, Any]:
        return self.size, self.handle

    def __setstate__(self, state: tuple[int, Any]) -> None:
        self.size, self.handle = state
        self._map()

    def _map(self) -> None:
        if sys.platform == "win32":
            self.memory = mmap.mmap(-1, self.size, tagname=self.handle)
        else:
            self.memory = mmap.mmap(self.handle, self.size)
            weakref.finalize(self, os.close, self.handle)

    def array(self, dtype: Any, size: int, start: int = 0) -> Array:
        """`size` numbers from byte `start` on."""
        return xp.frombuffer(self.memory, dtype, size, start)


def values_of(parameters: Sequence[Parameter]) -> Block:
    """Shared memory for the values of these Parameters; all workers map the same."""
    return Block(sum(p.data.nbytes for p in parameters))


class InTransit(NamedTuple):
    """Where in the shared memory an array lies."""

    start: int
    dtype: str
    shape: tuple[int, ...]


class Memory:
    """What one worker maps: the `values` of all Parameters, gradients of its own, and a place for arrays in transit."""

    def __init__(self, values: Block, parameters: Sequence[Parameter]) -> None:
        self.values, self.grads, self.transit = values, Block(values.size), Block(TRANSIT)
        self.dtype = parameters[0].data.dtype.str if parameters else "f4"
        self.layout = [(p.data.shape, p.fixed) for p in parameters]
        self.used = 0  # bytes of `transit`

    def parameters(self) -> tuple[list[Parameter], Array]:
        """The Parameters as views of this memory, and the vector of their gradients."""
        size = sum(math.prod(shape) for shape, _ in self.layout)
        data, grad = (block.array(self.dtype, size) for block in (self.values, self.grads))
        found, stop = [], 0
        for shape, fixed in self.layout:
            start, stop = stop, stop + math.prod(shape)
            views = {"data": data[start:stop].reshape(shape), "grad": grad[start:stop].reshape(shape)}
            found.append(Parameter.__new__(Parameter))
            found[-1].__dict__.update(views, fixed=fixed)
        return found, grad

    def put(self, thing: Any) -> Any:
        """Copy an array, or each of a tuple, into the memory, after those since `used` was 0. Returns what `get` needs.

        What is no array, or is too large, is returned as it is, and travels through the pipe.
        """
        if isinstance(thing, tuple):
            return tuple(map(self.put, thing))
        if not isinstance(thing, xp.ndarray) or self.used + thing.nbytes > self.transit.size:
            return thing
        placed = InTransit(self.used, thing.dtype.str, thing.shape)
        self.used += -(-thing.nbytes // 64) * 64  # whole cache lines
        self.get(placed)[...] = thing
        return placed

    def get(self, thing: Any) -> Any:
        """The array as a view of the memory, until the next `put`; what travelled through the pipe as it is."""
        if isinstance(thing, InTransit):
            return self.transit.array(thing.dtype, math.prod(thing.shape), thing.start).reshape(thing.shape)
        return tuple(map(self.get, thing)) if isinstance(thing, tuple) else thing


class _Pickler(pickle.Pickler):
    """Writes the numbers of the Parameters in place of the Parameters themselves."""

    def __init__(self, file: Any, parameters: Sequence[Parameter]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.numbers = {id(p): k for k, p in enumerate(parameters)}

    def persistent_id(self, thing: Any) -> int | None:
        return self.numbers.get(id(thing)) if isinstance(thing, Parameter) else None


class _Unpickler(pickle.Unpickler):
    """Reads these Parameters in place of their numbers."""

    def __init__(self, file: Any, parameters: Sequence[Parameter]) -> None:
        super().__init__(file)
        self.parameters = parameters

    def persistent_load(self, number: Any) -> Parameter:
        return self.parameters[number]


def pickled(model: Layer, parameters: Sequence[Parameter]) -> bytes:
    """The model without the Parameters."""
    file = io.BytesIO()
    _Pickler(file, parameters).dump(model)
    return file.getvalue()


def unpickled(model: bytes, parameters: Sequence[Parameter]) -> Any:
    """The model around these Parameters."""
    return _Unpickler(io.BytesIO(model), parameters).load()
