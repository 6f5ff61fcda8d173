"""A batch on all cores: the model once for each part of it, on a thread of its own, and the gradients summed.

The rows of a batch are independent, so each thread can take some of them through the whole network and back. (In
BatchNorm they are not: there the threads wait for each other and sum their statistics.) Threads share the parameters'
values, which nobody changes meanwhile; each has its own memory and its own gradients.

It is faster than leaving the threads to the matrix product: the elementwise work uses all cores too, and no thread
waits for the others at the end of each small product. (Forward and backward of two LSTMs of 256, batch of 64, on two
cores: 58 ms instead of 72.) The product itself is limited to one thread meanwhile.

Random numbers do not depend on the number of threads or processes: every part starts a forward from the same state of
Python's generator, the first one with the generator itself, and Dropout skips to the numbers of its own rows
(`regular.py`).
"""

import contextvars
import copy
import math
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from scratch import initial
from scratch.backend import Array, to_device, xp
from scratch.checks import ScratchError, expect
from scratch.fast.arrays import keep_memory
from scratch.fast.processes import Alone, job
from scratch.layer import Layer, Parameter

Result = TypeVar("Result")

_ROWS = 8  # of a batch: fewer for each thread are not worth it, unless the model's `least_rows` says otherwise
_LITTLE = 1 << 26  # multiplications of a forward: fewer are not worth it either, least of all in a loop over time


class Part:
    """What a layer may ask of the part of the batch that it has; this one is the whole batch.

    number: of the part, 0 for the first of this process.
    first_row, num_rows: its place in the batch; num_rows is 0 where nothing is cut.
    chance: where its random bits come from.
    turn: a lock that two parts share, for many short array operations in a row; None unless there are two.
    """

    number, first_row, num_rows = 0, 0, 0
    chance: Any = random
    turn: Any = None

    def sum(self, values: Any) -> Any:
        """The sum of what all parts give, numbers or arrays; change neither it nor what was given.

        It blocks until every part calls it, so all must call it equally often.
        """
        return values


current: ContextVar[Part] = ContextVar("current", default=Part())  # noqa: B039


class OneOfSeveral(Part):
    """A part of a batch that is cut over the threads of this process, and over processes."""

    def __init__(
        self, number: int, rows: tuple[int, int], chance: Any, given: list[Any], barrier: threading.Barrier,
        processes: Alone, turn: Any,
    ) -> None:
        self.number, self.first_row, self.num_rows, self.chance = number, rows[0], rows[1] - rows[0], chance
        self.given, self.barrier, self.processes, self.turn = given, barrier, processes, turn

    def sum(self, values: Any) -> Any:
        """The sum of what each part gives, in the order of the parts: the same for all."""
        self.given[self.number] = values
        self.barrier.wait()
        if self.number == 0:
            first, *others = self.given[:-1]
            self.given[-1] = self.processes.sum(sum(others, start=first))
        self.barrier.wait()
        return self.given[-1]


class _Chance:
    """`initial.chance` in the engine: the random bits of the part that asks; those of part 0 are Python's own."""

    def getrandbits(self, k: int) -> int:
        part = current.get()
        return part.chance.getrandbits(k) ^ (part.first_row * 0x9E3779B97F4A7C15 & (1 << k) - 1)


initial.chance = _Chance()


