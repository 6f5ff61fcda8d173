"""The contract that every layer keeps, tested on every layer, plain and fast."""

import copy

import numpy as np
import pytest
from cases import EACH_WAY, N, each_case, on_one_thread

from scratch.activations import Tanh
from scratch.backend import precision, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.convolution import Conv1d
from scratch.dense import Embedding, Linear
from scratch.functions import one_hot
from scratch.gradient_check import gradient_errors, relative_error
from scratch.layer import Layer, Parameter, Sequential, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import GradientDescent
from scratch.recurrent import LSTM
from scratch.regular import BatchNorm


def run(case, layer, input, weights=None):
    """One forward and backward: output, input gradient and parameter gradients, on the host."""
    output = case.forward(layer, input)
    if weights is None:
        weights = np.random.default_rng(9).normal(size=output.shape)
    layer.zero_grads()
    gradient = layer.backward(to_device(weights))
    arrays = [output, gradient, *layer.grads()]
    return [None if array is None else to_host(array).copy() for array in arrays]


def same(found, expected, tolerance=0.0):
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert relative_error(a, b) <= tolerance


@each_case()
def test_gradients_are_what_central_differences_say(case, device):
    with precision("float64"):
        layer = case.make()
        before = lambda: case.before(layer)  # noqa: E731
        errors = gradient_errors(layer, case.inputs(), before=before, **case.options())
        assert errors or not layer.parameters()
        for name, error in errors.items():
            assert error < 1e-7, name


@each_case()
def test_the_fast_layer_computes_the_same(case, device):
    if case.name == "Dropout" and xp.device != "cpu":
        pytest.skip("a device draws its own numbers")
    with precision("float64"):
        layer = case.make()
        same(run(case, on_one_thread(layer), case.inputs()), run(case, layer, case.inputs()), 1e-10)


@EACH_WAY
@each_case()
def test_two_training_steps(case, how, device):
    with precision("float64"):
        layer, optimizer = how(case.make()), how(GradientDescent(0.1))
        input = case.inputs()
        run(case, layer, input)
        if layer.parameters():
            optimizer.step(layer)
        assert all(not to_host(grad).any() for grad in layer.grads())
        fresh = copy.deepcopy(layer)
        same(run(case, layer, input), run(case, fresh, input), 1e-12)


@EACH_WAY
@each_case(batch=True)
def test_a_batch_of_one(case, how, device):
    if case.mask is not None:
        pytest.skip("the mask is of the whole batch")
    layer, whole, one = how(case.make()), case.inputs(), case.inputs(N)[:1]
    expected = to_host(case.forward(layer, whole))[:1]
    output, gradient, *_ = run(case, layer, one)
    if case.name != "Dropout":  # its chance depends on the size
        assert relative_error(output, expected) < 1e-6
    assert gradient is None or gradient.shape == one.shape


@EACH_WAY
@each_case()
def test_a_forward_that_is_not_followed_by_a_backward_changes_nothing(case, how):
    layer, input = how(case.make()), case.inputs()
    expected = run(case, layer, input)
    case.forward(layer, case.inputs())
    same(run(case, layer, input), expected)


@EACH_WAY
@each_case()
def test_nothing_given_or_returned_is_written_to(case, how):
    layer, input = how(case.make()), case.inputs()
    output = case.forward(layer, input)
    weights = output + 1
    given_and_returned = [input, output, weights, layer.backward(weights)]
    before = [None if array is None else to_host(array).copy() for array in given_and_returned]
    case.forward(layer, case.inputs())
    layer.backward(weights)
    same(given_and_returned, before)


@EACH_WAY
@each_case()
def test_a_second_backward_is_refused(case, how):
    layer = how(case.make())
    output = case.forward(layer, case.inputs())
    layer.backward(output)
    with pytest.raises(RuntimeError, match=r"sibling\(\)"):
        layer.backward(output)


@EACH_WAY
@each_case()
def test_a_gradient_of_another_shape_is_refused(case, how):
    layer = how(case.make())
    output = case.forward(layer, case.inputs())
    with pytest.raises(ValueError, match="a gradient of its output's shape"):
        layer.backward(output[None])


@EACH_WAY
@each_case()
def test_evaluating_remembers_nothing(case, how):
    layer = how(case.make())
    output = case.forward(layer, case.inputs())
    with evaluating(layer):
        case.forward(layer, case.inputs())
        with pytest.raises(RuntimeError):
            layer.backward(output)
    with pytest.raises(RuntimeError):
        layer.backward(output)
    assert layer.train


@EACH_WAY
@each_case()
def test_float32_stays_float32(case, how, device):
    layer = how(case.make())
    for array in run(case, layer, case.inputs()) + layer.params():
        assert array is None or array.dtype == np.float32


@EACH_WAY
@each_case()
def test_the_stand_in_device_computes_the_same(case, how, device):
    # Compared with the run without a device, which comes first: the cases are the same at every call.
    if case.name == "Dropout":
        pytest.skip("a device draws its own numbers")
    found = run(case, how(case.make()), case.inputs())
    previous = RESULTS.setdefault((case.name, how), found)
    same(found, previous, 1e-6)


RESULTS: dict = {}


