"""A worker process that holds one part of every batch (`workers.py`): both ends of it, and how it starts and ends.

After the memory and the model, this process sends requests, (method, rows, settings, inputs, named inputs). The worker
answers each with ("done", output), before which it may send ("sum", values), and is sent the total. In place of arrays,
the messages have where these lie in shared memory (`shared.py`). They travel through the worker's standard input and
output; what layers print there goes to standard error.
"""

import os
import pickle
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from scratch.backend import Array, precision, use, xp
from scratch.checks import ScratchError
from scratch.fast.arrays import keep_memory
from scratch.fast.parts import Part, current, of_rows, warm_up
from scratch.fast.processes import limit_blas
from scratch.fast.shared import Memory, unpickled

# Unlike `multiprocessing`, this does not run the program's main file again, so a script needs no guard; and a worker
# whose program is killed meanwhile ends without a word.
_START = "import sys; sys.path[:] = sys.argv[1:]; from scratch.fast.worker_process import work; work()"


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
        blocks = memory.values, memory.grads, memory.transit
        with _ctrl_c_blocked():
            self.process = subprocess.Popen(
                [sys.executable, *(f"-W{option}" for option in sys.warnoptions), "-c", _START, *sys.path],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                pass_fds=[block.handle for block in blocks if isinstance(block.handle, int)],
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # on Windows: without Ctrl-C
            )
        self.send((memory, number))

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
            _write(message, self.process.stdin)

    def receive(self, expected: str) -> Any:
        """What the worker sends next. Raises: what it raised, or ScratchError when it has ended."""
        try:
            kind, content, *text = pickle.load(self.process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError, pickle.UnpicklingError):
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
            code = self.process.returncode
            raise ScratchError(f"a worker process has ended (exit code {code}); is the memory full?") from None
        if kind == "error":
            error = content
            if isinstance(error, ScratchError) and self.settings:
                error = of_rows(error, self.rows)
            raise error from WorkerTraceback(*text)
        if kind != expected:
            raise RuntimeError(f"expected {expected!r} from a worker, got {kind!r}: all parts must sum equally often")
        return self.memory.get(content)

    def end(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # a message is left in it
                pipe.close()  # type: ignore[union-attr]


def _write(message: Any, pipe: Any) -> None:
    pickle.dump(message, pipe, pickle.HIGHEST_PROTOCOL)
    pipe.flush()


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """A process that starts inside it never sees Ctrl-C, which a terminal sends to all processes of a program."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _PartOfWorker(Part):
    """The worker's own part. It sends its sums to the first part, and receives the total."""

    def __init__(self, number: int, rows: tuple[int, int], requests: Any, answers: Any) -> None:
        self.number, self.first_row, self.num_rows = number, rows[0], rows[1] - rows[0]
        self.requests, self.answers = requests, answers

    def sum(self, values: Any) -> Any:
        _write(("sum", values), self.answers)
        return pickle.load(self.requests)


def work() -> None:
    """The life of a worker: it answers requests until the program ends, or one of them fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers, sys.stdin, sys.stdout = sys.stdin.buffer, sys.stdout.buffer, None, sys.stderr
    try:
        use("cpu")  # whatever SCRATCH_DEVICE says
        limit_blas(1)
        keep_memory()
        memory, number = pickle.load(requests)
        warm_up(number, products=1)
        model = unpickled(pickle.load(requests), memory.parameters()[0])
        layers = list(model.all_layers())
        _write(("ready", None), answers)
        while True:
            method, rows, settings, inputs, named = pickle.load(requests)
            if method == "reset_hidden_state":
                model.reset_hidden_state()
                continue
            dtype, errors, options, resets, state = settings
            for layer, its_options, is_reset in zip(layers, options, resets, strict=True):
                vars(layer).update(its_options)
                if is_reset:
                    layer.reset_hidden_state()
            part = _PartOfWorker(number, rows, requests, answers)
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
            _write(("done", memory.put(output)), answers)
    except BaseException as error:
        with suppress(OSError):  # the program has ended
            _write(("error", _sendable(error), traceback.format_exc()), answers)
        os._exit(1)  # Python would try to write once more what a closed pipe did not take


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, xp.ndarray) else value


def _sendable(error: BaseException) -> BaseException:
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
