"""Layers, losses and optimizers as *Data Science from Scratch* writes them, in any combination with ours."""

import random

import numpy as np
import pytest
from cases import EACH_WAY, on_one_thread, plain
from conftest import ON_A_DEVICE, ON_THREADS
from listing import LISTING, xor

from scratch import deep_learning
from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.fast import fast
from scratch.layer import Layer, Parameter, Sequential, evaluating
from scratch.losses import SSE
from scratch.optimizers import Adam, GradientDescent
from scratch.recurrent import LSTM
from scratch.tools.checkpoint import load_checkpoint, save_checkpoint
from scratch.tools.weights import load_weights, save_weights

ON_THE_HOST = pytest.mark.skipif(ON_A_DEVICE, reason="the book computes number by number, in Python")


class Scale(Layer):
    """A layer of arrays, as a reader writes it; `style` is how it hands over its gradients."""

    def __init__(self, dim, style="new"):
        self.w, self.style = deep_learning.random_tensor(dim), style
        if style == "sum":
            self.w_grad = deep_learning.zeros_like(self.w)

    def forward(self, input):
        self.input = input
        return self.w * input

    def backward(self, gradient):
        found = (gradient * self.input).reshape(-1, len(self.w)).sum(axis=0)
        if self.style == "sum":
            self.w_grad += found
        else:
            self.w_grad = to_host(found).tolist() if self.style == "list" else found
        return gradient * self.w

    def params(self):
        return [self.w]

    def grads(self):
        return [self.w_grad]


def book(seed=0):
    random.seed(seed)
    scope = {}
    exec(LISTING, scope)
    return scope


@ON_THE_HOST
@pytest.mark.parametrize("container", ["the book's", "ours"])
@pytest.mark.parametrize("optimizer", ["the book's", "ours"])
def test_the_listings_learn_in_any_combination(container, optimizer):
    """Each part of the listing with each of ours: the same losses to rounding, so both learn the same."""
    losses = []
    for own in (False, True):
        scope = book()
        layers = [scope["Linear"](2, 2), scope["Sigmoid"](), scope["Linear"](2, 1)]
        if own:
            weights = [to_host(array).copy() for layer in layers[::2] for array in layer.params()]
            layers = [Linear(2, 2), deep_learning.Sigmoid(), Linear(2, 1)]
            for array, value in zip(Sequential(layers).params(), weights, strict=True):
                array[...] = to_device(value)
        net = (Sequential if own or container == "ours" else scope["Sequential"])(layers)
        steps = (GradientDescent if own or optimizer == "ours" else scope["GradientDescent"])(learning_rate=0.1)
        losses.append(xor(net, steps, SSE() if own else scope["SSE"](), 60))
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@ON_THE_HOST
def test_every_parameter_of_a_mixed_network_moves_and_is_saved(tmp_path):
    scope = book()

    def make():
        return Sequential([
            LSTM(2, 3), scope["Linear"](3, 3), scope["Dropout"](0.1), scope["Sequential"]([Linear(3, 2), Scale(2)]),
        ])

    net, optimizer = make(), scope["Momentum"](learning_rate=0.1)
    names = list(net.named_parameters())
    assert names[-3:] == ["layers.3.layers.0.w", "layers.3.layers.0.b", "layers.3.layers.1.w"]
    assert len(names) == 8
    before = [to_host(p.data).copy() for p in net.parameters()]
    for _ in range(3):
        predicted = net.forward([0.5, -1.0])
        net.backward(2 * (predicted - to_device([1.0, -1.0])))
        optimizer.step(net)
    after = [to_host(p.data) for p in net.parameters()]
    moved = {name: np.any(new != old) for name, new, old in zip(names, after, before, strict=True)}
    assert all(moved[name] for name in names if name != "layers.0.u")  # of an LSTM whose first state is zero
    with evaluating(net):
        net.layers[0].reset_hidden_state()
        expected = to_host(net.forward([0.5, -1.0]))
    save_weights(net, tmp_path / "net.npz", {"program": "test"})
    save_weights(net, tmp_path / "net.json")
    for name in ("net.npz", "net.json"):
        again = make()
        load_weights(again, tmp_path / name)
        with evaluating(again):
            assert np.allclose(to_host(again.forward([0.5, -1.0])), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "how", [plain, on_one_thread, pytest.param(lambda thing: fast(thing, threads=2), marks=ON_THREADS)],
    ids=["plain", "fast", "two threads"],
)
@pytest.mark.parametrize("style", ["new", "list", "sum"])
def test_arrays_train_as_parameters_do(how, style, tmp_path):
    """A layer of arrays trains, plain or fast, with resumption, to the same numbers as one of Parameters."""

    class Own(Layer):
        def __init__(self, dim):
            self.w = Parameter(deep_learning.random_tensor(dim))

        def forward(self, input):
            self.remember(input.shape, input)
            return input * self.w.data

        def backward(self, gradient):
            (input,) = self.recall(gradient)
            self.w.grad += (gradient * input).sum(axis=0)
            return gradient * self.w.data

    def make():
        return how(Sequential([Scale(3, style) if kind == "arrays" else Own(3), Linear(3, 2)])), how(Adam(0.1))

    x, y = to_device(np.random.default_rng(0).normal(size=(16, 3))), to_device(np.ones((16, 2)))
    losses = {}
    for kind in ("arrays", "parameters"):
        random.seed(4)
        model, optimizer = make()
        losses[kind] = []
        for step in range(6):
            predicted = model.forward(x)
            losses[kind].append(SSE().loss(predicted, y))
            model.backward(SSE().gradient(predicted, y))
            optimizer.step(model)
            if step == 2:
                save_checkpoint(tmp_path / "run.npz", model, optimizer, {}, {})
                random.seed(9)
                model, optimizer = make()
                load_checkpoint(tmp_path / "run.npz", model, optimizer, {})
    assert losses["arrays"] == pytest.approx(losses["parameters"], rel=1e-5)
    assert losses["arrays"][-1] < losses["arrays"][0]


