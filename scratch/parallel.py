"""One batch on all cores, or on many machines: the model once for each part of it, and the gradients added up.

The rows of a batch do not know of each other, so each thread can take some of them all the way through the network
and back. (In BatchNorm they do: there the threads wait for each other, and add up what they have.) What the threads
share is the parameters' values, which nobody changes meanwhile; what each needs for itself is a memory and a place for
its gradients, and that is a `sibling` with a `grad` of its own:

    model = InThreads(model, 2)
    predicted = model.forward(x)         # rows 0 .. N/2 - 1 on one thread, the others on the second
    model.backward(gradient)             # likewise; then the siblings' gradients are added to the model's

It is faster than leaving the threads to the matrix product: the elementwise work uses all cores too, and nobody waits
for the others at the end of each small product. The product itself is held to one thread meanwhile.

Machines share no memory: there each process has the whole model, and they need a folder that all see. All draw the same
batches and take their own rows of each; before a step the gradients are added up, in one message (MPI calls it an
all-reduce), and so all take the same step. The loss, BatchNorm and the step ask all processes, so all must call them,
equally often. A loop says which rows are its own:

    images, truth = images[mine(places)], labels[mine(places)]

    mpiexec -n 4 python examples/char_lm.py train

Read next: `deep_learning.py`.
"""

import contextvars
import importlib
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from scratch.backend import Array, ScratchError, devices_of_job, expect, keep_memory, xp
from scratch.files import leave_writing_to_another
from scratch.initial import chance
from scratch.layer import Layer, Parameter, WholeBatch, batch

Result = TypeVar("Result")


# One machine ----------------------------------------------------------------------------------------------------


class Part(WholeBatch):
    """One part of a process's batch: its number, and sums over all parts, for which the threads wait for each other."""

    def __init__(self, part: int, given: list[Any], barrier: threading.Barrier, process: WholeBatch) -> None:
        self.part, self.given, self.barrier, self.process = part, given, barrier, process
        self.rank, self.num_ranks = process.rank, process.num_ranks

    def sum(self, values: Any) -> Any:
        """The sum of what each part has given, in the order of the parts: the same for all."""
        self.given[self.part] = values
        self.barrier.wait()
        if self.part == 0:
            first, *others = self.given[:-1]
            self.given[-1] = self.process.sum(sum(others, start=first))
        self.barrier.wait()
        return self.given[-1]


