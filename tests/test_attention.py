"""The attention of two texts, and the loss of spans: what the contract's tests do not say."""

import numpy as np
import pytest

from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Highway
from scratch.gradient_check import relative_error
from scratch.losses import SpanLoss

rng = np.random.default_rng(6)
N, T, J, D = 2, 4, 3, 5


def texts(T=T, J=J):
    return rng.normal(size=(N, T, D)), rng.normal(size=(N, J, D))


def test_it_is_the_papers_equations(device):
    with precision("float64"):
        layer, (h, u) = BidirectionalAttention(D), texts()
        w, found = to_host(layer.w.data), to_host(layer.forward(to_device(h), to_device(u)))
        for n in range(N):
            s = np.array([[w[0] @ h[n, t] + w[1] @ u[n, j] + w[2] @ (h[n, t] * u[n, j]) for j in range(J)]
                          for t in range(T)])
            a = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
            b = np.exp(s.max(axis=1)) / np.exp(s.max(axis=1)).sum()
            seen, sought = a @ u[n], b @ h[n]
            expected = np.concatenate([h[n], seen, h[n] * seen, h[n] * sought], axis=1)
            assert relative_error(found[n], expected) < 1e-12


def test_dot_attention_is_a_mean_of_the_question(device):
    with precision("float64"):
        h, u = texts()
        found = to_host(DotAttention(D).forward(to_device(h), to_device(u)))
        for n in range(N):
            a = np.exp(h[n] @ u[n].T)
            seen = a / a.sum(axis=1, keepdims=True) @ u[n]
            assert relative_error(found[n], np.concatenate([h[n], seen], axis=1)) < 1e-12


@pytest.mark.parametrize("kind", [BidirectionalAttention, DotAttention])
def test_padding_changes_no_output_and_no_gradient(kind, device):
    with precision("float64"):
        layer, (h, u) = kind(D), texts()
        masks = np.array([[True] * T, [True, True, False, False]]), np.array([[True, True, False], [True] * J])
        gradient = rng.normal(size=(N, T, layer.output_dim))
        results = []
        for more in (0, 3):
            fill = lambda x, m=more: np.concatenate([x, np.full((N, m, *x.shape[2:]), 9.0)], axis=1)  # noqa: E731
            longer = [np.pad(mask, ((0, 0), (0, more))) for mask in masks]
            layer.zero_grads()
            output = layer.forward(*(to_device(x) for x in (fill(h), fill(u), *longer)))
            grads = layer.backward(to_device(fill(gradient)))
            assert not to_host(output)[~longer[0]].any()
            for grad, mask in zip(grads, longer, strict=True):
                assert not to_host(grad)[~mask].any()
            results.append([to_host(output)[:, :T], to_host(grads[0])[:, :T], to_host(grads[1])[:, :J],
                            *(to_host(grad).copy() for grad in layer.grads())])
        for a, b in zip(*results, strict=True):
            assert relative_error(a, b) < 1e-12


def test_texts_that_do_not_go_together_are_refused():
    layer, (h, u) = BidirectionalAttention(D), texts()
    for context, question in ((h, u[:1]), (h[:, :, :3], u), (h[0], u)):
        with pytest.raises(ScratchError, match="two texts"):
            layer.forward(to_device(context), to_device(question))


def test_a_highway_with_closed_gates_lets_everything_through():
    layer, x = Highway(D), rng.normal(size=(3, D)).astype(np.float32)
    layer.b.data[1] = -50
    assert np.allclose(to_host(layer.forward(to_device(x))), x)
    layer.b.data[1] = 50
    assert (to_host(layer.forward(to_device(x))) >= 0).all()  # a relu's


# Spans ----------------------------------------------------------------------------------------------------------


def test_the_loss_of_spans(device):
    with precision("float64"):
        loss, scores, truth = SpanLoss(), rng.normal(size=(N, 2, T)), np.array([[0, 1], [1, 1]])
        mask = np.array([[True] * T, [True, True, False, False]])
        e = np.where(mask[:, None], np.exp(scores), 0)
        p = e / e.sum(axis=2, keepdims=True)
        expected = -np.mean([np.log(p[n, 0, b]) + np.log(p[n, 1, e]) for n, (b, e) in enumerate(truth)])
        given = to_device(scores), to_device(truth), to_device(mask)
        assert loss.loss(*given) == pytest.approx(expected)
        gradient = to_host(loss.gradient(*given))
        assert not gradient.transpose(0, 2, 1)[~mask].any()
        for k in np.ndindex(scores.shape):
            moved = []
            for step in (1e-6, -1e-6):
                other = scores.copy()
                other[k] += step
                moved.append(loss.loss(to_device(other), *given[1:]))
            assert gradient[k] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-8)
        longer = np.concatenate([scores, np.full((N, 2, 2), 1e6)], axis=2)
        more = to_device(np.pad(mask, ((0, 0), (0, 2))))
        assert loss.loss(to_device(longer), given[1], more) == pytest.approx(expected)


def test_a_span_that_cannot_be_is_refused():
    loss, scores, mask = SpanLoss(), to_device(np.zeros((1, 2, 3))), to_device(np.array([[True, True, False]]))
    for truth, words in (([[0, 3]], "ids from 0 to 2"), ([0, 1], "begins and ends"), ([[1, 2]], "real")):
        with pytest.raises(ScratchError, match=words):
            loss.loss(scores, to_device(np.array(truth)), mask)
    with pytest.raises(ScratchError, match=r"scores \(N, 2, T\)"):
        loss.gradient(to_device(np.zeros((2, 3))), to_device(np.array([[0, 1]])))
