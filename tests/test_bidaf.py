"""BiDAF: the whole network's gradient, and that padding changes nothing."""

import random

import numpy as np
import pytest
from bidaf.network import Bidaf

from scratch.backend import precision, to_device, to_host
from scratch.gradient_check import relative_error
from scratch.losses import SpanLoss
from scratch.optimizers import Adam
from scratch.parallel import InThreads

N, T, J, D, H = 3, 5, 4, 3, 2
MASKS = np.arange(T) < np.array([[5], [2], [4]]), np.arange(J) < np.array([[1], [4], [3]])
TRUTH = np.array([[1, 3], [0, 0], [2, 3]])


def texts():
    draw = np.random.default_rng(1)
    return draw.normal(size=(N, T, D)), draw.normal(size=(N, J, D))


def made(num_modelling=2, dropout=0.0):
    random.seed(2)
    return Bidaf(D, H, num_modelling, dropout)


def step(model, inputs, masks=MASKS, longer=0):
    """Loss, input gradients and parameter gradients, with so many more words of padding in both texts."""
    fill = lambda x: np.concatenate([x, np.full((N, longer, D), 7.0)], axis=1)  # noqa: E731
    masks = [to_device(np.pad(mask, ((0, 0), (0, longer)))) for mask in masks]
    loss, truth = SpanLoss(), to_device(TRUTH)
    for parameter in model.parameters():
        parameter.grad.fill(0)
    random.seed(3)
    scores = model.forward(*(to_device(fill(x)) for x in inputs), context_mask=masks[0], question_mask=masks[1])
    value = loss.loss(scores, truth, masks[0])
    grads = model.backward(loss.gradient(scores, truth, masks[0]))
    grads = [to_host(grad)[:, : x.shape[1]] for grad, x in zip(grads, inputs, strict=True)]
    return value, grads, [to_host(grad).copy() for grad in model.grads()]


@pytest.mark.parametrize("num_modelling", [1, 2, 3])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_derivative_along_a_direction(num_modelling, dropout, device):
    with precision("float64"):
        model, inputs, draw = made(num_modelling, dropout), texts(), np.random.default_rng(5)
        _, input_grads, grads = step(model, inputs)
        ways = [draw.normal(size=grad.shape) for grad in grads]
        input_ways = [draw.normal(size=x.shape) for x in inputs]
        expected = sum((a * b).sum() for a, b in zip([*grads, *input_grads], [*ways, *input_ways], strict=True))
        start, found = [to_host(p).copy() for p in model.params()], []
        for size in (1e-5, -1e-5):
            for p, value, way in zip(model.params(), start, ways, strict=True):
                p[...] = to_device(value + size * way)
            found.append(step(model, [x + size * way for x, way in zip(inputs, input_ways, strict=True)])[0])
        assert (found[0] - found[1]) / 2e-5 == pytest.approx(expected, rel=1e-6)
        assert all(grad.any() for grad in grads)  # every parameter has a part in it


def test_padding_changes_nothing(device):
    with precision("float64"):
        model = made()
        (a, inputs_a, grads_a), (b, inputs_b, grads_b) = step(model, texts()), step(model, texts(), longer=3)
        assert a == pytest.approx(b, rel=1e-12)
        for x, y in zip([*inputs_a, *grads_a], [*inputs_b, *grads_b], strict=True):
            assert relative_error(x, y) < 1e-9


def test_threads_change_nothing():
    with precision("float64"):
        model = made()
        a, b = step(model, texts()), step(InThreads(model, 2), texts())
        assert a[0] == pytest.approx(b[0], rel=1e-12)
        for x, y in zip([*a[1], *a[2]], [*b[1], *b[2]], strict=True):
            assert relative_error(x, y) < 1e-9


def test_it_learns_where_answers_are():
    """Each answer is the run of words that are marked, which the question does not say."""
    random.seed(0)
    draw, model, optimizer, loss = np.random.default_rng(0), Bidaf(D, 8, 1, 0.0), Adam(0.02), SpanLoss()
    context, question = draw.normal(size=(12, 6, D)), draw.normal(size=(12, 2, D))
    begins = draw.integers(0, 5, 12)
    truth = np.stack([begins, begins + 1], axis=1)
    for n, begin in enumerate(begins):
        context[n, begin : begin + 2, 0] = 4
    given = to_device(context), to_device(question)
    for _ in range(60):
        scores = model.forward(*given)
        model.backward(loss.gradient(scores, to_device(truth)))
        optimizer.step(model)
    scores = model.forward(*given)
    assert loss.loss(scores, to_device(truth)) < 0.1
    assert np.array_equal(to_host(scores).argmax(axis=2), truth)
