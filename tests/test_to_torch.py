"""Models as PyTorch modules, and back: the same outputs, gradients and running averages, or a reason why not."""

import copy
import importlib
import pickle
import sys

import numpy as np
import pytest

import scratch
from scratch import (
    GRU,
    LSTM,
    AveragePool2d,
    BatchNorm,
    Bidirectional,
    Conv1d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    Gelu,
    Linear,
    LogSoftmax,
    MaxOverTime,
    MaxPool1d,
    MaxPool2d,
    MeanOverTime,
    Relu,
    Sequential,
    Sigmoid,
    SimpleRnn,
    Softmax,
    Tanh,
    evaluating,
    precision,
    to_device,
    to_host,
)
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.layer import Layer

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[bench]'")
nn = torch.nn
from_torch = importlib.import_module("scratch.tools.from_torch").from_torch
to_torch = importlib.import_module("scratch.tools.to_torch").to_torch
pytestmark = [
    pytest.mark.needs("torch"), pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
]

RNNS = [SimpleRnn, LSTM, GRU]
SHAPES = [(1, 1), (3, 7)]  # (N, T)


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def ids(*shape, num=5, lowest=0):
    return np.random.default_rng(sum(shape)).integers(lowest, num, shape)


def both(kind, **options):
    return Bidirectional(kind(5, 4, **options), kind(5, 4, **options))


# A layer, and an input without its first axes (N, T), or without N where that says so.
OF_STEPS = {
    **{f"{kind.__name__} {name}": (lambda kind=kind, options=options: kind(5, 4, **options), (5,)) for kind in RNNS
       for name, options in (("all", {}), ("last", {"return_sequences": False}))},
    **{f"two {kind.__name__} {name}": (lambda kind=kind, options=options: both(kind, **options), (5,)) for kind in RNNS
       for name, options in (("all", {}), ("last", {"return_sequences": False}))},
    "Linear": (lambda: Linear(5, 3), (5,)), "Linear without bias": (lambda: Linear(5, 3, bias=False), (5,)),
    "MaxOverTime": (MaxOverTime, (3,)), "MeanOverTime": (MeanOverTime, (3,)), "Flatten": (Flatten, (3,)),
    "Relu": (Relu, (3,)), "Tanh": (Tanh, (3,)), "Sigmoid": (Sigmoid, (3,)), "Gelu": (Gelu, (3,)),
    "Gelu, tanh": (lambda: Gelu("tanh"), (3,)), "Gelu, exact": (lambda: Gelu("exact"), (3,)),
    "Softmax": (Softmax, (3,)), "LogSoftmax": (LogSoftmax, (3,)), "Dropout": (lambda: Dropout(0), (3,)),
    "stack": (lambda: Sequential([
        LSTM(5, 4), Tanh(), Sequential([both_after(GRU), BatchNorm(6)]), SimpleRnn(6, 3, return_sequences=False),
        Linear(3, 2), LogSoftmax(),
    ]), (5,)),
    **{f"Conv1d {size} {stride} {padding}": (
        lambda size=size, stride=stride, padding=padding: Conv1d(5, 4, size, stride, padding), (5,))
       for size, stride, padding in [(1, 1, "valid"), (3, 1, "same"), (2, 1, "same"), (5, 2, "same"), (1, 2, "same")]},
}
OF_IMAGES = {
    "Conv2d": (lambda: Conv2d(3, 4, 2), (5, 6, 3)), "Conv2d same": (lambda: Conv2d(3, 4, 3, "same"), (5, 6, 3)),
    "Conv2d even": (lambda: Conv2d(3, 4, 2, "same"), (5, 6, 3)),
    "Conv2d without bias": (lambda: Conv2d(3, 4, 3, bias=False), (3, 4, 3)),
    "MaxPool2d": (lambda: MaxPool2d(2), (5, 6, 3)), "AveragePool2d": (lambda: AveragePool2d(2), (5, 7, 3)),
    "MaxPool1d": (lambda: MaxPool1d(2), (5, 3)), "Conv1d valid": (lambda: Conv1d(3, 4, 3, 2), (6, 3)),
    "BatchNorm of images": (lambda: BatchNorm(3, 0.7, 1e-3), (5, 6, 3)), "BatchNorm": (lambda: BatchNorm(3), (4, 3)),
    "image classifier": (lambda: Sequential([
        Conv2d(3, 4, 3, "same", bias=False), BatchNorm(4), Relu(), MaxPool2d(2), Conv2d(4, 5, 2), Gelu(), Flatten(),
        Linear(10, 6), Dropout(0), Linear(6, 2),
    ]), (5, 7, 3)),
}
FLOATS = {
    f"{name} {N} {T}": (build, random(N, T, *shape)) for name, (build, shape) in OF_STEPS.items() for N, T in SHAPES
}
FLOATS |= {f"{name} {N}": (build, random(N, *shape)) for name, (build, shape) in OF_IMAGES.items() for N in (1, 3)}
IDS = {
    "Embedding": (lambda: Embedding(5, 3), ids(2, 4)), "one id": (lambda: Embedding(5, 3), ids(1, 1)),
    "ids of Conv1d": (lambda: Conv1d(5, 4, 2), ids(3, 6, lowest=-1)),
    "embedded": (lambda: Sequential([Embedding(5, 5), LSTM(5, 2)]), ids(1, 9)),
    "two LSTMs": (lambda: both(LSTM), ids(3, 4)),
    **{f"ids of {kind.__name__}": (lambda kind=kind: kind(5, 4), ids(2, 3)) for kind in RNNS},
}
CASES = FLOATS | IDS