def test_a_sibling_shares_arrays():
    layer = Scale(3)
    twin = layer.sibling()
    layer.parameters()[0].data += 1
    assert np.array_equal(to_host(twin.w), to_host(layer.w))
    layer.w = layer.w * 2  # another array
    assert layer.parameters()[0] is twin.parameters()[0]
    assert np.array_equal(to_host(twin.w), to_host(layer.w))


def test_arrays_that_cannot_be_found_are_refused():
    class Hidden(Scale):
        def params(self):
            return [self.w * 1]

    class NoGrads(Layer):
        def __init__(self):
            self.w = to_device([1.0])

        def params(self):
            return [self.w]

    with pytest.raises(ScratchError, match="to be one attribute"):
        Sequential([Hidden(3)]).parameters()
    with pytest.raises(ScratchError, match=r"both params\(\) and grads\(\)"):
        Sequential([NoGrads()]).parameters()


@ON_THE_HOST
def test_the_mode_reaches_layers_of_the_listing():
    scope = book()
    net = Sequential([scope["Linear"](2, 2), scope["Dropout"](0.5), scope["Sequential"]([scope["Dropout"](0.5)])])
    net.train = False
    assert not net.layers[1].train and not net.layers[2].layers[0].train
    net.train = True
    with evaluating(net):
        assert not net.layers[1].train
        assert np.array_equal(to_host(net.forward([1.0, 2.0])), to_host(net.forward([1.0, 2.0])))
    assert net.layers[1].train


@EACH_WAY
def test_a_mode_that_a_class_sets_is_a_default(how):
    class Own(Layer):
        train = True

        def forward(self, input):
            self.remember(input.shape)
            return input if self.train else 0 * input

    model = how(Sequential([Own(), Own()]))
    ones = to_device([[1.0]])
    assert float(model.forward(ones)[0, 0]) == 1
    with evaluating(model):
        assert float(model.forward(ones)[0, 0]) == 0
    model.train = False
    assert not model.layers[1].train and float(model.forward(ones)[0, 0]) == 0


@EACH_WAY
def test_parameters_in_any_container_are_found(how):
    class Model(Layer):
        def __init__(self):
            self.pair = (Linear(2, 2), [Parameter(to_device([1.0])), {"x": (Linear(2, 2),)}])

    names = list(how(Model()).named_parameters())
    assert names == ["pair.0.w", "pair.0.b", "pair.1.0", "pair.1.1.x.0.w", "pair.1.1.x.0.b"]
