"""The engine is the book: for every plain layer and its fast twin equal outputs, gradients, states and errors."""

import copy
import random

import numpy as np
import pytest
from conftest import ON_A_DEVICE
from fast_cases import CONFIGS, LAYERS, PAST, TOLERANCE, Config, Leaky, Scaled, V, case, floats, ids
from hypothesis import example, given, settings

import scratch as book
from scratch.backend import float_type, precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.fast import TWINS, fast, parts, sequences, windows, winograd, winograd1d
from scratch.fast.arrays import pieces
from scratch.gradient_check import relative_error
from scratch.layer import evaluating
from scratch.recurrent import GRU, LSTM, SimpleRnn

WITH_PARAMETERS = (
    "SimpleRnn", "SimpleRnn, steps", "GRU", "GRU, steps", "LSTM", "LSTM, steps", "Bidirectional GRU", "Linear",
    "Embedding", "Conv1d", "Conv2d", "BatchNorm", "LayerNorm", "SelfAttention", "Block", "Positions", "Transformer",
)


@pytest.fixture(autouse=True, scope="module")
def _no_warming_up():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "warm_up", lambda k: None)
        patch.setattr(sequences, "_NUMBERS", 1 << 14)  # so that small batches reach what is meant for large ones
        patch.setattr(windows, "_FEW", 300)
        yield


def faster(layer, threads):
    return fast(layer, 1 if ON_A_DEVICE else threads)


def in_parts(layer):
    return [layer.model, *layer.others] if isinstance(layer, parts.InParts) else [layer]


def everything(layer, batches):
    """By name, all that a layer computes in some batches and afterwards, on the host."""
    found, draw, handed = {}, np.random.default_rng(3), []
    for k, (inputs, masks) in enumerate(batches):
        random.seed(k)
        output = layer.forward(*inputs, **masks)
        found[f"output {k}"], found[f"next chance {k}"] = to_host(output).copy(), random.random()
        gradient = to_device(draw.normal(size=output.shape))
        handed += [(array, to_host(array).copy()) for array in (output, gradient, *inputs) if hasattr(array, "dtype")]
        back = layer.backward(gradient)
        for i, grad in enumerate(back if isinstance(back, tuple) else (back,)):
            found[f"input gradient {k}, {i}"] = None if grad is None else to_host(grad).copy()
            handed += [] if grad is None else [(grad, found[f"input gradient {k}, {i}"])]
    for name, parameter in layer.named_parameters().items():
        found[name], found[f"gradient of {name}"] = to_host(parameter.data).copy(), to_host(parameter.grad).copy()
    for k, same in enumerate(zip(*(part.all_layers() for part in in_parts(layer)), strict=True)):
        states = [one.state for one in same if not isinstance(getattr(one, "state", None), int | None)]
        for i, carried in enumerate(zip(*states, strict=True)):
            found[f"state {i} of {k}"] = 1.0 * np.concatenate([to_host(array) for array in carried])
    with evaluating(layer):
        found["evaluating"] = to_host(layer.forward(*batches[0][0], **batches[0][1])).copy()
    assert all(np.array_equal(to_host(array), value) for array, value in handed)  # nobody wrote to them since
    return found


def errors(expected, found):
    """By name, how far each array is from the expected one, relative to the largest number in that."""
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert getattr(value, "dtype", value is None) == getattr(found[name], "dtype", found[name] is None), name
    return {name: relative_error(found[name], value) for name, value in expected.items() if value is not None}


def differences(layer, batches, threads):
    plain = copy.deepcopy(layer)
    return errors(everything(plain, batches), everything(faster(layer, threads), batches))


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=15)
@given(c=CONFIGS)
@example(c=Config(1, 2, sequences=False))
@example(c=Config(33, PAST, masked=True))
@example(c=Config(33, PAST, ids=True, stateful=True, sequences=False, threads=2))
@example(c=Config(33, PAST, ids=True, sequences=False, dtype="float32", threads=3))
@example(c=Config(33, PAST, dtype="float32", threads=2))
@example(c=Config(7, PAST, sequences=False, dtype="float32"))
def test_a_twin_is_the_plain_layer(name, c):
    with precision("float64" if LAYERS[name][2] else c.dtype):
        layer, batches = case(name, c)
        found = differences(layer, batches, c.threads)
        assert max(found.values()) < TOLERANCE[float_type().name], found


