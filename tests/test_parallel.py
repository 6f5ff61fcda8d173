"""A batch cut over threads: the same answers, to rounding, as the model alone."""

import copy
import pickle
import random
import signal
import threading
import time

import numpy as np
import pytest
from conftest import ON_THREADS
from threadpoolctl import threadpool_info

from scratch.attention import DotAttention
from scratch.backend import precision, to_device
from scratch.checks import ScratchError
from scratch.dense import Embedding, Linear
from scratch.fast import fast
from scratch.fast.parts import InParts
from scratch.gradient_check import relative_error
from scratch.initial import uniform
from scratch.layer import Layer, Sequential, evaluating
from scratch.optimizers import Adam
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.regular import BatchNorm, Dropout

pytestmark = ON_THREADS
N, T, D, H, V = 7, 4, 5, 6, 3


def model(kind=LSTM, dropout=0.0, stateful=False):
    random.seed(3)
    return Sequential([kind(D, H, stateful=stateful), Dropout(dropout), Linear(H, V)])


def steps(layer, count=3, rows=N):
    """The outputs and the parameters of some training steps."""
    draw, optimizer, outputs = np.random.default_rng(1), Adam(0.01), []
    for _ in range(count):
        outputs.append(layer.forward(to_device(draw.normal(size=(rows, T, D)))).copy())
        layer.backward(to_device(draw.normal(size=(rows, T, V))))
        optimizer.step(layer)
    return [*outputs, *(value.copy() for value in layer.params())]


@pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("stateful", [False, True])
def test_threads_change_nothing_but_the_rounding(kind, threads, stateful):
    with precision("float64"):
        alone = steps(model(kind, stateful=stateful))
        shared = steps(fast(model(kind, stateful=stateful), threads))
        for a, b in zip(alone, shared, strict=True):
            assert relative_error(a, b) < 1e-9


def test_the_input_gradient_comes_back_whole():
    with precision("float64"):
        x, gradient = (np.random.default_rng(k).normal(size=(N, T, d)) for k, d in ((1, D), (2, V)))
        one, two = model(), fast(model(), 2)
        one.forward(x)
        two.forward(x)
        assert relative_error(one.backward(gradient), two.backward(gradient)) < 1e-12
        with pytest.raises(RuntimeError, match="Sequential"):
            two.backward(gradient)


@pytest.mark.parametrize("rows", [1, 3, N])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_dropout_is_that_of_the_plain_model(threads, rows):
    """An odd number of numbers for each row, so that a part may begin in the middle of what its generator draws."""
    x = np.ones((rows, T + 1, D), dtype="float32")
    plain = Sequential([Dropout(0.5), Linear(D, 3), Dropout(0.4)])
    shared, outputs, states = fast(plain, threads), [], []
    for layer in (plain, shared):
        random.seed(2)
        outputs.append([layer.forward(x) for _ in range(2)])
        layer.backward(np.ones_like(outputs[-1][0]))
        states.append(random.getstate())
    assert states[0] == states[1] and not np.array_equal(*outputs[0])
    for a, b in zip(*outputs, strict=True):
        assert np.array_equal(a == 0, b == 0) and relative_error(a, b) < 1e-6
    with evaluating(shared):
        shared.forward(x)
    assert random.getstate() == states[0]


def test_dropout_follows_the_seed():
    def run(seed):
        layer = fast(model(dropout=0.5), 2)
        random.seed(seed)
        return steps(layer)

    assert all(np.array_equal(a, b) for a, b in zip(run(1), run(1), strict=True))
    assert not np.array_equal(run(1)[0], run(2)[0])


class Noise(Layer):
    """A reader's own, which knows nothing of parts."""

    def __init__(self, draw):
        self.draw = draw

    def forward(self, input):
        self.remember(input.shape)
        return input + self.draw(*input.shape)


@pytest.mark.parametrize("draw", [uniform, lambda *shape: random.random()], ids=["uniform", "random.random"])
def test_chance_of_a_readers_own_layer_is_another_in_each_part_and_at_each_call(draw):
    layer = fast(Sequential([Noise(draw)]), 2)
    first, second = (layer.forward(np.zeros((2, 99), dtype="float32")) for _ in range(2))
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first, second)


