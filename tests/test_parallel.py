"""A batch cut over threads: the same answers, to rounding, as the model alone."""

import random
import signal
import threading
import time

import numpy as np
import pytest
from conftest import ON_THREADS
from scratch.parallel import InThreads, default_threads, in_threads

from scratch.attention import DotAttention
from scratch.backend import precision, to_device
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.gradient_check import relative_error
from scratch.layer import Layer, Sequential, evaluating
from scratch.optimizers import Adam
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.regular import Dropout

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
@pytest.mark.parametrize("num_threads", [2, 3])
@pytest.mark.parametrize("stateful", [False, True])
def test_threads_change_nothing_but_the_rounding(kind, num_threads, stateful):
    with precision("float64"):
        alone = steps(model(kind, stateful=stateful))
        shared = steps(InThreads(model(kind, stateful=stateful), num_threads))
        for a, b in zip(alone, shared, strict=True):
            assert relative_error(a, b) < 1e-9


def test_the_input_gradient_comes_back_whole():
    with precision("float64"):
        x, gradient = (np.random.default_rng(k).normal(size=(N, T, d)) for k, d in ((1, D), (2, V)))
        one, two = model(), InThreads(model(), 2)
        one.forward(x)
        two.forward(x)
        assert relative_error(one.backward(gradient), two.backward(gradient)) < 1e-12
        with pytest.raises(RuntimeError):
            two.backward(gradient)


def test_dropout_follows_the_seed():
    def run(seed):
        layer = InThreads(model(dropout=0.5), 2)
        random.seed(seed)
        return steps(layer)

    assert all(np.array_equal(a, b) for a, b in zip(run(1), run(1), strict=True))
    assert not np.array_equal(run(1)[0], run(2)[0])
    halves = InThreads(Dropout(0.5), 2).forward(np.ones((2, 99), dtype="float32"))
    assert not np.array_equal(*halves)  # each part draws its own


def test_the_first_batch_draws_no_more_than_the_next():
    """A run that goes on begins with a first batch where the one that was not killed had a later one."""
    layer, states = InThreads(model(dropout=0.5), 2), []
    for _ in range(2):
        random.seed(0)
        layer.forward(np.zeros((N, T, D), dtype="float32"))
        states.append(random.getstate())
    assert states[0] == states[1]


def test_a_batch_smaller_than_the_threads():
    assert relative_error(steps(InThreads(model(), 5), rows=3)[0], steps(model(), rows=3)[0]) < 1e-6


def test_names_and_parameters_are_the_models_own():
    alone, shared = model(), InThreads(model(), 2)
    assert [p.name for p in shared.parameters()] == [p.name for p in alone.parameters()]
    assert in_threads(alone, 1) is alone and default_threads(15) == 1
    inside = Sequential([InThreads(Linear(D, H), 3), InThreads(Linear(H, V), 2)])
    assert [p.name for p in inside.parameters()] == ["layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b"]
    with evaluating(shared):
        shared.forward(np.zeros((N, T, D), dtype="float32"))
        with pytest.raises(RuntimeError):
            shared.backward(np.zeros((N, T, V), dtype="float32"))


def test_an_error_in_a_part_is_the_callers():
    with pytest.raises(ScratchError, match="LSTM"):
        InThreads(model(), 2).forward(np.zeros((N, T, D + 1), dtype="float32"))


def test_inputs_are_of_equally_many_rows():
    x, y = np.zeros((4, 3, D), dtype="float32"), np.zeros((6, 2, D), dtype="float32")
    mask = np.ones((4, 2), dtype=bool)
    layer = InThreads(DotAttention(D), 2)
    for output in (layer.forward(x, y[:4], None, mask), layer.forward(x, y[:4], question_mask=mask)):
        assert output.shape == (4, 3, 2 * D)
    for inputs in ((x, y), (x, y[:4], None, mask[:3]), (y, y, None, mask)):
        with pytest.raises(ScratchError, match="rows each"):
            layer.forward(*inputs)


def test_threads_of_threads_are_refused():
    with pytest.raises(ScratchError, match="not yet in parts"):
        InThreads(InThreads(model(), 2), 2).forward(np.zeros((N, T, D), dtype="float32"))


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
    layer = InThreads(Interrupted(), 2)
    with pytest.raises(KeyboardInterrupt):
        layer.forward(np.array([0, 1]))
    assert layer.others[0].ended
