"""The engine is the book, continued: fast optimizers and losses compared with the plain ones, over steps in a row."""

import copy
import random

import numpy as np
import pytest
from fast_cases import CONFIGS, PAST, TOLERANCE, P, V, floats, ids, ragged
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fast import errors, faster, said

import scratch as book
from scratch.backend import float_type, precision, to_device, to_host, xp
from scratch.fast import TWINS, fast
from scratch.gradient_check import relative_error
from scratch.layer import Sequential, evaluating


def in_words(make, **options):
    return pytest.param(lambda: make(**options), id=f"{make.__name__} {options}")


OPTIMIZERS = [
    in_words(book.GradientDescent, learning_rate=0.1), in_words(book.GradientDescent, weight_decay=0.3, clip_norm=0.2),
    in_words(book.Momentum, learning_rate=0.1), in_words(book.RMSProp, decay=0.8, clip_norm=1.0),
    in_words(book.Momentum, learning_rate=0.1, momentum=0.8, nesterov=True, weight_decay=0.1, clip_norm=100.0),
    in_words(book.Adam, beta1=0.8), in_words(book.AdamW, weight_decay=0.2, clip_norm=0.5, epsilon=1e-3),
    in_words(book.Lookahead, inner=book.Momentum(0.1, nesterov=True, weight_decay=0.1, clip_norm=0.3), every=2),
    in_words(book.MovingAverage, inner=book.AdamW(clip_norm=0.5), decay=0.5),
    in_words(book.MovingAverage, inner=book.RMSProp()),
]


def training_step(model, optimizer, seed):
    draw = np.random.default_rng(seed)
    x, truth = to_device(draw.integers(0, V, (6, 4))), to_device(draw.integers(0, 3, (6, 4)))
    loss = fast(book.SoftmaxCrossEntropy())
    random.seed(seed)
    model.backward(loss.gradient(model.forward(x), truth))
    optimizer.step(model)


def learned(model, optimizer):
    """By name: values, and the optimizer's state."""
    state = optimizer.state_dict(model)
    arrays = {name: to_host(p.data).copy() for name, p in model.named_parameters().items()} | state.pop("arrays")
    if hasattr(optimizer, "averaged"):
        with optimizer.averaged(model), evaluating(model):
            arrays["averaged"] = to_host(model.forward(to_device(np.arange(V)[None]))).copy()
    assert not any(to_host(grad).any() for grad in model.grads())
    return arrays, state


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_steps_of_a_fast_optimizer_are_the_plain_ones(make, threads):
    with precision("float64"):
        layers = [book.Embedding(V, 4), book.LSTM(4, 5), book.BatchNorm(5), book.Dropout(P), book.Linear(5, 3)]
        plain = Sequential(layers)
        plain.layers[4].b.fixed = True
        plain.layers[0].w.data *= 0.3
        other = faster(copy.deepcopy(plain), threads)
        both = [(plain, make()), (other, fast(make()))]

        def same(what):
            (arrays, state), (found, fast_state) = (learned(*pair) for pair in both)
            assert state == fast_state, what
            assert max(errors(arrays, found).values()) < 1e-9, what

        for k in range(2):
            for pair in both:
                training_step(*pair, k)
        same("two steps in a row")
        # One half goes on alone, so that the Parameters have made different numbers of steps.
        for model, optimizer in both:
            optimizer.lr *= 0.5
            model.layers[4].w.grad += 0.1
            optimizer.step(model.layers[4])
            training_step(model, optimizer, 3)
        same("a step of one part")
        for freeze in (True, False):
            for model, optimizer in both:
                model.layers[1].u.fixed = freeze
                training_step(model, optimizer, 4)
            same("a layer frozen" if freeze else "and no more")
        # Each goes on from the other's state.
        states = [optimizer.state_dict(model) for model, optimizer in both]
        both = [(plain, make()), (other, fast(make()))]
        for k, (model, optimizer) in enumerate(both):
            optimizer.load_state(model, states[1 - k])
        for k in (5, 6):
            for pair in both:
                training_step(*pair, k)
        same("from the other's state")


