"""Worker processes that share a batch: the numbers of threads, to the bit, and no process or memory that is left."""

import copy
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ON_THREADS
from fast_cases import LAYERS, PAST, Config, case
from programs import environment, refused, run, weights
from test_fast import everything

import scratch as book
from scratch.attention import DotAttention
from scratch.backend import precision
from scratch.checks import ScratchError
from scratch.fast import fast, shared, workers
from scratch.fast.workers import InWorkers
from scratch.layer import Sequential, evaluating

pytestmark = ON_THREADS
rng = np.random.default_rng(0)
IDS, IMAGES = rng.integers(0, 7, (3, 9, 6)), rng.normal(size=(3, 9, 8, 8, 3)).astype("float32")
VECTORS = rng.normal(size=(3, 9, 4)).astype("float32")


def mlp():
    return Sequential([book.Linear(4, 6), book.Tanh(), book.Dropout(0.4), book.Linear(6, 5)])


def cnn():
    return Sequential([
        book.Conv2d(3, 4, 3, "same"), book.BatchNorm(4), book.Gelu(), book.MaxPool2d(2), book.Flatten(),
        book.Dropout(0.3), book.Linear(64, 5),
    ])


def lstm():
    layers = [book.Embedding(7, 5), book.Dropout(0.4), book.LSTM(5, 6, stateful=True), book.Linear(6, 5)]
    return Sequential(layers)


def steps(model, batches, between=lambda model, k: None, rows=slice(None)):
    """All that some training steps give: outputs, losses, input gradients, outputs while evaluating, and weights."""
    loss, optimizer, found = fast(book.SoftmaxCrossEntropy()), fast(book.Adam(0.1)), []
    random.seed(2)
    for k, x in enumerate(batches):
        predicted = model.forward(x[rows])
        truth = np.arange(predicted[..., 0].size).reshape(predicted.shape[:-1]) % 5
        back = model.backward(loss.gradient(predicted, truth))
        found += [predicted, loss.loss(predicted, truth), 0 if back is None else back, random.random()]
        optimizer.step(model)
        between(model, k)
        if not any(getattr(layer, "stateful", False) for layer in model.all_layers()):
            with evaluating(model):
                found.append(model.forward(x))
    return [np.array(value) for value in (*found, *model.params(), *model.grads())]


def same(make, *arguments, count=2, **named):
    """The workers' model, after the comparison."""
    models = []
    for how in ("threads", "workers"):
        random.seed(1)
        models.append(fast(make(), **{how: count}))
    expected, found = (steps(model, *arguments, **named) for model in models)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    return models[1]


@pytest.mark.parametrize(("make", "batches"), [
    (mlp, VECTORS), (cnn, IMAGES), (lstm, IDS), (lambda: book.Transformer(7, 8, 2, 2, 6, 0.3), IDS),
], ids=["mlp", "cnn", "lstm", "gpt"])
def test_workers_compute_what_threads_compute(make, batches):
    model = same(make, batches)
    assert isinstance(model, InWorkers) and len(model.parts) == 2
    model.end()


@pytest.mark.thorough
@pytest.mark.parametrize("name", LAYERS)
def test_every_twin_computes_the_same_in_a_worker(name):
    for c in (Config(33, ids=True, masked=True, dtype="float32"), Config(7, PAST, stateful=True)):
        with precision("float64" if LAYERS[name][2] else c.dtype):
            layer, batches = case(name, c)
            ways = (fast(copy.deepcopy(layer), threads=2), fast(copy.deepcopy(layer), workers=2))
            expected, found = (everything(model, batches) for model in ways)
            for what in found:
                if not what.startswith("state "):  # a worker keeps its own
                    assert np.array_equal(found[what], expected[what]), what
            ways[1].end()


def test_what_this_process_changes_is_seen_by_the_workers(monkeypatch):
    monkeypatch.setattr(shared, "TRANSIT", 100)  # bytes: larger arrays travel through the pipe

    def change(model, k):
        first, _, _, last = model.layers
        if k == 0:
            first.w.data *= 2
            first.b.data = first.b.data + 1  # moves it
        if k == 1:
            first.w.fixed = True  # so that the optimizer moves the others
            last.w.data[...] = 0.5
            for layer in model.all_layers():
                if isinstance(layer, book.Dropout):
                    layer.p = 0.2

    model = same(mlp, [*VECTORS, *VECTORS], change, count=3)
    assert len(model.parts) == 3
    # A second model, while the first has workers; the batch has fewer rows than there are workers.
    other = same(mlp, VECTORS, count=3, rows=slice(2))
    assert other.parts[1].process.pid != model.parts[1].process.pid
    processes = [worker.process for one in (model, other) for worker in one.parts[1:]]
    del model, other
    assert all(process.poll() is not None for process in processes)


def test_a_state_is_reset_in_the_workers():
    model = fast(book.LSTM(4, 6, stateful=True), workers=2)
    x = rng.normal(size=(5, 3, 4)).astype("float32")
    first = model.forward(x)
    for reset in (model.reset_hidden_state, lambda: [layer.reset_hidden_state() for layer in model.model.all_layers()]):
        assert not np.array_equal(model.forward(x)[3:], first[3:])
        reset()
        assert np.array_equal(model.forward(x), first)


def test_named_inputs_and_masks_reach_the_workers():
    x, mask = rng.normal(size=(5, 3, 4)).astype("float32"), rng.random((5, 2)) < 0.6
    found = []
    for how in ({"threads": 2}, {"workers": 2}):
        random.seed(1)
        model = fast(DotAttention(4), **how)
        output = model.forward(x, question=x[:, 1:], question_mask=mask)
        found.append([output, *model.backward(output), *model.grads()])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


