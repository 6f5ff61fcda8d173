"""Layers from plain PyTorch modules: the same outputs and running averages, or a reason why not."""

import pytest

from scratch import Conv1d, evaluating
from scratch.checks import ScratchError

torch = pytest.importorskip("torch", reason="needs torch: pip install -e '.[bench]'")
from test_to_torch import SHAPES, close, equal, from_torch, random, to_torch  # noqa: E402

nn = torch.nn
pytestmark = [
    pytest.mark.needs("torch"), pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths"),
]


def plain(*layers):
    return nn.Sequential(*layers)


PLAIN = {  # a module, and an input as PyTorch has it
    "Linear": (lambda: nn.Linear(5, 3), random(2, 5)),
    "Linear without bias": (lambda: nn.Linear(5, 3, bias=False), random(2, 4, 5)),
    "Conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1), random(2, 3, 8)),
    "Conv1d same": (lambda: nn.Conv1d(3, 4, 2, padding="same"), random(2, 3, 8)),
    "Conv1d valid": (lambda: nn.Conv1d(3, 4, 2, padding="valid", bias=False), random(1, 3, 8)),
    "Conv2d": (lambda: nn.Conv2d(3, 4, (3, 3), padding=(1, 1), bias=False), random(2, 3, 5, 6)),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 2)), random(2, 3, 5, 6)),
    "MaxPool1d": (lambda: nn.MaxPool1d(2, 2), random(2, 3, 7)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3, eps=1e-3, momentum=0.3), random(4, 3)),
    "BatchNorm of sequences": (lambda: plain(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4)), random(2, 3, 8)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3, momentum=0.3), random(4, 3, 5, 2)),
    "images": (lambda: plain(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2, stride=2),
        nn.Conv2d(4, 5, 2), nn.Softmax(dim=1), nn.Flatten(), nn.BatchNorm1d(30), nn.Sigmoid(), nn.Linear(30, 7),
        nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 2), nn.LogSoftmax(dim=-1),
    ), random(3, 3, 7, 9)),
    "texts": (lambda: plain(
        nn.Conv1d(3, 4, 3), nn.ReLU(), nn.MaxPool1d(3), plain(nn.Flatten(), nn.Dropout(0)), plain(nn.Linear(8, 2))
    ), random(2, 3, 9)),
}
STATES = {
    **{f"{kind.__name__} {layers} {two}": lambda kind=kind, layers=layers, two=two: kind(
        5, 4, layers, batch_first=True, bidirectional=two, bias=kind is not nn.GRU, dropout=0.5 * (layers > 1))
       for kind in (nn.RNN, nn.LSTM, nn.GRU) for layers in (1, 3) for two in (False, True)},
}


def channels_last(x):
    return x.detach() if x.ndim < 3 else x.detach().movedim(1, -1)


@pytest.mark.parametrize("case", PLAIN)
def test_a_layer_computes_what_a_plain_module_computes(case):
    build, x = PLAIN[case]
    torch.manual_seed(0)
    module = build()
    turn = torch.Tensor.detach if "Linear" in case else channels_last
    layer, moved = from_torch(module), turn(torch.tensor(x)).numpy()
    for _ in range(2):  # in training, so that the running averages move
        close(layer.forward(moved), turn(module(torch.tensor(x))))
    module.eval()
    with evaluating(layer):
        close(layer.forward(moved), turn(module(torch.tensor(x))))
        assert equal(from_torch(to_torch(layer)), layer)


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize(("N", "T"), SHAPES)
def test_recurrent_modules_of_several_layers(case, N, T):
    module, x = STATES[case]().eval(), random(N, T, 5)
    layer = from_torch(module)
    close(layer.forward(x), module(torch.tensor(x))[0])
    assert equal(from_torch(to_torch(layer)), layer)


def test_a_gru_whose_second_bias_is_zero_where_it_must_be():
    module = nn.GRU(5, 4, batch_first=True)
    x = random(2, 3, 5)
    with torch.no_grad():
        module.bias_hh_l0[8:] = 0
    close(from_torch(module).forward(x), module(torch.tensor(x))[0])


def tied_modules():
    first = nn.Linear(3, 3)
    return plain(first, nn.ReLU(), first)


