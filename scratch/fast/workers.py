"""A batch on all cores by worker processes, not threads: `fast(model, workers=2)`.

Threads of one interpreter wait for each other; processes do not. As in `parts.py`, each part of a batch has its own
copy of the model. Part 0 stays in this process; each other part belongs to a worker process. All Parameters' values lie
in one vector of shared memory, so the workers see each step at once. Each worker has its own gradient vector in shared
memory, which this process adds to its own. Inputs, outputs and their gradients travel through shared memory too
(`shared.py`), and a pipe carries short messages.

The workers start at the first batch that is cut, and ignore Ctrl-C. When this process ends, however it ends, their
pipes close, and then they end too.
"""

import contextvars
import random
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from scratch.backend import Array, float_type, xp
from scratch.checks import ScratchError, expect
from scratch.fast.arrays import keep_memory
from scratch.fast.parts import InParts, Part, Result, current, of_rows, warm_up
from scratch.fast.processes import Alone, job
from scratch.fast.shared import Block, Memory, pickled, values_of
from scratch.fast.vector import in_one_vector
from scratch.fast.worker_process import Worker, WorkerTraceback
from scratch.layer import Layer

_asked: int | None = None  # how many workers a program has asked for


def use_workers(count: int | None) -> None:
    """From now on, so many processes share the batches of a model that `fast` is given without threads or workers."""
    global _asked
    _asked = count


def num_workers(threads: int | None, workers: int | None) -> int | None:
    """How many processes share a model's batches; None: threads share them.

    A rule that chooses workers without being asked belongs here. There is none yet: threads are the default. The rule
    should keep threads where Python has no global lock (`sys._is_gil_enabled()` is False), where `why_not(model)` gives
    a reason, and where `tests/benchmarks/engine.py --workers 2` shows no gain.
    """
    if threads and workers:
        raise ScratchError("threads or workers share a batch, not both; omit one of them")
    return workers or (None if threads else _asked)


def why_not(model: Layer) -> str:
    """Why worker processes cannot share this model's batches; "" where they can."""
    if xp.device != "cpu":
        return "a GPU is one device for all rows"
    if job().num_ranks > 1:
        return "the processes of the MPI job already share them"
    if len({p.data.dtype for p in model.parameters()}) > 1:
        return "its parameters have different dtypes"
    for layer in model.all_layers():
        if type(layer).__module__ == "__main__":
            return f"{type(layer).__name__} is defined in the program's main file; move it to a module"
    try:
        pickled(model, model.parameters())
    except Exception as error:
        return f"it cannot be pickled ({error})"
    return ""


