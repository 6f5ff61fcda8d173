"""BiDAF: its layers and its loss, the whole network's gradient, padding; SQuAD's files, spans and scores."""

import random

import numpy as np
import pytest
from bidaf.examples import best_spans
from bidaf.highway import Highway
from bidaf.losses import SpanLoss
from bidaf.network import Bidaf, Reader
from bidaf.words import Lexicon, WordVectors, alphabet_of
from conftest import ON_THREADS

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.gradient_check import gradient_errors, numerical_gradient, relative_error
from scratch.optimizers import Adam

N, T, J, D, H = 3, 5, 4, 3, 2
MASKS = np.arange(T) < np.array([[5], [2], [4]]), np.arange(J) < np.array([[1], [4], [3]])
TRUTH = np.array([[1, 3], [0, 0], [2, 3]])


# Highway (the contract's tests run on it too, by way of cases.py) and SpanLoss ------------------------------------


@pytest.mark.parametrize("shape", [(D,), (1, D), (N, D), (N, T, D), (0, D)])
def test_the_gradient_of_a_highway(shape, device):
    with precision("float64"):
        layer, draw = Highway(D), np.random.default_rng(4)
        layer.b.data[...] = to_device(draw.normal(size=(2, D)))
        errors = gradient_errors(layer, to_device(draw.normal(size=shape)))
        assert set(errors) == {"input 0", "w", "b"} and all(error < 1e-7 for error in errors.values())


def test_a_highway_is_its_equation():
    layer, x = Highway(D), np.random.default_rng(4).normal(size=(N, D)).astype(np.float32)
    (w, v), (b, c) = to_host(layer.w.data), to_host(layer.b.data)
    assert (b == 0).all() and (c == -1).all()
    gate = 1 / (1 + np.exp(-(x @ v.T + c)))
    expected = gate * np.maximum(x @ w.T + b, 0) + (1 - gate) * x
    assert np.allclose(to_host(layer.forward(to_device(x))), expected, atol=1e-6)
    with pytest.raises(ScratchError, match=f"{D}"):
        layer.forward(to_device(x[:, 1:]))


def test_a_highway_with_closed_gates_lets_everything_through():
    layer, x = Highway(D), np.random.default_rng(4).normal(size=(3, D)).astype(np.float32)
    layer.b.data[1] = -50
    assert np.allclose(to_host(layer.forward(to_device(x))), x)
    layer.b.data[1] = 50
    assert (to_host(layer.forward(to_device(x))) >= 0).all()  # a relu's


def test_the_loss_of_spans(device):
    with precision("float64"):
        draw = np.random.default_rng(6)
        loss, scores = SpanLoss(), draw.normal(size=(N, 2, T))
        mask, truth = MASKS[0], TRUTH
        e = np.where(mask[:, None], np.exp(scores), 0)
        p = e / e.sum(axis=2, keepdims=True)
        expected = -np.mean([np.log(p[n, 0, b]) + np.log(p[n, 1, e]) for n, (b, e) in enumerate(truth)])
        given = to_device(truth), to_device(mask)
        assert loss.loss(to_device(scores), *given) == pytest.approx(expected, rel=1e-12)
        assert type(loss.loss(to_device(scores), *given)) is float
        predicted = to_device(scores)
        gradient = loss.gradient(predicted, *given)
        assert not to_host(gradient).transpose(0, 2, 1)[~mask].any()
        numerical = numerical_gradient(lambda: loss.loss(predicted, *given), predicted)
        assert relative_error(gradient, numerical) < 1e-8
        for padding in (1e6, np.inf, np.nan):  # padding may hold anything
            longer = to_device(np.concatenate([scores, np.full((N, 2, 2), padding)], axis=2))
            more = given[0], to_device(np.pad(mask, ((0, 0), (0, 2))))
            assert loss.loss(longer, *more) == pytest.approx(expected, rel=1e-12)
            assert relative_error(loss.gradient(longer, *more)[:, :, :T], gradient) < 1e-12
            assert not to_host(loss.gradient(longer, *more))[:, :, T:].any()
        whole = to_device(scores[:1]), to_device(truth[:1])
        numerical = numerical_gradient(lambda: loss.loss(*whole), whole[0])  # without a mask, of a batch of one
        assert relative_error(loss.gradient(*whole), numerical) < 1e-8
    assert loss.gradient(to_device(scores.astype(np.float32)), *given).dtype == np.float32


def test_a_uniform_guess_costs_the_logarithm_of_the_length_twice():
    scores, truth = to_device(np.zeros((2, 2, 100))), to_device(np.array([[0, 99], [5, 5]]))
    assert SpanLoss().loss(scores, truth) == pytest.approx(2 * np.log(100), rel=1e-6)


def test_a_span_that_cannot_be_is_refused():
    loss, scores, mask = SpanLoss(), to_device(np.zeros((1, 2, 3))), to_device(np.array([[True, True, False]]))
    for truth, words in (([[0, 3]], "ids from 0 to 2"), ([0, 1], "starts and ends"), ([[1, 2]], "real")):
        for compute in (loss.loss, loss.gradient):
            with pytest.raises(ScratchError, match=words):
                compute(scores, to_device(np.array(truth)), mask)
    with pytest.raises(ScratchError, match=r"scores \(N, 2, T\)"):
        loss.gradient(to_device(np.zeros((2, 3))), to_device(np.array([[0, 1]])))
    with pytest.raises(ScratchError, match="mask"):
        loss.loss(scores, to_device(np.array([[0, 1]])), mask[:, :2])