def both_after(kind):
    return Bidirectional(kind(4, 3), kind(4, 3))


def shuffled(model):
    """The model with random values in every Parameter; a running variance is positive."""
    for k, (name, p) in enumerate(model.named_parameters().items()):
        values = np.random.default_rng(k).normal(size=p.data.shape)
        p.data[...] = to_device(np.abs(values) + 0.5 if name.endswith("variance") else values)
    return model


def close(first, second, most=1e-5):
    first, second = (value.detach().numpy() if torch.is_tensor(value) else to_host(value) for value in (first, second))
    assert first.shape == second.shape and first.dtype == second.dtype
    assert np.abs(first - second).max(initial=0) <= most * max(1, np.abs(second).max(initial=0))


def equal(first, second):
    pairs = zip(first.named_parameters().items(), second.named_parameters().items(), strict=True)
    return all(a == b and np.array_equal(to_host(p.data), to_host(q.data)) for (a, p), (b, q) in pairs)


@pytest.mark.parametrize("case", CASES)
def test_a_module_computes_what_the_layer_computes(case, device):
    build, x = CASES[case]
    model = shuffled(build())
    with evaluating(model):
        module = to_torch(model)
        assert not module.training
        expected = to_host(model.forward(to_device(x)))
        close(module(torch.tensor(x)), expected)
    back = from_torch(module)
    assert not back.train and equal(back, model)
    assert not any(np.shares_memory(to_host(p.data), to_host(q.data))
                   for p, q in zip(back.parameters(), model.parameters(), strict=True))
    with evaluating(back):
        close(back.forward(to_device(x)), expected)


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("stack 1 1", "BatchNorm 1")])
def test_gradients_and_running_averages_are_the_same(case):
    build, x = CASES[case]
    model = shuffled(build())
    module, read = to_torch(model), torch.tensor(x)
    assert module.training
    read.requires_grad_(x.dtype.kind == "f")
    output, mine = module(read), model.forward(x)
    close(output, mine)
    gradient = random(*mine.shape)
    output.backward(torch.tensor(gradient))
    found = model.backward(gradient)
    if x.dtype.kind == "f":
        close(found, read.grad, 1e-4)
    after = from_torch(module)  # its running averages have moved
    for p, q in zip(after.parameters(), model.parameters(), strict=True):
        close(p.data, q.data)
    for name, p in module.named_parameters():
        p.data = 0 * p if "bias_hh" in name else p.grad
    for p, q in zip(from_torch(module).parameters(), model.parameters(), strict=True):
        if not p.fixed:
            close(q.grad, p.data, 1e-4)


def test_a_batch_of_one_row_is_refused_by_both():
    module = to_torch(BatchNorm(3))
    with pytest.raises(ValueError, match="more than 1 value"):
        module(torch.ones(1, 3))


