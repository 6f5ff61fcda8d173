"""BatchNorm in a batch that is cut over threads."""

import copy

import numpy as np
import pytest
from conftest import ON_THREADS

from scratch.activations import Tanh
from scratch.backend import precision, to_device
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.fast import fast
from scratch.gradient_check import relative_error
from scratch.layer import Layer, Sequential, evaluating
from scratch.regular import BatchNorm

pytestmark = ON_THREADS
rng = np.random.default_rng(2)


@pytest.mark.parametrize("num_threads", [2, 3])
def test_batch_norm_looks_at_the_whole_batch_of_all_threads(num_threads):
    with precision("float64"):
        model = Sequential([Linear(4, 3), BatchNorm(3), Tanh(), Linear(3, 2), BatchNorm(2)])
        alone, x = copy.deepcopy(model), rng.normal(size=(7, 5, 4))
        cut, gradient = fast(model, num_threads), rng.normal(size=(7, 5, 2))
        for _ in range(2):
            assert relative_error(cut.forward(x), alone.forward(x)) < 1e-12
            assert relative_error(cut.backward(gradient), alone.backward(gradient)) < 1e-9
        for name, p in model.named_parameters().items():
            q = alone.named_parameters()[name]
            assert relative_error(p.grad, q.grad) < 1e-9, name
            assert relative_error(p.data, q.data) < 1e-12, name  # the running statistics, too
        with evaluating(cut), evaluating(alone):
            assert relative_error(cut.forward(x), alone.forward(x)) < 1e-12


def test_an_error_in_one_part_ends_the_others_wait():
    class Refuses(Layer):
        def forward(self, input):
            if input[0, 0] > 1:
                raise ScratchError("too large")
            return input

    model = fast(Sequential([Refuses(), BatchNorm(3)]), threads=2)
    for x in (np.array([[0.0] * 3, [2.0] * 3]), np.array([[2.0] * 3, [0.0] * 3])):
        with pytest.raises(ScratchError, match="too large"):
            model.forward(to_device(x))