def test_configs_reach_what_they_are_for():
    c = Config(33, PAST, threads=2)
    for name, (kind, _, _) in LAYERS.items():
        if kind in (SimpleRnn, GRU, LSTM, book.Bidirectional) and "steps" not in name:
            layer, [(inputs, _), _] = case(name, c)
            layer = faster(layer, c.threads)
            layer.forward(*inputs)
            for part in in_parts(layer):
                (work,) = part._work.by_shape.values()
                assert len(list(pieces(work.grad))) > 1 or ON_A_DEVICE
                assert work.cut == (not ON_A_DEVICE and work.product.ndim > 2)
            with evaluating(layer):
                layer.forward(*inputs)
            in_pieces = not ON_A_DEVICE and kind is not book.Bidirectional
            assert all(len(part._work.by_shape) > 1 for part in in_parts(layer)) == in_pieces
    for config, dim in ((c, 48), (Config(33), 3)):
        layer, [(inputs, _), _] = case("Conv2d", config)
        assert winograd.is_worth_it(3, dim, layer.forward(*inputs).shape) == (dim == 48 and not ON_A_DEVICE)
    for threads, size in ((1, 3), (2, 7)):
        layer, [(inputs, _), _] = case("Conv1d", Config(7, PAST, threads=threads))
        assert winograd1d.is_worth_it(size, 64, layer.forward(*inputs).shape) == (not ON_A_DEVICE)
    assert not windows.are_few(7 * 12 * 11) or ON_A_DEVICE


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_a_gradient_that_is_off_by_a_thousandth_is_found(name, dtype, threads, monkeypatch):
    with precision(dtype):
        layer, batches = case(name, Config(8, 2, ids=True))
        kind, names = TWINS[LAYERS[name][0]], [name for name, p in layer.named_parameters().items() if not p.fixed]
        backward = kind.backward
        for wrong in names:

            def off(self, gradient, wrong=wrong):
                parameter = self.named_parameters()[wrong]
                before = parameter.grad.copy()
                input_grad = backward(self, gradient)
                parameter.grad += 0.001 * (parameter.grad - before)
                return input_grad

            monkeypatch.setattr(kind, "backward", off)
            found = differences(copy.deepcopy(layer), batches, threads)
            assert [name for name, error in found.items() if error > TOLERANCE[dtype]] == [f"gradient of {wrong}"]


def said(call, *inputs, **masks):
    """What an error says; "" where there is none."""
    try:
        call(*inputs, **masks)
    except ScratchError as error:
        return str(error)
    return ""


def test_twins_refuse_what_the_plain_layers_refuse():
    wrong = [
        floats(2), floats(2, 3), floats(2, 3, 4, 5), floats(2, 3, V + 1), ids(2, 3) + V, ids(2, 3) - 2, ids(2, 3),
        floats(2, 1, 1, 3), floats(2, 1, V), ids(2, 1), ids(3), to_device(np.ones((2, 3), dtype=bool)), [[1.0], [2, 3]],
    ]
    masks = [to_device(np.ones(shape, dtype=dtype)) for shape, dtype in (((2, 2), bool), ((2, 3), int), ((3, 2), bool))]
    for name, (kind, _, _) in LAYERS.items():
        if kind is not None and "steps" not in name:
            plain, _ = case(name, Config())
            both = plain, fast(plain, 1)
            found = [[said(layer.forward, x) for x in wrong] for layer in both]
            assert found[0] == found[1] and (any(found[0]) or kind in (book.Gelu, book.Dropout)), name
            if kind in (SimpleRnn, GRU, LSTM, book.Bidirectional, book.MaxOverTime):
                found = [[said(layer.forward, floats(2, 3, V), mask=mask) for mask in masks] for layer in both]
                assert found[0] == found[1] and all(found[0])
    for kind in (SimpleRnn, GRU, LSTM):
        found = []
        for layer in (plain := kind(V, 4, stateful=True), fast(plain, 1)):
            layer.forward(ids(2, 3))
            found.append([said(layer.forward, x) for x in (ids(3, 3), floats(V), 1, V, -1)])
            layer.reset_hidden_state()
            layer.forward(1)
            found[-1] += [said(layer.forward, ids(2, 3)), said(layer.forward, 1, mask=masks[0])]
        assert found[0] == found[1] and all(found[0])


def test_every_twin_of_a_layer_is_among_the_cases():
    covered = {kind for kind, _, _ in LAYERS.values() if kind}
    own = {kind for kind in TWINS if kind.__module__.startswith("scratch.")}  # a program may add twins of its own
    assert covered == {kind for kind in own if issubclass(kind, book.Layer)}
    with_parameters = {kind for name, (kind, _, _) in LAYERS.items() if kind and case(name, Config())[0].parameters()}
    assert with_parameters == {LAYERS[name][0] for name in WITH_PARAMETERS}


def test_fast_leaves_the_plain_model_as_it_is_and_shares_its_parameters():
    model, [(inputs, _), _] = case("a network of text", Config())
    with evaluating(model):
        before, kinds = to_host(model.forward(*inputs)).copy(), [type(layer) for layer in model.all_layers()]
    twin = faster(model, 2)
    assert [type(layer) for layer in model.all_layers()] == kinds
    with evaluating(model):
        assert np.array_equal(to_host(model.forward(*inputs)), before)
    assert all(a is b for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert list(model.named_parameters()) == list(twin.named_parameters())
    for part in in_parts(twin):
        of_its = [type(layer) for layer in part.all_layers()]
        assert of_its == [TWINS.get(kind, kind) for kind in kinds] and {Scaled, Leaky} <= set(of_its)
    assert fast(twin) is twin or ON_A_DEVICE