def test_a_batch_smaller_than_the_threads():
    assert relative_error(steps(fast(model(), 5), rows=3)[0], steps(model(), rows=3)[0]) < 1e-6


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_batchnorm_takes_its_statistics_over_all_parts(rows):
    with precision("float64"):
        x, gradient = (np.random.default_rng(k).normal(size=(rows, D)) for k in (1, 2))
        plain, shared = BatchNorm(D), fast(BatchNorm(D), 3)
        for a, b in ((plain.forward(x), shared.forward(x)), (plain.backward(gradient), shared.backward(gradient))):
            assert relative_error(b, a) < 1e-9
        for a, b in zip(plain.params() + plain.grads(), shared.params() + shared.grads(), strict=True):
            assert relative_error(b, a) < 1e-9
    with pytest.raises(ScratchError, match="more than one row to train on"):
        fast(BatchNorm(D), 3).forward(np.ones((1, D), dtype="float32"))


def test_few_rows_stay_on_one_thread_unless_threads_are_asked_for(monkeypatch):
    monkeypatch.setattr("scratch.fast.processes.cores_of_process", lambda: {0, 1, 2})
    monkeypatch.setattr("scratch.fast.parts._LITTLE", 0)
    for threads, rows, expected in ((None, 15, 1), (None, 16, 2), (None, 99, 3), (2, 5, 2), (1, 99, 1), (4, 3, 3)):
        layer, seen, all_here = fast(Sequential([Seen()]), threads), set(), threading.Barrier(expected)
        for part in layer.all_layers():
            if isinstance(part, Seen):
                part.seen, part.all_here = seen, all_here
        layer.forward(np.zeros((rows, 1), dtype="float32"))
        assert len(seen) == expected


def test_little_work_stays_on_one_thread_in_products_and_around_them(monkeypatch):
    """Ids have a step each, vectors a step for each but the last axis."""
    monkeypatch.setattr("scratch.fast.processes.cores_of_process", lambda: {0, 1})
    layer = fast(Sequential([Weighs(Linear(512, 512, bias=False))]))
    for shape, dtype, parts in (((64, 512), "f4", 1), ((64, 3, 512), "f4", 1), ((64, 4, 512), "f4", 2),
                                ((64, 3), "i4", 1), ((64, 4), "i4", 2), ((64, 2, 2, 512), "f4", 2)):
        counts = []
        for part in layer.all_layers():
            if isinstance(part, Weighs):
                part.counts = counts
        layer.backward(layer.forward(np.zeros(shape, dtype=dtype)))
        assert len(counts) == 2 * parts and {count for some in counts for count in some} == {1}