OWN = '''
import os, random
import numpy as np
from scratch.layer import Layer
class Unusual(Exception):
    def __init__(self, one, two):
        super().__init__(one)
class Own(Layer):
    def forward(self, input):
        self.remember(input.shape)
        if input[0, 0] == 1:
            raise KeyError("one")
        if input[0, 0] == 2:
            raise Unusual("two", 2)
        if input[0, 0] == 3:
            os._exit(3)
        if input[0, 0] == 4:
            print(np.float32(1) / np.float32(0))
        return input + random.random()
'''


def test_an_error_in_a_worker_is_raised_here(tmp_path, monkeypatch):
    (tmp_path / "own_layers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    from own_layers import Own

    model, x = fast(Sequential([Own(), book.Linear(2, 2)]), workers=2), np.zeros((4, 2), dtype="float32")
    random.seed(1)
    first = model.forward(x)
    assert not np.array_equal(first[:2], first[2:])
    for number, kind, match in ((1, KeyError, "one"), (2, RuntimeError, "Unusual: two"),
                                (3, ScratchError, r"a worker process has ended \(exit code 3\)")):
        x[2] = number
        with pytest.raises(kind, match=match) as raised:
            model.forward(x)
        if number < 3:
            assert 'own_layers.py", line' in str(raised.value.__cause__)
        assert len(model.parts) == 1
        with pytest.raises(RuntimeError, match="needs its own forward"):
            model.backward(first)
    with pytest.raises(ScratchError, match=r"got \(2, 3\).*in rows 0 to 1 of the batch"):
        model.forward(np.zeros((4, 3), dtype="float32"))
    x[2] = 4
    random.seed(1)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        model.forward(x)
    x[2] = 0
    random.seed(1)
    assert np.array_equal(model.forward(x), first)  # by new workers


def test_an_error_in_a_workers_rows_says_which():
    model, ids = fast(book.Embedding(3, 2), workers=2), np.array([0, 1, 2, 3])
    with pytest.raises(ScratchError, match=r"ids from 2 to 3.*in rows 2 to 3 of the batch"):
        model.forward(ids)


def test_what_cannot_be_shared_is_refused_with_the_reason(monkeypatch, stand_in):
    from scratch import backend

    model = book.Linear(2, 2)
    assert "GPU" in workers.why_not(model)
    backend.use("cpu")
    model = book.Linear(2, 2)
    assert workers.why_not(model) == ""
    norm = book.BatchNorm(2)
    norm.running_mean.data = norm.running_mean.data.astype("float64")
    assert "different dtypes" in workers.why_not(norm)
    with pytest.raises(ScratchError, match="not both"):
        fast(model, threads=2, workers=2)
    with pytest.raises(ScratchError, match="from 1 to"):
        fast(model, workers=10**6)
    model.draw = lambda: 0
    with pytest.raises(ScratchError, match="cannot be pickled"):
        fast(model, workers=2)
    del model.draw
    monkeypatch.setattr(book.Linear, "__module__", "__main__")
    assert "move it to a module" in workers.why_not(model)


def test_a_program_may_ask_for_workers():
    model = book.Linear(2, 2)
    workers.use_workers(3)
    try:
        assert isinstance(fast(model), InWorkers) and fast(model).num_threads == 3
        assert type(fast(model, threads=2)) is not InWorkers and not isinstance(fast(model, threads=1), InWorkers)
        assert not isinstance(fast(model, workers=1), InWorkers)
    finally:
        workers.use_workers(None)


def test_a_programs_flag_asks_for_workers(tmp_path):
    for flag in ("--threads", "--workers"):
        code, _, err = run("char_lm", "train", "--smoke", "--dropout", 0.2, flag, 2, "--out", flag[2:], cwd=tmp_path)
        assert code == 0 and not err, err
    a, b = (weights(tmp_path / folder / "weights.npz") for folder in ("threads", "workers"))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    for other in ("--plain", "--threads=2"):
        assert "omit" in refused("char_lm", "train", "--smoke", "--workers", 2, other, cwd=tmp_path)


TRAINS = """
import sys
import numpy as np
from scratch import LSTM, Sequential
from scratch.fast import fast
from scratch.tools import program
def main():
    model, x = fast(Sequential([LSTM(9, 9)]), workers=3), np.zeros((8, 50, 9), dtype="float32")
    print("starting", flush=True)
    while True:
        model.backward(model.forward(x))
        print(*(worker.process.pid for worker in model.parts[1:]), flush=True)
program.run(main)  # without a guard: workers do not run this file
"""


def ended(number, place, after):
    """Start a program, send it a signal, wait until all its processes have ended; returns what it wrote to stderr."""
    (place / "trains.py").write_text(TRAINS)
    process = subprocess.Popen(
        [sys.executable, "trains.py"], cwd=place, env=environment(), encoding="utf-8", stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )
    assert process.stdout.readline() == "starting\n"
    if after is None:
        pids = process.stdout.readline().split()
        assert len(pids) == 2
        if sys.platform == "linux":
            for pid in pids:
                assert "/memfd:scratch (deleted)" in Path(f"/proc/{pid}/maps").read_text()  # it never had a name
    else:
        time.sleep(after)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)  # a terminal sends Ctrl-C to all of them
    _, err = process.communicate(timeout=60)  # until nobody has these pipes open
    return process.returncode, err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("after", [
    None, 0.1, *(pytest.param(after, marks=pytest.mark.thorough) for after in (0.01, 0.3, 0.6)),
])
def test_nothing_is_left_of_a_program_that_ends(after, tmp_path):
    assert ended(signal.SIGINT, tmp_path, after) == (130, "trains: stopped\n")
    assert ended(signal.SIGKILL, tmp_path, after) == (-signal.SIGKILL, "")