class InWorkers(InParts):
    """A model whose batches are cut into parts, one for this process and one for each of `workers` - 1 others.

    Shapes, Parameters, State, Differs: as `InParts`. An error in any part ends the workers, and with them the states
        that they carry; the next batch starts new ones.
    Raises: ScratchError as `InParts`, where `why_not` gives a reason, and when a worker is killed. What a layer raises
        in a worker is raised here, caused by a `WorkerTraceback`.
    """

    _values: Block | None = None

    def __init__(self, model: Layer, workers: int) -> None:
        most = max(64, 4 * job().num_cores)
        expect(1 <= workers <= most, "InWorkers", f"from 1 to {most} workers", workers)
        if reason := why_not(model):
            raise ScratchError(f"workers cannot share this model's batches: {reason}; or use threads")
        keep_memory()
        self.threads, self.num_threads, self.least_rows, self.least_products = None, workers, 1, 0
        self.model, self._own, self.others, self.parts = model, model.parameters(), [], [model]
        self._layers, self._views = list(model.all_layers()), list[Array]()
        self._end = weakref.finalize(self, _end_all, [])  # with this object, and with the program

    def __reduce__(self) -> tuple:  # a copy starts workers of its own
        return InWorkers, (self.model, self.num_threads)

    def reset_hidden_state(self) -> None:
        """As the model's, in every part."""
        super().reset_hidden_state()
        for worker in self.parts[1:]:
            worker.reset_hidden_state()

    def end(self) -> None:
        """End the workers. The next batch starts new ones."""
        self.parts, self._memory = [self.model], None
        self._end()

    def _share_values(self, num_parts: int) -> None:
        if num_parts > 1 and len(self.parts) == 1:
            self._start()
        for parameter, view in zip(self._own, self._views, strict=bool(self._views)):
            if parameter.data is not view:  # it was moved or replaced since
                view[...] = parameter.data

    def _start(self) -> None:
        if self._values is None:
            self._values = self._place_values()
        memories = [Memory(self._values, self._own) for _ in range(1, self.num_threads)]
        if self._blas is None:
            with self._one_blas_thread():
                warm_up(0)
        model, workers = pickled(self.model, self._own), list[Worker]()
        self._end = weakref.finalize(self, _end_all, workers)
        try:
            for k, memory in enumerate(memories, 1):
                workers.append(Worker(memory, k))
                self.parts.append(workers[-1])
            for worker in workers:  # all are starting by now
                worker.send(model)
            for worker in workers:
                worker.receive("ready")
        except BaseException:
            self.end()
            raise

    def _place_values(self) -> Block:
        """Move the values into shared memory, first those that an optimizer steps, as it would lay them itself."""
        self._own = sorted(self._own, key=lambda p: p.fixed)
        values, start = values_of(self._own), 0
        for fixed in (False, True):
            if some := [p for p in self._own if p.fixed == fixed]:
                size = sum(p.data.size for p in some)
                in_one_vector(some, values.array(some[0].data.dtype, size, start))
                start += sum(p.data.nbytes for p in some)
        self._views = [p.data for p in self._own]
        return values

    def _each(
        self, function: Callable[[int], Result], cuts: list[int], processes: Alone, little: bool
    ) -> Sequence[Result]:
        """`function(k)` for each part: in a worker it begins at once, and its result is taken last."""
        workers = self.parts[1 : len(cuts) - 1]
        if not workers:
            return [function(0)]
        state = random.getstate() if self.train else None
        layers = self._layers
        settings = float_type().name, xp.geterr(), list(map(_options, layers)), list(map(_is_reset, layers)), state
        try:
            for k, worker in enumerate(workers, 1):
                worker.rows, worker.settings = (cuts[k], cuts[k + 1]), settings
                function(k)
            with self._one_blas_thread():
                own = contextvars.copy_context().run(_first, function, cuts[1], workers)
            return [own, *(worker.receive("done") for worker in workers)]
        except BaseException:
            self.end()
            raise


def _options(layer: Layer) -> dict[str, Any]:
    """Its mode, and its other attributes that a program may set at any time: numbers and strings."""
    options = {name: value for name, value in vars(layer).items() if type(value) in (bool, int, float, str)}
    return {name: value for name, value in options.items() if name == "_train" or name not in layer.working}


def _is_reset(layer: Layer) -> bool:
    """Whether it has a state, and none is carried: a program may reset a layer without a word to the model."""
    at_first = getattr(type(layer), "state", None)
    return hasattr(layer, "reset_hidden_state") and getattr(layer, "state", layer) is at_first


class _First(Part):
    """This process's part, which adds up for all."""

    def __init__(self, num_rows: int, workers: Sequence[Worker]) -> None:
        self.num_rows, self.workers = num_rows, workers

    def sum(self, values: Any) -> Any:
        total = sum((worker.receive("sum") for worker in self.workers), start=values)
        for worker in self.workers:
            worker.send(total)
        return total


def _first(function: Callable[[int], Result], num_rows: int, workers: Sequence[Worker]) -> Result:
    current.set(_First(num_rows, workers))
    try:
        return function(0)
    except ScratchError as error:
        if isinstance(error.__cause__, WorkerTraceback):
            raise
        raise of_rows(error, (0, num_rows)) from error


def _end_all(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.end()
