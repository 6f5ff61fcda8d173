"""Layers of plain arrays that a reader extends, changes in place, or gets wrong."""

import numpy as np
import pytest
from cases import EACH_WAY
from test_plain_arrays import Scale

from scratch import deep_learning
from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.layer import Layer
from scratch.optimizers import GradientDescent


def test_a_subclass_may_extend_the_arrays_of_another():
    class Affine(Scale):
        def __init__(self, dim):
            super().__init__(dim)
            self.b = deep_learning.zeros_like(self.w)

        def forward(self, input):
            return super().forward(input) + self.b

        def backward(self, gradient):
            input_grad = super().backward(gradient)
            self.b_grad = gradient.sum(axis=0)
            return input_grad

        def params(self):
            return [*super().params(), self.b]

        def grads(self):
            return [*super().grads(), self.b_grad]

    layer, ones = Affine(3), to_device(np.ones((2, 3)))
    for _ in range(2):
        layer.forward(2 * ones)
        layer.backward(ones)
    assert [to_host(grad).tolist() for grad in layer.grads()] == [[8, 8, 8], [4, 4, 4]]
    assert list(layer.named_parameters()) == ["w", "b"]


def test_a_subclass_may_replace_the_backward_alone():
    class Arrays(Layer):
        def __init__(self):
            self.w = to_device([2.0])

        def params(self):
            return [self.w]

        def grads(self):
            return [self.w_grad]

    class Own(Arrays):
        def forward(self, input):
            return self.w * input

        def backward(self, gradient):
            self.w_grad = gradient
            return gradient

    layer, optimizer = Own(), GradientDescent(0.5)
    layer.backward(layer.forward(to_device([1.0])))
    optimizer.step(layer)
    assert to_host(layer.w).tolist() == [1.0]


@EACH_WAY
def test_arrays_may_be_changed_in_place(how):
    layer, optimizer = Scale(3), how(GradientDescent(0.1))
    layer.parameters()
    layer.w *= 0.5
    layer.w[0] = 1.0
    twin, ones = layer.sibling(), to_device(np.ones((1, 3)))
    for _ in range(3):
        before = to_host(layer.w).copy()
        layer.forward(ones)
        layer.backward(ones)
        optimizer.step(layer)
        assert np.allclose(to_host(layer.w), before - 0.1)
        assert np.array_equal(to_host(twin.w), to_host(layer.parameters()[0].data))
        assert np.array_equal(to_host(twin.w), to_host(layer.w))


def test_a_gradient_of_another_shape_is_refused():
    class Wrong(Scale):
        def backward(self, gradient):
            self.w_grad = (gradient * self.input).sum()
            return gradient

    layer = Wrong(3)
    with pytest.raises(ScratchError, match=r"a gradient with the shape of w, \(3,\), got \(\)"):
        layer.backward(layer.forward(to_device(np.ones((2, 3)))))


def test_a_layer_keeps_its_own_getattr_and_its_mixins():
    seen = []

    class Registry:
        def __init_subclass__(cls, tag="", **options):
            super().__init_subclass__(**options)
            seen.append(tag)

    class Own(Scale, Registry, tag="own"):
        def params(self):
            return super().params()

        def __getattr__(self, name):
            if name == "answer":
                return 42
            raise AttributeError(name)

    layer = Own(3)
    assert layer.answer == 42 and list(layer.named_parameters()) == ["w"] and layer.w.shape == (3,)
    assert seen == ["own"]
    with pytest.raises(AttributeError):
        _ = layer.other