@pytest.mark.parametrize(("build", "words"), [
    (lambda: nn.LayerNorm(3), r"LayerNorm\(.*: no counterpart for this module here; there is one for Sequential, Lin"),
    (lambda: nn.TransformerEncoderLayer(4, 2), "TransformerEncoderLayer: no counterpart"),
    (lambda: nn.ELU(), "ELU.*no counterpart"), (lambda: nn.Dropout2d(0.1), "no counterpart"),
    (lambda: plain(nn.Linear(2, 3), nn.ELU()), "ELU.*no counterpart"),
    (lambda: nn.LSTM(3, 2), "batch_first=False has no counterpart here; expected True"),
    (lambda: nn.LSTM(3, 4, batch_first=True, proj_size=2), "proj_size=2"),
    (lambda: nn.RNN(3, 2, batch_first=True, nonlinearity="relu"), "nonlinearity='relu'"),
    (lambda: nn.GRU(3, 2, batch_first=True), "the last third of bias_hh_l0 is not zero"),
    (lambda: nn.Embedding(3, 2, padding_idx=0), "padding_idx=0"),
    (lambda: nn.Embedding(3, 2, max_norm=1), "max_norm=1"),
    (lambda: nn.Conv1d(3, 2, 3, dilation=2), "dilation=.2,."), (lambda: nn.Conv2d(4, 2, 3, groups=2), "groups=2"),
    (lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"), "padding_mode='reflect'"),
    (lambda: nn.Conv2d(4, 2, 3, stride=2), r"stride=\(2, 2\)"), (lambda: nn.Conv2d(4, 2, (3, 5)), "expected a square"),
    (lambda: nn.Conv2d(4, 2, 3, padding=2), r"padding=\(2, 2\).*expected 0, or half"),
    (lambda: nn.Conv2d(4, 2, 3, padding=(0, 1)), r"padding=\(0, 1\)"),
    (lambda: nn.Conv1d(4, 2, 4, padding=2), r"padding=\(2,\)"),
    (lambda: nn.MaxPool2d(3, stride=2), "stride=2.*expected the kernel_size"),
    (lambda: nn.MaxPool2d(2, ceil_mode=True), "ceil_mode=True"), (lambda: nn.MaxPool2d((2, 3)), "expected a square"),
    (lambda: nn.MaxPool1d(2, padding=1), "padding=1"),
    (lambda: nn.AvgPool2d(2, divisor_override=3), "divisor_override=3"),
    (lambda: nn.BatchNorm1d(3, momentum=None), "momentum=None"),
    (lambda: nn.BatchNorm1d(3, affine=False), "affine=False"),
    (lambda: nn.BatchNorm2d(3, track_running_stats=False), "track_running_stats=False"),
    (lambda: nn.Flatten(0), "start_dim=0"), (lambda: nn.Dropout(1.0), "probability"),
    (lambda: nn.Softmax(dim=1), "expected dim=-1"), (lambda: nn.LogSoftmax(dim=0), "expected dim=-1"),
    (lambda: plain(nn.Conv1d(3, 2, 1), nn.Softmax(dim=-1)), "expected dim=1"),
    (lambda: plain(nn.Embedding(3, 2), nn.Conv1d(2, 2, 1)), "expects its channels in axis 1"),
    (lambda: plain(nn.Embedding(3, 2), nn.BatchNorm1d(2)), "expects its channels in axis 1"),
    (lambda: plain(nn.Conv1d(3, 2, 1), nn.Linear(2, 2)), "expects its features in the last axis"),
    (lambda: plain(nn.Conv1d(3, 2, 1), nn.LSTM(2, 2, batch_first=True)), "expects its features in the last axis"),
    (lambda: plain(nn.Conv1d(3, 2, 1), to_torch(Conv1d(2, 2, 1))), "expects its features in the last axis"),
    (lambda: plain(nn.Conv1d(3, 2, 1), nn.Flatten()), "no Linear follows the Flatten"),
    (lambda: plain(nn.Conv1d(3, 2, 1), nn.Flatten(), nn.Linear(5, 2)), "cannot follow the Flatten of 2 channels"),
    (lambda: plain(nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6, 2)), "number of channels that it flattens is unknown"),
    (tied_modules, "share parameters"), (lambda: "model", "no counterpart"),
])
def test_modules_without_a_counterpart_are_refused(build, words):
    with pytest.raises(ScratchError, match=words) as caught:
        from_torch(build())
    assert "\n" not in str(caught.value)