@EACH_WAY
@each_case()
def test_a_sibling_shares_parameters_and_nothing_else(case, how):
    with precision("float64"):
        layer, twin = how(case.make()), None
        case.forward(layer, case.inputs())  # leaves a memory that the sibling must not take over
        twin = layer.sibling()
        assert all(a is b for a, b in zip(layer.parameters(), twin.parameters(), strict=True))
        with pytest.raises(RuntimeError):
            twin.backward(case.forward(copy.deepcopy(layer), case.inputs()))
        if case.mask is not None or not case.batch:
            return
        # Two places in one network, against two copies whose gradients are summed by hand.
        first, second = case.inputs(), case.inputs(N + 1)
        copies = [copy.deepcopy(layer), copy.deepcopy(layer)]
        outputs = [case.forward(copied, input) for copied, input in zip(copies, (first, second), strict=True)]
        for copied, output in zip(copies, outputs, strict=True):
            copied.zero_grads()
            copied.backward(output)
        layer.zero_grads()
        a, b = case.forward(layer, first), case.forward(twin, second)
        twin.backward(b)
        layer.backward(a)
        for grad, one, other in zip(layer.grads(), copies[0].grads(), copies[1].grads(), strict=True):
            assert relative_error(grad, one + other) < 1e-12


def test_a_layer_twice_in_a_chain_is_refused_and_its_sibling_is_right():
    with precision("float64"):
        layer, x = Linear(3, 3), to_device(np.random.default_rng(0).normal(size=(2, 3)))
        twice = Sequential([layer, layer])
        output = twice.forward(x)
        with pytest.raises(RuntimeError, match="sibling"):
            twice.backward(output)
        shared = Sequential([layer, layer.sibling()])
        assert len(shared.parameters()) == 2
        assert max(gradient_errors(shared, x).values()) < 1e-7


def test_parameters_come_in_order_with_their_paths():
    class Model(Layer):
        def __init__(self):
            self.encoder = Linear(3, 4)
            self.tower = Sequential([Linear(4, 4), Linear(4, 2)])

    model = Model()
    assert list(model.tower.named_parameters()) == ["layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b"]
    names = ["encoder.w", "encoder.b", "tower.layers.0.w", "tower.layers.0.b", "tower.layers.1.w", "tower.layers.1.b"]
    assert list(model.named_parameters()) == names  # asking a part of the model first changed nothing
    assert list(model.tower.named_parameters()) == ["layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b"]
    assert list(model.named_parameters().values()) == model.parameters()


def test_a_shape_error_names_layer_expectation_and_cause():
    with pytest.raises(ValueError) as caught:
        Linear(64, 10).forward(to_device(np.zeros((32, 50))))
    assert str(caught.value) == "Linear(input_dim=64, output_dim=10): expected input (..., 64), got (32, 50)"


@EACH_WAY
def test_the_vocabulary_is_suspected_only_where_there_may_be_one(how):
    hint, seven = "is this the vocabulary that the model was trained with", to_device([[7]])
    for layer in (Embedding(5, 2), LSTM(5, 2), Conv1d(5, 2, 1)):
        with pytest.raises(ScratchError, match=hint):
            how(layer).forward(seven)
    for wrong in (
        lambda: how(Linear(5, 2)).forward(to_device([[1.0]])), lambda: one_hot(seven, 5),
        lambda: how(SoftmaxCrossEntropy()).loss(to_device(np.zeros((1, 1, 5))), seven),
        lambda: how(BatchNorm(5)).forward(to_device([[1.0]])), lambda: how(LSTM(5, 2)).forward(to_device([1.0])),
    ):
        with pytest.raises(ScratchError) as caught:
            wrong()
        assert hint not in str(caught.value)


def test_a_copy_made_while_evaluating_can_be_trained():
    model = Sequential([Linear(2, 2), Linear(2, 2)])
    with evaluating(model):
        twin = copy.deepcopy(model)
    twin.backward(twin.forward(to_device([[1.0, 2.0]])))


def test_parameters_in_lists_and_dicts_are_found():
    class Model(Layer):
        def __init__(self):
            self.towers = {"left": Linear(2, 2), "right": Linear(2, 2)}
            self.scales = [Parameter(to_device([1.0])), Parameter(to_device([2.0]))]
            self._hidden = Linear(2, 2)

    names = list(Model().named_parameters())
    assert names == ["towers.left.w", "towers.left.b", "towers.right.w", "towers.right.b", "scales.0", "scales.1",
                     "_hidden.w", "_hidden.b"]
    assert list(copy.deepcopy(Model()).named_parameters()) == names


def test_evaluating_puts_back_what_was_set_by_hand():
    model = Sequential([Linear(2, 2), Linear(2, 2)])
    model.layers[0].train = False
    with evaluating(model):
        assert not model.layers[1].train
    assert not model.layers[0].train
    assert model.layers[1].train


@EACH_WAY
def test_the_mode_reaches_every_layer_below(how):
    class Model(Layer):
        def __init__(self):
            self.towers = {"left": Sequential([Linear(2, 2), Tanh()])}
            self.last = [Linear(2, 2)]

    model = how(Model())
    layers = list(model.all_layers())
    assert len(layers) == 5
    for mode in (False, True):
        model.train = mode
        assert [layer.train for layer in layers] == [mode] * 5


@EACH_WAY
def test_a_step_that_finds_no_parameter_is_refused(how):
    for model in (Sequential([Tanh()]), Sequential([])):
        with pytest.raises(ScratchError, match="no Parameter"):
            how(GradientDescent(0.1)).step(how(model))
    model, optimizer = Linear(2, 2), how(GradientDescent(0.1))
    model.w.fixed = model.b.fixed = True
    with pytest.raises(ScratchError, match="no Parameter"):
        optimizer.step(how(model))
