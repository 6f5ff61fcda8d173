"""One batch on all cores: the model once for each thread, and the gradients added up.

The rows of a batch do not know of each other, so each thread can take some of them all the way through the network
and back. (In BatchNorm they do: there the threads wait for each other, and add up what they have.) What the threads
share is the parameters' values, which nobody changes meanwhile; what each needs for itself is a memory and a place for
its gradients, and that is a `sibling` with a `grad` of its own:

    model = InThreads(model, 2)
    predicted = model.forward(x)         # rows 0 .. N/2 - 1 on one thread, the others on the second
    model.backward(gradient)             # likewise; then the siblings' gradients are added to the model's

It is faster than leaving the threads to the matrix product: the elementwise work uses all cores too, and nobody waits
for the others at the end of each small product. The product itself is held to one thread meanwhile.

Read next: `deep_learning.py`.
"""

import contextvars
import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from scratch.backend import Array, xp
from scratch.initial import chance
from scratch.layer import Layer, Parameter, WholeBatch, batch

Result = TypeVar("Result")


class Part(WholeBatch):
    """One part of a batch: its number, and the sum over all parts, for which the threads wait for each other."""

    def __init__(self, part: int, given: list[Any], barrier: threading.Barrier) -> None:
        self.part, self.given, self.barrier = part, given, barrier

    def sum(self, values: Any) -> Any:
        """The sum of what each part has given, in the order of the parts: the same for all."""
        self.given[self.part] = values
        self.barrier.wait()
        total = sum(self.given[1:], start=self.given[0])
        self.barrier.wait()  # before anybody gives something else
        return total


class InThreads(Layer):
    """A model whose batches are cut into parts, a thread for each.

    Shapes: as the model's, whose input has the batch as its first axis. The parts are as equal as can be, and the
        same rows go the same way at each call: so stateful layers may carry their state. Each part has a state and a
        mode of its own: give `evaluating`, and whatever resets the state, this layer, not the model.
    Parameters: the model's own, under their names there.
    Differs: from the model alone by rounding, since sums are taken in another order; and Dropout draws other numbers
        for another number of threads (the same for the same, from the one seed).
    """

    working = ("_memory", "_pool", "_blas")
    _pool: ThreadPoolExecutor | None = None
    _blas: ThreadpoolController | None = None

    def __init__(self, model: Layer, num_threads: int) -> None:
        self.model = model
        self.others = [model.sibling(own_grad=True) for _ in range(num_threads - 1)]

    def _collect(self, found: dict[int, Parameter], path: str) -> None:
        self.model._collect(found, path)  # the others' Parameters are the same values again

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        N = len(input)
        parts = [self.model, *self.others][: max(N, 1)]
        cuts = [k * N // len(parts) for k in range(len(parts) + 1)]
        for other in parts[1:]:  # an optimizer may have moved the values into one vector since the last call
            for parameter, twin in zip(self.parameters(), other.parameters(), strict=True):
                twin.data = parameter.data

        def go(k: int) -> Array:
            rows = slice(cuts[k], cuts[k + 1])
            return parts[k].forward(input[rows], **({} if mask is None else {"mask": mask[rows]}))

        output = xp.concatenate(self._each(go, len(parts)))
        self.remember(output.shape, parts, cuts)
        return output

    def backward(self, gradient: Array) -> Array | None:
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
        return None if grads[0] is None else xp.concatenate(grads)

    def _each(self, function: Callable[[int], Result], num_parts: int) -> Sequence[Result]:
        """`function(k)` for each part, part 0 on this thread; all have ended when it returns or raises."""
        if num_parts == 1:
            return [function(0)]
        if self._pool is None or self._blas is None:
            self._pool, self._blas = ThreadPoolExecutor(num_parts - 1), ThreadpoolController()
            self._at_once(_warm_up, num_parts)
        # A part has chance of its own, since nobody knows which thread would draw first.
        seeds = [random.getrandbits(64) for _ in range(num_parts)] if self.train else [0] * num_parts
        given: list[Any] = [None] * num_parts
        barrier = threading.Barrier(num_parts)

        def as_a_part(k: int) -> Result:
            chance.set(random.Random(seeds[k]))
            batch.set(Part(k, given, barrier))
            try:
                return function(k)
            except BaseException:
                barrier.abort()  # nobody need wait for this one
                raise

        return self._at_once(as_a_part, num_parts)

    def _at_once(self, function: Callable[[int], Result], num_parts: int) -> Sequence[Result]:
        assert self._pool is not None and self._blas is not None
        with self._blas.limit(limits=1, user_api="blas"):
            # Each thread gets a copy of this one's context, in which NumPy keeps what to do about an overflow.
            tasks = [self._pool.submit(contextvars.copy_context().run, function, k) for k in range(1, num_parts)]
            mine: Future[Result] = Future()
            try:
                mine.set_result(contextvars.copy_context().run(function, 0))
            except BaseException as error:
                mine.set_exception(error)
            wait(tasks)
        done = [mine, *tasks]
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
    """`model` on so many threads; on a GPU, which is one device for all of a batch, the model itself."""
    return model if num_threads <= 1 or xp.device != "cpu" else InThreads(model, num_threads)


def default_threads(batch_size: int) -> int:
    """As many as there are cores, but no more than get 8 rows of a batch each."""
    return max(min(num_cores(), batch_size // 8), 1)


def num_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
