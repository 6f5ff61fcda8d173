"""A worker process that holds one part of every batch (`workers.py`): both ends of it, and how it starts and ends.

After the pickled model, this process sends requests, (method, rows, settings, inputs, named inputs). The worker answers
each with ("done", output), before which it may send ("sum", values), and is sent the total. In place of arrays, the
messages have where these lie in shared memory (`shared.py`).
"""

import pickle
import random
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from types import ModuleType
from typing import Any

from scratch.backend import Array, precision, xp
from scratch.checks import ScratchError
from scratch.fast import parts
from scratch.fast.arrays import keep_memory
from scratch.fast.parts import Part, current
from scratch.fast.processes import limit_blas
from scratch.fast.shared import SPAWN, Memory, unpickled


class WorkerTraceback(Exception):
    """The traceback of an error in a worker, as text: the cause of the error that is raised here."""


class Worker:
    """A worker process as one of the parts. `forward` and `backward` begin there; `receive` waits for their end.

    own, grad_vector: its Parameters, and the vector of their gradients, as those of the threads' parts (`parts.py`).
    rows, settings: the part of the batch, and what else is to hold in the worker during a request.
    """

    rows: tuple[int, int] = (0, 0)
    settings: tuple = ()

    def __init__(self, memory: Memory, number: int) -> None:
        self.memory, (self.own, self.grad_vector) = memory, memory.parameters()
        self.connection, its_own = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_work, args=(its_own, memory, number), daemon=True)
        with _unseen():
            self.process.start()
        its_own.close()

    def forward(self, *inputs: Any, **named: Any) -> None:
        self._begin("forward", inputs, named)

    def backward(self, gradient: Array) -> None:
        self._begin("backward", (gradient,), {})

    def reset_hidden_state(self) -> None:
        self._begin("reset_hidden_state", (), {})

    def _begin(self, method: str, inputs: tuple, named: dict[str, Any]) -> None:
        self.memory.used = 0
        named = {name: self.memory.put(value) for name, value in named.items()}
        self.send((method, self.rows, self.settings, self.memory.put(inputs), named))

    def send(self, message: Any) -> None:
        with suppress(OSError):  # the worker has ended: `receive` finds out why
            self.connection.send(message)

    def receive(self, expected: str) -> Any:
        """What the worker sends next. Raises: what it raised, or ScratchError when it has ended."""
        try:
            kind, content, *text = self.connection.recv()
        except (EOFError, OSError):
            self.process.join(1)
            code = self.process.exitcode
            raise ScratchError(f"a worker process has ended (exit code {code}); is the memory full?") from None
        if kind == "error":
            error = content
            if isinstance(error, ScratchError) and self.settings:
                error = ScratchError(f"{error} (in rows {self.rows[0]} to {self.rows[1] - 1} of the batch)")
            raise error from WorkerTraceback(*text)
        if kind != expected:
            raise RuntimeError(f"expected {expected!r} from a worker, got {kind!r}: all parts must sum equally often")
        return self.memory.get(content)


@contextmanager
def _unseen() -> Iterator[None]:
    """A process that starts inside it does not run the main file again, and has Ctrl-C blocked from its start.

    (`spawn` runs that file to find classes of its own, so a script without a guard would train in every worker.)
    """
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        if not hasattr(signal, "pthread_sigmask"):  # on Windows
            yield
            return
        resource_tracker.ensure_running()  # it would start first, and end the blocking
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        sys.modules["__main__"] = main


class _PartOfWorker(Part):
    """The worker's own part. It sends its sums to the first part, and receives the total."""

    def __init__(self, number: int, rows: tuple[int, int], connection: Any) -> None:
        self.number, self.first_row, self.num_rows, self.connection = number, rows[0], rows[1] - rows[0], connection

    def sum(self, values: Any) -> Any:
        self.connection.send(("sum", values))
        return self.connection.recv()


def _work(connection: Any, memory: Memory, number: int) -> None:
    """The life of a worker: it answers requests until this connection closes, or one of them fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        limit_blas(1)
        keep_memory()
        parts._warm_up(number, products=1)
        model = unpickled(connection.recv(), memory.parameters()[0])
        layers = list(model.all_layers())
        connection.send(("ready", None))
        while True:
            method, rows, settings, inputs, named = connection.recv()
            if method == "reset_hidden_state":
                model.reset_hidden_state()
                continue
            dtype, errors, options, resets, state = settings
            for layer, its_options, is_reset in zip(layers, options, resets, strict=True):
                vars(layer).update(its_options)
                if is_reset:
                    layer.reset_hidden_state()
            part = _PartOfWorker(number, rows, connection)
            if state is not None:
                part.chance = random.Random()
                part.chance.setstate(state)
                random.seed(hash(state[1]) ^ rows[0])  # for layers that know nothing of parts
            current.set(part)
            # Layers may keep their inputs, and the outputs need the place.
            inputs = [_copy(memory.get(value)) for value in inputs]
            named = {name: _copy(memory.get(value)) for name, value in named.items()}
            with precision(dtype), xp.errstate(**errors):
                output = getattr(model, method)(*inputs, **named)
            memory.used = 0
            connection.send(("done", memory.put(output)))
    except BaseException as error:
        with suppress(OSError):  # the other process has ended
            connection.send(("error", _sendable(error), traceback.format_exc()))


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, xp.ndarray) else value


def _sendable(error: BaseException) -> BaseException:
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