class Weighs(Layer):
    """Has Parameters, and notes the number of BLAS threads in every call."""

    def __init__(self, inner):
        self.inner = inner

    def forward(self, input):
        self.counts.append([library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"])
        self.remember(input.shape)
        return input

    def backward(self, gradient):
        self.recall(gradient)
        self.forward(gradient)
        return gradient


class Seen(Layer):
    """Notes which threads it was called on, and stays until all are there, so that none is there twice."""

    def forward(self, input):
        self.all_here.wait(timeout=20)
        self.seen.add(threading.get_ident())
        return input


def test_names_and_parameters_are_the_models_own():
    alone = model()
    shared = fast(alone, 2)
    assert isinstance(shared, InParts) and list(shared.named_parameters()) == list(alone.named_parameters())
    assert all(a is b for a, b in zip(shared.parameters(), alone.parameters(), strict=True))
    assert not isinstance(fast(alone, 1), InParts) and fast(shared) is shared
    assert shared.layers is shared.model.layers and repr(shared) == repr(alone)
    inside = Sequential([fast(Linear(D, H), 3), fast(Linear(H, V), 2)])
    assert list(inside.named_parameters()) == ["layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b"]
    with evaluating(shared):
        shared.forward(np.zeros((N, T, D), dtype="float32"))
        with pytest.raises(RuntimeError):
            shared.backward(np.zeros((N, T, V), dtype="float32"))


@pytest.mark.parametrize(("take", "shares"), [
    (copy.deepcopy, False), (lambda layer: pickle.loads(pickle.dumps(layer)), False), (InParts.sibling, True),
], ids=["deepcopy", "pickle", "sibling"])
def test_a_copy_learns_as_the_model_does(take, shares):
    expected = steps(fast(model(), 3))
    shared = fast(model(), 3)
    other = take(shared)
    assert all((a is b) == shares for a, b in zip(other.parameters(), shared.parameters(), strict=True))
    for a, b in zip(steps(other), expected, strict=True):
        assert np.array_equal(a, b)


def test_a_state_is_reset_in_every_part():
    layer, x = fast(LSTM(D, H, stateful=True), 2), np.ones((N, T, D), dtype="float32")
    first = layer.forward(x)
    assert not np.array_equal(layer.forward(x), first)
    layer.reset_hidden_state()
    assert np.array_equal(layer.forward(x), first)
    layer.reset_hidden_state()
    step = x[0, 0]  # is nobody's part
    one = layer.forward(step)
    assert one.shape == (H,) and np.array_equal(layer.hidden, one) and layer.backward(one).shape == (D,)
    layer.forward(1)
    assert not np.array_equal(layer.hidden, one)


def test_ids_alone_are_a_batch():
    layer = fast(Embedding(V, D), 2)
    assert np.array_equal(layer.forward(np.array([2, 0, 1])), layer.embeddings[[2, 0, 1]])
    assert layer.backward(np.ones((3, D), dtype="float32")) is None and (layer.grads()[0] == 1).all()


def test_an_error_in_a_part_is_the_callers():
    shared = fast(model(), 2)
    with pytest.raises(ScratchError, match=r"LSTM.*got \(3, 4, 6\).*in rows 0 to 2 of the batch"):
        shared.forward(np.zeros((N, T, D + 1), dtype="float32"))
    ids = np.zeros((N, T), dtype=int)
    ids[-1, 0] = D
    with pytest.raises(ScratchError, match="in rows 3 to 6 of the batch"):
        shared.forward(ids)
    assert steps(shared)[0].shape == (N, T, V)


def test_inputs_are_of_equally_many_rows():
    x, y = np.zeros((4, 3, D), dtype="float32"), np.zeros((6, 2, D), dtype="float32")
    mask = np.ones((4, 2), dtype=bool)
    layer = fast(DotAttention(D), 2)
    for output in (layer.forward(x, y[:4], None, mask), layer.forward(x, y[:4], question_mask=mask)):
        assert output.shape == (4, 3, 2 * D)
    for inputs in ((x, y), (x, y[:4], None, mask[:3]), (y, y, None, mask)):
        with pytest.raises(ScratchError, match="rows in every input"):
            layer.forward(*inputs)


def test_inputs_may_have_names():
    x = np.ones((4, 3, D), dtype="float32")
    one, two = (layer.forward(context=x, question=x[:, 1:]) for layer in (DotAttention(D), fast(DotAttention(D), 2)))
    assert np.array_equal(one, two)
    assert fast(LSTM(D, H), 2).forward(input=x[0, 0]).shape == (H,)


def test_threads_of_threads_are_refused():
    with pytest.raises(ScratchError, match="not yet split into parts"):
        InParts(fast(model(), 2), 2).forward(np.zeros((N, T, D), dtype="float32"))


class Interrupted(Layer):
    """As if Ctrl-C came while the second part is not done."""

    def __init__(self):
        self.ended = False

    def forward(self, input):
        if input[0]:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.2)
            self.ended = True
        return input


def test_after_ctrl_c_no_part_goes_on():
    layer = fast(Interrupted(), 2)
    with pytest.raises(KeyboardInterrupt):
        layer.forward(np.array([0, 1]))
    assert layer.others[0].ended


def test_more_threads_than_a_machine_can_use_are_refused():
    """Each would have a copy of the model: a million of them would fill the memory."""
    for threads in (10**6, 0, -1):
        with pytest.raises(ScratchError, match=r"from 1 to \d+ threads"):
            InParts(Linear(2, 2), threads)