class InThreads(Layer):
    """A model whose batches are cut into parts, a thread for each.

    Shapes: as the model's, whose inputs and masks have the batch as their first axis. The parts are as equal as can be,
        and the same rows go the same way at each call: so stateful layers may carry their state. Each part has a state
        and a mode of its own: give `evaluating`, and whatever resets the state, this layer, not the model.
    Parameters: the model's own, under their names there.
    Differs: from the model alone by rounding, since sums are taken in another order; and Dropout draws other numbers
        for another number of threads (the same for the same, from the one seed).
        Use one at a time: the number of threads of the matrix product, here held to one, is the whole process's.
    Raises: ScratchError when inputs and masks are not of equally many rows, or for one of these inside another; for
        several threads on a GPU.
    """

    working = ("_memory", "_pool", "_blas")
    _pool: ThreadPoolExecutor | None = None
    _blas: ThreadpoolController | None = None

    def __init__(self, model: Layer, num_threads: int) -> None:
        expect(num_threads == 1 or xp.device == "cpu", "InThreads", "one thread on a GPU", num_threads)
        self.model = model
        self.others = [model.sibling(own_grad=True) for _ in range(num_threads - 1)]

    def _collect(self, found: dict[int, Parameter], path: str) -> None:
        self.model._collect(found, path)  # the others' Parameters are the same values again

    def forward(self, *inputs: Any, **named: Any) -> Array:
        given = [value for value in (*inputs, *named.values()) if value is not None]
        N = len(given[0])
        expect(all(len(value) == N for value in given), self, f"{N} rows each", [len(value) for value in given])
        expect(not isinstance(batch.get(), Part), self, "a batch that is not yet in parts", "one part of it")
        parts = [self.model, *self.others][: max(N, 1)]
        cuts = [k * N // len(parts) for k in range(len(parts) + 1)]
        for other in parts[1:]:  # an optimizer may have moved the values into one vector since the last call
            for parameter, twin in zip(self.parameters(), other.parameters(), strict=True):
                twin.data = parameter.data

        def go(k: int) -> Array:
            def rows(value: Any) -> Any:
                return None if value is None else value[cuts[k] : cuts[k + 1]]

            return parts[k].forward(*map(rows, inputs), **{name: rows(value) for name, value in named.items()})

        output = xp.concatenate(self._each(go, len(parts)))
        self.remember(output.shape, parts, cuts)
        return output

    def backward(self, gradient: Array) -> Any:
        parts, cuts = self.recall(gradient)
        try:
            grads = self._each(lambda k: parts[k].backward(gradient[cuts[k] : cuts[k + 1]]), len(parts))
            for other in parts[1:]:
                # Each part met the same parameters, so each parameter's gradient is the sum over the parts.
                for parameter, twin in zip(self.parameters(), other.parameters(), strict=True):
                    parameter.grad += twin.grad
        finally:
            for other in parts[1:]:
                other.zero_grads()
        if isinstance(grads[0], tuple):
            return tuple(None if some[0] is None else xp.concatenate(some) for some in zip(*grads, strict=True))
        return None if grads[0] is None else xp.concatenate(grads)

    def _each(self, function: Callable[[int], Result], num_parts: int) -> Sequence[Result]:
        """`function(k)` for each part, part 0 on this thread; all have ended when it returns or raises."""
        process, num_threads = batch.get(), 1 + len(self.others)
        if num_threads == 1 and process.num_ranks == 1:
            return [function(0)]
        if self._pool is None or self._blas is None:
            self._pool, self._blas = ThreadPoolExecutor(num_threads), ThreadpoolController()
            self._at_once(_warm_up, num_threads)
        # Each part has a seed of its own: which thread draws first, nobody knows. Each process draws the seeds of all.
        seeds = [random.getrandbits(64) if self.train else 0 for _ in range(num_threads * process.num_ranks)]
        seeds = seeds[num_threads * process.rank :]
        given: list[Any] = [None] * (num_parts + 1)
        barrier = threading.Barrier(num_parts)

        def as_a_part(k: int) -> Result:
            try:
                chance.set(random.Random(seeds[k]))
                batch.set(Part(k, given, barrier, process))
                return function(k)
            except BaseException:
                barrier.abort()  # nobody need wait for this one
                raise

        return self._at_once(as_a_part, num_parts)

    def _at_once(self, function: Callable[[int], Result], num_parts: int) -> Sequence[Result]:
        assert self._pool is not None and self._blas is not None
        with self._blas.limit(limits=1, user_api="blas"):
            # In a copy of this one's context: what a part sets there (chance, batch) ends with it.
            tasks = [self._pool.submit(contextvars.copy_context().run, function, k) for k in range(1, num_parts)]
            own: Future[Result] = Future()
            try:
                own.set_result(contextvars.copy_context().run(function, 0))
            except BaseException as error:
                own.set_exception(error)
            try:
                wait(tasks)
            finally:
                wait(tasks)  # after a Ctrl-C, too: what goes on would add to gradients that nobody expects
        done = [own, *tasks]
        # Of a part that went wrong, and those that waited for it, the one that went wrong is heard.
        done.sort(key=lambda task: isinstance(task.exception(), threading.BrokenBarrierError))
        return [task.result() for task in done]


def _warm_up(k: int) -> None:
    """Large products. Small ones run at a quarter of their speed in a thread that has not made one before.

    (OpenBLAS has working memory for each thread and fetches ahead in it, and fetching from pages that were never
    written is slow.)
    """
    a = xp.ones((1024, 1024), dtype=xp.float32)
    for _ in range(4):  # so that all threads are at it at the same time, each in memory of its own
        a.dot(a)


def in_threads(model: Layer, num_threads: int) -> Layer:
    """`model` on so many threads; on a GPU, which is one device for all of a process's rows, on one.

    That is the model itself, unless other processes share the batch.
    """
    keep_memory()  # steps are alike, and need the same arrays again and again
    if xp.device != "cpu":
        num_threads = 1
    return model if num_threads <= 1 and batch.get().num_ranks == 1 else InThreads(model, max(num_threads, 1))


def default_threads(batch_size: int) -> int:
    """As many as there are cores for each process, but no more than get 8 rows of a batch each."""
    process = batch.get()
    cores = process.num_cores if isinstance(process, Processes) else num_cores()
    return max(min(cores, batch_size // process.num_ranks // 8), 1)


def num_cores() -> int:
    """How many cores this process may use."""
    return len(cores_of_process())


def cores_of_process() -> set[int]:
    """The numbers of the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


# Many machines --------------------------------------------------------------------------------------------------

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")  # Open MPI, MPICH and its kin, srun


class Processes(WholeBatch):
    """The processes of an MPI job, each with its rows of every batch: sums over all of them.

    rank, num_ranks: this one's number, and how many there are.
    num_cores: how many cores there are for each, where there are fewest: the same number for all.
    """

    devices: Any = None  # GPUs that send to each other

    def __init__(self, mpi: Any) -> None:
        self.mpi, self.comm = mpi, mpi.COMM_WORLD
        self.rank, self.num_ranks = self.comm.Get_rank(), self.comm.Get_size()
        self.here = self.comm.Split_type(mpi.COMM_TYPE_SHARED)  # those on this machine
        # A launcher may have given each of them cores of its own, or all of them the same.
        cores = set[int]().union(*self.here.allgather(cores_of_process()))
        self.num_cores = self.comm.allreduce(max(len(cores) // self.here.Get_size(), 1), op=mpi.MIN)

    def take_devices(self) -> None:
        """Where arrays live on GPUs: one for each process, which add up without the host between them."""
        if xp.device != "cpu":
            self.devices = devices_of_job(self.rank, self.num_ranks, self.here.Get_rank())

    def sum(self, values: Any) -> Any:
        """The sum of what each process has given: the same for all, to the bit."""
        if not isinstance(values, xp.ndarray):
            return self.comm.allreduce(values)
        total = values.copy()
        self.add_up(total)
        return total

    def add_up(self, array: Array) -> None:
        """Make `array`, in place, the sum of those of all processes."""
        if self.devices is not None:
            self.devices.all_reduce(array, array)
        else:
            self.comm.Allreduce(self.mpi.IN_PLACE, array)

    def of_first(self, value: Any) -> Any:
        """The first process's value, for all."""
        return self.comm.bcast(value)

    def wait(self) -> None:
        """Go on when all processes are here."""
        self.comm.Barrier()


def size_of_job() -> int:
    """How many processes an MPI launcher (mpiexec, srun) has started of this program; 1 when there was none."""
    return max(int(size) if (size := os.environ.get(name, "")).isdecimal() else 1 for name in _SIZES)


def join() -> None:
    """Where an MPI launcher has started several of this program: from now on they share batches.

    All get the first one's state of chance; only that one prints and writes files. Call it inside `ending_all`.
    Raises: ScratchError when mpi4py, or an MPI library for it, is missing, or is another than the launcher's.
    """
    if size_of_job() == 1 or batch.get().num_ranks > 1:
        return
    try:
        mpi = importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise ScratchError(
            f"{size_of_job()} processes were started, which takes pip install -e '.[mpi]' and an MPI library ({error})"
        ) from error
    processes = Processes(mpi)
    if processes.num_ranks < size_of_job():
        raise ScratchError("the processes do not find each other: mpiexec is of another MPI library than mpi4py's")
    batch.set(processes)  # from here on `ending_all` ends the others, too
    processes.take_devices()
    ThreadpoolController().limit(limits=processes.num_cores, user_api="blas")  # for as long as the process lives
    random.setstate(processes.comm.bcast(random.getstate()))
    if processes.rank:
        leave_writing_to_another()
        sys.stdout = open(os.devnull, "w", encoding="utf-8")


def mine(rows: Any) -> Any:
    """Of a batch (an array, a list, or None) the rows that this process takes: all, unless others share it."""
    if rows is None:
        return None
    process = batch.get()
    start, stop = (k * len(rows) // process.num_ranks for k in (process.rank, process.rank + 1))
    return rows[start:stop]


@contextmanager
def ending_all() -> Iterator[None]:
    """Where what is inside fails, the job's other processes are ended: they would wait for this one for ever."""
    try:
        yield
    except BaseException as error:
        code = error.code if isinstance(error, SystemExit) else 1
        process = batch.get()
        if code and isinstance(process, Processes):
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            time.sleep(0.2)  # what was written is passed on by another process, which Abort ends as well
            process.comm.Abort(code)
        raise