class InParts(Layer):
    """A model whose batches are cut into parts, one for each thread and process.

    Shapes: as the model's, whose inputs and masks have the batch as their first axis; what has none, a single step of a
        recurrent layer, goes to the model itself. The parts are as equal as possible, and the same rows go to the same
        part at each call, so stateful layers may carry their state. The parts have their own state and mode: give this
        layer, not the model, to `evaluating` and to whatever resets the state.
    Parameters: the model's own, under their own names. Other attributes are the model's too; a method of the model's
        own knows nothing of the other parts.
    Differs: from the model alone by rounding, since sums are taken in another order. Use one at a time: the number of
        threads of the matrix product, here limited to one, is set for the whole process.
    Raises: ScratchError when inputs and masks are not of equally many rows, or for one of these inside another; for
        several threads on a GPU.
    """

    working = (*Layer.working, "_pool", "_blas")
    _pool: ThreadPoolExecutor | None = None
    _blas: ThreadpoolController | None = None

    def __init__(self, model: Layer, threads: int | None = None) -> None:
        expect(threads in (None, 1) or xp.device == "cpu", "InParts", "one thread on a GPU", threads)
        most = max(64, 4 * job().num_cores)  # each has a copy of the model, with gradients of its own
        expect(threads is None or 1 <= threads <= most, "InParts", f"from 1 to {most} threads", threads)
        keep_memory()  # steps allocate the same arrays again and again
        self.threads = threads
        self.num_threads = 1 if xp.device != "cpu" else threads or job().num_cores
        self.least_rows = 1 if threads else getattr(model, "least_rows", _ROWS)  # for each thread
        self.least_products = 0 if threads else _LITTLE
        self.model, self._own = model, model.parameters()
        # Of several processes each sums its own gradients before it sends them, so even its first part has its own.
        several = job().num_ranks > 1
        self.others = [_with_own_grads(model) for _ in range(self.num_threads - (not several))]
        self.parts = [*([] if several else [model]), *self.others]

    def children(self) -> Any:
        yield "model", self.model
        yield from ((f"others.{k}", other) for k, other in enumerate(self.others))

    def named_parameters(self) -> dict[str, Parameter]:
        return self.model.named_parameters()  # the parts' have the same values

    def __reduce__(self) -> tuple:  # a copy cuts its own copy of the model
        return InParts, (self.model, self.threads)

    def __repr__(self) -> str:
        return repr(self.model)

    def reset_hidden_state(self) -> None:
        """As the model's, in every part."""
        for part in (self.model, *self.others):
            part.reset_hidden_state()

    def __getattr__(self, name: str) -> Any:  # called for what is not an attribute of this object
        if name.startswith("_") or "model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.model, name)

    def forward(self, *inputs: Any, **named: Any) -> Array:
        inputs = tuple(to_device(value) if isinstance(value, list) else value for value in inputs)
        first = inputs[0] if inputs else next(iter(named.values()))
        if not hasattr(first, "ndim") or first.ndim == 0 or (first.ndim == 1 and first.dtype.kind == "f"):
            output = self.model.forward(*inputs, **named)  # one step has no rows
            self.remember(output.shape, None)
            return output
        given = [value for value in (*inputs, *named.values()) if value is not None]
        N, processes = len(first), job()
        if any(len(value) != N for value in given):
            expect(False, self, f"{N} rows in every input", [len(value) for value in given])
        expect(type(current.get()) is Part, self, "a batch that is not yet split into parts", "one part of it")
        if N < processes.num_ranks:
            processes = Alone()  # all have all rows, and the first one's gradients count
        start, stop = (k * N // processes.num_ranks for k in (processes.rank, processes.rank + 1))
        num_parts = max(min(self.num_threads, (stop - start) // self.least_rows), 1)
        little = num_parts > 1 and (stop - start) * self._products_of_a_row(first) < self.least_products
        num_parts = 1 if little else num_parts
        cuts = [start + k * (stop - start) // num_parts for k in range(num_parts + 1)]
        self._share_values(num_parts)

        def go(k: int) -> Array:
            def rows(value: Any) -> Any:
                return None if value is None else value[cuts[k] : cuts[k + 1]]

            return self.parts[k].forward(*map(rows, inputs), **{name: rows(value) for name, value in named.items()})

        outputs = self._each(go, cuts, processes, little)
        output = outputs[0] if num_parts == 1 else xp.concatenate(outputs)
        output = _of_all(output, start, N, processes)
        self.remember(output.shape, cuts, processes, little)
        return output

    def _products_of_a_row(self, input: Array) -> int:
        """The multiplications for a row of a batch: as if each position, or step, met each parameter once."""
        positions = input.shape[1:] if input.dtype.kind in "iu" else input.shape[1:-1]
        return math.prod(positions) * sum(p.data.size for p in self._own)

    def _share_values(self, num_parts: int) -> None:
        for other in self.others:  # an optimizer may have moved the values into one vector since the last call
            for parameter, twin in zip(self._own, other.own, strict=True):
                twin.data = parameter.data

    def backward(self, gradient: Array) -> Any:
        cuts, *rest = self.recall(gradient)
        if cuts is None:
            return self.model.backward(gradient)
        (processes, little), num_parts, N = rest, len(cuts) - 1, len(gradient)
        used = [part for part in self.parts[:num_parts] if part is not self.model]
        try:
            grads = self._each(
                lambda k: self.parts[k].backward(gradient[cuts[k] : cuts[k + 1]]), cuts, processes, little
            )
            self._sum_gradients(used, processes)
        finally:
            for other in used:
                other.grad_vector.fill(0)

        def whole(some: Sequence[Any]) -> Any:
            return None if some[0] is None else _of_all(xp.concatenate(some), cuts[0], N, processes)

        return tuple(map(whole, zip(*grads, strict=True))) if isinstance(grads[0], tuple) else whole(grads)

    def _sum_gradients(self, used: Sequence[Any], processes: Alone) -> None:
        """Each part met the same parameters, so each parameter's gradient is the sum over the parts."""
        if self.parts[0] is not self.model:
            for other in used[1:]:
                used[0].grad_vector += other.grad_vector
            if processes.num_ranks == 1 and job().rank:  # a batch that every process has whole
                used[0].grad_vector.fill(0)
            job().add_up(used[0].grad_vector)
            used = used[:1]
        for other in used:
            for parameter, twin in zip(self._own, other.own, strict=True):
                parameter.grad += twin.grad

    def _each(
        self, function: Callable[[int], Result], cuts: list[int], processes: Alone, little: bool
    ) -> Sequence[Result]:
        """`function(k)` for each part, part 0 on this thread; all have ended when it returns or raises."""
        num_parts = len(cuts) - 1
        if num_parts == 1 and processes.num_ranks == 1:
            with self._one_blas_thread() if little else nullcontext():
                return [function(0)]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.num_threads)
            self._at_once(warm_up, self.num_threads)
        chances: list[Any] = [random] * num_parts
        if self.train:
            state = random.getstate()
            for k in range(1, num_parts):
                chances[k] = random.Random()
                chances[k].setstate(state)
        given: list[Any] = [None] * (num_parts + 1)
        barrier, turn = threading.Barrier(num_parts), threading.Lock() if num_parts == 2 else None

        def as_a_part(k: int) -> Result:
            try:
                rows = cuts[k], cuts[k + 1]
                current.set(OneOfSeveral(k, rows, chances[k], given, barrier, processes, turn))
                return function(k)
            except BaseException as error:
                barrier.abort()  # no part need wait for this one
                if isinstance(error, ScratchError) and num_parts > 1:
                    raise of_rows(error, rows) from error
                raise

        return self._at_once(as_a_part, num_parts)

    def _one_blas_thread(self) -> Any:
        self._blas = self._blas or ThreadpoolController()
        return self._blas.limit(limits=1, user_api="blas")

    def _at_once(self, function: Callable[[int], Result], num_parts: int) -> Sequence[Result]:
        assert self._pool is not None
        with self._one_blas_thread():
            # In a copy of this context: what a part sets there (`current`) ends with it.
            tasks = [self._pool.submit(contextvars.copy_context().run, function, k) for k in range(1, num_parts)]
            own: Future[Result] = Future()
            try:
                own.set_result(contextvars.copy_context().run(function, 0))
            except BaseException as error:
                own.set_exception(error)
            try:
                wait(tasks)
            finally:
                wait(tasks)  # after a Ctrl-C too: a part that goes on would add to gradients later
        done = [own, *tasks]
        # When a part fails, others may fail because they waited for it; its error is the one to raise.
        done.sort(key=lambda task: isinstance(task.exception(), threading.BrokenBarrierError))
        return [task.result() for task in done]


def _with_own_grads(model: Layer) -> Any:
    """A sibling with the same values and gradients of its own, side by side in `grad_vector`; `own` are its Parameters.

    `own` and `grad_vector` are attributes of the copy.
    """
    parameters = model.parameters()
    sizes = [p.data.size for p in parameters]
    vector = xp.zeros(sum(sizes), dtype=parameters[0].data.dtype if parameters else xp.float32)
    twins, stop = {}, 0
    for p, size in zip(parameters, sizes, strict=True):
        start, stop = stop, stop + size
        twins[id(p)] = Parameter.__new__(Parameter)
        twins[id(p)].__dict__.update(data=p.data, fixed=p.fixed, grad=vector[start:stop].reshape(p.data.shape))
    other: Any = copy.deepcopy(model, dict(twins))
    other.__dict__.update(own=tuple(twins.values()), grad_vector=vector)
    return other


def _of_all(rows: Array, start: int, N: int, processes: Alone) -> Array:
    """The rows of all processes, of which this one's begin at `start`."""
    if processes.num_ranks == 1:
        return rows
    whole = xp.zeros((N, *rows.shape[1:]), dtype=rows.dtype)
    whole[start : start + len(rows)] = rows
    processes.add_up(whole)
    return whole


def of_rows(error: ScratchError, rows: tuple[int, int]) -> ScratchError:
    """The same error, which says in which part of the batch it arose: from the first of `rows` to before the second."""
    return ScratchError(f"{error} (in rows {rows[0]} to {rows[1] - 1} of the batch)")


def warm_up(k: int, products: int = 4) -> None:
    """Large products. Small ones run at a quarter of their speed in a thread that has not made a large one before.

    (OpenBLAS has working memory for each thread and prefetches from it; prefetching pages that were never written is
    slow.)
    """
    a = xp.ones((1024, 1024), dtype=xp.float32)
    for _ in range(products):  # so that all threads are busy at the same time, each in its own memory
        a.dot(a)