@pytest.mark.parametrize("case", OF_STEPS | OF_IMAGES | IDS)
def test_every_layer_of_the_engine_converts_like_its_twin(case):
    model = shuffled((OF_STEPS | OF_IMAGES | IDS)[case][0]())
    assert equal(from_torch(to_torch(fast(model, threads=1))), model)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fast_model_converts_too(threads):
    model = shuffled(OF_STEPS["stack"][0]())
    x = random(9, 4, 5)
    quick = fast(model, threads=threads)
    with evaluating(quick):
        close(to_torch(quick)(torch.tensor(x)), quick.forward(x))
    assert equal(from_torch(to_torch(quick)), model)


def test_every_layer_of_the_book_is_converted_or_known_not_to_be():
    classes = {thing for name in scratch.__all__ if isinstance(thing := getattr(scratch, name), type)}
    layers = {cls for cls in classes if issubclass(cls, Layer)}
    converted = set(importlib.import_module("scratch.tools.to_torch")._TO)
    attention = {"BidirectionalAttention", "DotAttention", "SelfAttention", "Block", "Transformer"}
    its_parts = {"LayerNorm", "FeedForward", "Positions"}
    assert {cls.__name__ for cls in layers - converted} <= {"Layer"} | attention | its_parts


def test_a_type_is_kept_in_torch_and_the_current_one_here():
    with precision("float64"):
        model = shuffled(OF_STEPS["stack"][0]())
        model.train = False
        module, x = to_torch(model), random(2, 3, 5).astype("float64")
        close(module(torch.tensor(x)), model.forward(x), 1e-12)
        assert equal(from_torch(module), model)
    assert {p.dtype for p in module.parameters()} == {torch.float64}
    assert {p.data.dtype.name for p in from_torch(module).parameters()} == {"float32"}
    half = from_torch(nn.Linear(3, 2, dtype=torch.bfloat16))
    assert half.w.data.dtype == np.float32


def test_a_module_can_be_copied_saved_and_printed(tmp_path):
    module, x = to_torch(OF_IMAGES["image classifier"][0]()).eval(), torch.tensor(random(2, 5, 7, 3))
    torch.save(module.state_dict(), tmp_path / "w.pt")
    other = to_torch(OF_IMAGES["image classifier"][0]()).eval()
    other.load_state_dict(torch.load(tmp_path / "w.pt"))
    for one in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(one(x), module(x))
    assert [type(layer).__name__ for layer in module][:4] == ["Conv2d", "BatchNorm", "ReLU", "MaxPool2d"]
    assert set(module.state_dict()) >= {"0.weight", "1.running_mean", "1.num_batches_tracked", "7.bias"}


def test_no_random_number_of_torch_is_drawn():
    before = torch.random.get_rng_state()
    to_torch(OF_STEPS["stack"][0]())
    assert torch.equal(before, torch.random.get_rng_state())


def test_copies_share_no_memory():
    model = Linear(3, 2)
    module = to_torch(model)
    with torch.no_grad():
        module.weight.zero_()
    assert to_host(model.w.data).all()
    back = from_torch(module)
    back.w.data[...] = 1
    assert not module.weight.any()


class Own(Linear):
    """A layer of one's own, which may compute anything."""


def tied():
    first = Linear(3, 3)
    return Sequential([first, first.sibling()])


def tied_directions():
    first = LSTM(3, 3)
    return Bidirectional(first, first.sibling())


@pytest.mark.parametrize(("build", "words"), [
    (lambda: Own(3, 2), "Own.*no counterpart for this layer in PyTorch; there is one for Sequential, Linear"),
    (lambda: Sequential([Layer()]), "Layer.*no counterpart"), (lambda: scratch.DotAttention(3), "no counterpart"),
    (lambda: LSTM(3, 2, stateful=True), "carries no state.*set `stateful` to False"),
    (lambda: Conv1d(3, 2, 4, stride=2, padding="same"), "no 'same' for a stride and an even kernel_size"),
    (tied, "share Parameters"), (tied_directions, "share Parameters"),
])
def test_layers_without_a_counterpart_are_refused(build, words):
    with pytest.raises(ScratchError, match=f"to_torch: .*{words}") as caught:
        to_torch(build())
    assert "\n" not in str(caught.value)


def test_without_torch_a_line_says_what_to_install(monkeypatch):
    for name in ("to_torch", "from_torch"):
        monkeypatch.delitem(sys.modules, f"scratch.tools.{name}")
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in ("to_torch", "from_torch"):
        with pytest.raises(ScratchError, match=r"converting a model to or from PyTorch needs PyTorch; run pip install"):
            importlib.import_module(f"scratch.tools.{name}")