def test_a_copy_of_a_fast_optimizer_steps_the_copy_of_its_model():
    both = [(Sequential([book.Embedding(V, 3)]), book.Adam(0.1))]
    both.append((fast(both[0][0], 1), fast(both[0][1])))
    for pair in both:
        training_step(*pair, 1)
    model, optimizer = copy.deepcopy(both[1])
    training_step(model, optimizer, 2)
    training_step(*both[1], 2)
    assert np.array_equal(to_host(model.params()[0]), to_host(both[1][0].params()[0]))
    for twin in ((model, optimizer), both[1]):
        assert set(twin[1].state_dict(twin[0])["steps"].values()) == {2}
    assert set(both[0][1].steps.values()) == {1}  # the plain one is left as it was


LOSSES = st.sampled_from([
    (book.SSE(), "values"), (book.MSE(), "values"), (book.NegativeLogLikelihood(), "ids"),
    (book.NegativeLogLikelihood(), "rows"), (book.NegativeLogLikelihood([0.5, 0, 2, 1, 3]), "ids"),
    (book.SoftmaxCrossEntropy(), "ids"), (book.SoftmaxCrossEntropy(), "rows"),
    (book.SoftmaxCrossEntropy([0.5, 0, 2, 1, 3]), "ids"), (book.SoftmaxCrossEntropy(label_smoothing=0.2), "ids"),
    (book.SoftmaxCrossEntropy(label_smoothing=0.2), "rows"),
])


@settings(max_examples=200)
@given(LOSSES, CONFIGS)
def test_a_fast_loss_is_the_plain_one(loss, c):
    (loss, kind), T = loss, 3 if c.T is PAST else c.T
    with precision(c.dtype):
        rows = () if c.stateful and not c.masked else (c.N, T)
        predicted, mask = floats(*rows, 5) * 9, ragged(c, T).get("mask")
        if c.ids and mask is not None and type(loss) is book.NegativeLogLikelihood:
            predicted = xp.where(mask[..., None], predicted, -xp.inf)  # padding may hold anything
        actual = floats(*rows, 5) if kind == "values" else ids(*rows) % 5 if kind == "ids" else abs(floats(*rows, 5))
        if kind == "ids" and not rows and c.sequences:
            actual = int(actual)
        twin, limit = fast(loss), 3 * TOLERANCE[c.dtype]  # a mean is a sum in another order; 1.2e-5 was seen
        expected, found = loss.loss(predicted, actual, mask), twin.loss(predicted, actual, mask)
        assert found == pytest.approx(expected, rel=limit, abs=limit)
        expected, found = loss.gradient(predicted, actual, mask), twin.gradient(predicted, actual, mask)
        assert expected.dtype == found.dtype == float_type()
        assert relative_error(found, expected) < limit


def test_fast_losses_refuse_what_the_plain_ones_refuse():
    scores, mask = floats(2, 3, 5), to_device(np.ones((2, 2), dtype=bool))
    wrong = [(scores, actual) for actual in (ids(2, 2), floats(2, 3), ids(2, 3) + 5, ids(2, 3) - V, floats(2, 3, 4))]
    wrong += [(scores, ids(2, 3) % 5, mask), (scores[0, 0], 5), (scores[0, 0], -1)]
    for loss in (book.NegativeLogLikelihood(), book.SoftmaxCrossEntropy(), book.SoftmaxCrossEntropy([1.0, 2.0])):
        for method in ("loss", "gradient"):
            found = [[said(getattr(one, method), *given) for given in wrong] for one in (loss, fast(loss))]
            assert found[0] == found[1] and all(found[0])


def test_every_other_twin_is_here():
    optimizers = {type(param.values[0]()) for param in OPTIMIZERS}
    layers = {kind for kind in TWINS if issubclass(kind, book.Layer)}
    assert set(TWINS) - layers == optimizers | {book.NegativeLogLikelihood, book.SoftmaxCrossEntropy}