# The network ----------------------------------------------------------------------------------------------------


def texts():
    draw = np.random.default_rng(1)
    return draw.normal(size=(N, T, D)), draw.normal(size=(N, J, D))


def made(num_modelling=2, dropout=0.0, attention="bidaf"):
    random.seed(2)
    return Bidaf(D, H, num_modelling, dropout, attention)


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


@pytest.mark.parametrize(("attention", "num_modelling"),
                         [("dot", 0), ("dot", 1), ("bidaf", 0), ("bidaf", 1), ("bidaf", 2), ("bidaf", 3)])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_derivative_along_a_direction(attention, num_modelling, dropout, device):
    with precision("float64"):
        model, inputs, draw = made(num_modelling, dropout, attention), texts(), np.random.default_rng(5)
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


@pytest.mark.parametrize(("attention", "num_modelling"), [("dot", 0), ("bidaf", 2)])
def test_padding_changes_nothing(attention, num_modelling, device):
    with precision("float64"):
        model = made(num_modelling, attention=attention)
        (a, inputs_a, grads_a), (b, inputs_b, grads_b) = step(model, texts()), step(model, texts(), longer=3)
        assert a == pytest.approx(b, rel=1e-12)
        for x, y in zip([*inputs_a, *grads_a], [*inputs_b, *grads_b], strict=True):
            assert relative_error(x, y) < 1e-9


@ON_THREADS
def test_the_engine_and_threads_change_nothing():
    with precision("float64"):
        model = made(dropout=0.3)
        a = step(model, texts())
        for threads in (1, 2):
            b = step(fast(model, threads=threads), texts())
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


# Words and answers ----------------------------------------------------------------------------------------------


def lexicon():
    words = ["the", "The", "cat", "naïve", "xyz", "don\u2019t"]
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    return Lexicon(words, ["the", "cat", "don't"], vectors, alphabet_of(["the", "cat", "eat", "the"], 6), length=4)


def test_a_lexicon():
    found = lexicon()
    assert found.words[0] == "" and found.encode(["cat", "dog", "The"]) == [3, 0, 2]
    assert np.array_equal(found.vectors[1], found.vectors[2]) and found.vectors[6].any()
    assert not found.vectors[[0, 4]].any()
    assert found.alphabet == "\ufffdteahc" and found.has_vector.sum() == 4
    assert found.spelling[3].tolist() == [6, 4, 2, 0] and found.spelling[4].tolist() == [1, 4, 1, 1]  # cut
    assert not found.spelling[0].any()


@pytest.mark.parametrize("num_features", [0, 5])
def test_the_gradient_of_spelling(num_features, device):
    with precision("float64"):
        layer, ids = WordVectors(lexicon(), num_features, 3), to_device(np.array([[3, 4, 0], [1, 3, 3]]))
        assert layer.forward(ids).shape == (2, 3, 4 + num_features)
        errors = gradient_errors(layer, ids)
        assert len(errors) == (3 if num_features else 0) and all(error < 1e-7 for error in errors.values())


@ON_THREADS
def test_the_engine_and_threads_change_nothing_from_the_words_on():
    """The spelling of a word that stands in the rows of two threads gets the gradients of both."""
    draw = np.random.default_rng(3)
    given = [to_device(draw.integers(0, 7, size=shape)) for shape in ((N, T), (N, J))]
    masks, truth, loss = [to_device(mask) for mask in MASKS], to_device(TRUTH), SpanLoss()
    with precision("float64"):
        reader, found = Reader(WordVectors(lexicon(), 5, 3), H, 1, 0.3), []
        for model in (reader, fast(reader, threads=1), fast(reader, threads=2)):
            model.zero_grads()
            random.seed(3)
            scores = model.forward(*given, context_mask=masks[0], asked_mask=masks[1])
            model.backward(loss.gradient(scores, truth, masks[0]))
            found.append([scores, *(to_host(grad).copy() for grad in model.grads())])
        for a, b in zip(found[0] * 2, found[1] + found[2], strict=True):
            assert relative_error(b, a) < 1e-9


def test_a_word_is_spelt_alike_wherever_it_stands():
    layer = WordVectors(lexicon(), 5, 3)
    output = to_host(layer.forward(np.array([[3, 4, 0], [1, 3, 3]])))
    assert np.array_equal(output[0, 0], output[1, 1]) and not output[0, 2].any()
    with pytest.raises(ScratchError, match="ids from 0 to 6"):
        layer.forward(np.array([[7]]))


def test_the_best_span_ends_where_it_begins_or_after():
    begin, end = np.log([0.1, 0.2, 0.7]), np.log([0.6, 0.3, 0.1])
    (plain,) = best_spans(begin, end, spans="each")
    assert (plain.begin, plain.end) == (2, 0)
    best = best_spans(begin, end, count=3)
    assert [(guess.begin, guess.end) for guess in best] == [(2, 2), (0, 0), (1, 1)]
    assert best[0].probability == pytest.approx(0.07)
    far = np.full(40, -50.0)
    far[0], other = 0.0, np.full(40, -50.0)
    other[30], other[5] = 0.0, -1.0
    assert best_spans(far, other)[0][:2] == (0, 5)  # of at most 20 words
    assert len(best_spans(np.zeros(1), np.zeros(1), count=3)) == 1
