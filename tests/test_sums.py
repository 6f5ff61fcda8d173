"""Sums over many rows keep their digits, and a NaN keeps its gradient, plain and fast."""

import numpy as np
import pytest
from cases import EACH_WAY

from scratch.backend import precision, to_device, to_host
from scratch.bidirectional import Bidirectional
from scratch.convolution import Conv1d, Conv2d
from scratch.dense import Embedding, Linear
from scratch.gradient_check import gradient_errors
from scratch.over_time import MaxOverTime
from scratch.pooling import MaxPool1d, MaxPool2d
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.regular import BatchNorm

MANY = 1_000_000


def zeros(*shape):
    return np.zeros(shape, dtype=np.float32)


SUMS = {  # a layer, an input, and the shape of its output: each output's gradient, 0.1, reaches every bias once
    "Linear": (lambda: Linear(1, 2), zeros(MANY, 1), (MANY, 2)),
    "Linear on sequences": (lambda: Linear(1, 2), zeros(1000, 1000, 1), (1000, 1000, 2)),
    "Conv1d": (lambda: Conv1d(1, 2, 1), zeros(1000, 1000, 1), (1000, 1000, 2)),
    "Conv1d of ids": (lambda: Conv1d(2, 2, 1), np.zeros((1000, 1000), dtype=np.int64), (1000, 1000, 2)),
    "Conv2d": (lambda: Conv2d(1, 2, 1), zeros(100, 100, 100, 1), (100, 100, 100, 2)),
    "BatchNorm": (lambda: BatchNorm(1), np.arange(MANY, dtype=np.float32)[:, None], (MANY, 1)),
}


@EACH_WAY
@pytest.mark.parametrize("name", SUMS)
def test_the_gradient_of_a_bias(name, how):
    make, input, shape = SUMS[name]
    layer = how(make())
    layer.forward(to_device(input))
    layer.backward(to_device(np.full(shape, 0.1, dtype=np.float32)))
    assert np.allclose(to_host(layer.b.grad), 100_000, rtol=1e-5)


@EACH_WAY
@pytest.mark.parametrize("num_ids", [2, 300])
def test_the_gradient_of_one_id_among_many(num_ids, how):
    layer = how(Embedding(num_ids, 2))
    layer.forward(to_device(np.zeros(MANY, dtype=np.int64)))
    layer.backward(to_device(np.full((MANY, 2), 0.1, dtype=np.float32)))
    assert np.allclose(to_host(layer.w.grad[0]), 100_000, rtol=1e-5)
    assert not to_host(layer.w.grad[1:]).any()


@EACH_WAY
@pytest.mark.parametrize("kind", [SimpleRnn, GRU, LSTM])
def test_recurrent_layers(kind, how):
    """In float32 the gradient of b is that of float64, over 30,000 rows of equal steps."""
    found = []
    for name in ("float32", "float64"):
        with precision(name):
            for layer in (kind(1, 1), Bidirectional(kind(1, 1), kind(1, 1))):
                for p in layer.parameters():
                    p.data.fill(0.5)
                layer = how(layer)
                output = layer.forward(to_device(np.ones((30_000, 2, 1))))
                layer.backward(to_device(np.full(output.shape, 0.1)))
                grads = [to_host(p.grad) for name, p in layer.named_parameters().items() if name.endswith("b")]
                found.append(np.concatenate(grads))
    for k in range(2):
        assert np.allclose(found[k], found[2 + k], rtol=1e-5)


@EACH_WAY
@pytest.mark.parametrize(
    ("layer", "shape"), [(MaxPool1d(2), (1, 4, 1)), (MaxPool2d(2), (1, 2, 4, 1)), (MaxOverTime(), (1, 4, 1))], ids=str
)
def test_the_gradient_of_a_maximum_goes_to_the_nan(layer, shape, how):
    """A network that has diverged must not look as if it had not."""
    for place in range(4):
        input = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        input.reshape(-1)[place] = np.nan
        pool = how(layer)
        output = pool.forward(to_device(input))
        assert np.isnan(to_host(output)).sum() == 1
        gradient = to_host(pool.backward(to_device(np.ones(output.shape))))
        assert gradient.sum() == output.size
        assert gradient.reshape(-1)[place] == 1


def test_a_gradient_check_of_float32_input_is_made_in_float64():
    with precision("float64"):
        for dtype in (np.float32, np.float16):
            errors = gradient_errors(Linear(3, 2), np.random.default_rng(0).normal(size=(4, 3)).astype(dtype))
            assert errors.keys() == {"input 0", "w", "b"} and max(errors.values()) < 1e-7
