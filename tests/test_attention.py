"""Attention between two texts: what the contract's tests do not cover."""

import numpy as np
import pytest

from scratch.attention import BidirectionalAttention, DotAttention
from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.gradient_check import relative_error

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
