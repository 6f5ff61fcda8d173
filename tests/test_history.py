"""The history of a run, the stop when a loss is not finite, and the curve."""

import json

import pytest

from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.tools.history import History, progress, stop_unless_finite
from scratch.tools.plots import curve


def test_a_history_writes_lines_and_continues(tmp_path):
    history = History(tmp_path / "h.jsonl")
    history.add(epoch=1, loss=0.5)
    history.add(epoch=2, loss=0.25)
    lines = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    assert lines == history.rows
    again = History(tmp_path / "h.jsonl", history.rows[:1])
    again.add(epoch=2, loss=0.125)
    assert again.column("loss") == [0.5, 0.125]
    assert again.best("loss") == 2 and again.best("loss", largest=True) == 1 and again.best("score") == 0
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 2
    assert list(progress([1, 2], "bar")) == [1, 2]
    layer = Linear(2, 2)
    assert stop_unless_finite(1.0, layer, "epoch 1") == 1.0
    for loss in (float("nan"), float("inf")):
        with pytest.raises(ScratchError, match=r"in epoch 1 .*a smaller --lr"):
            stop_unless_finite(loss, layer, "epoch 1")
    layer.b.data[0] = float("inf")
    with pytest.raises(ScratchError, match="a smaller --lr"):
        stop_unless_finite(1.0, layer, "epoch 1")


def test_a_curve_is_a_png(tmp_path):
    curve(tmp_path / "c.png", {"a": [3.0, 2.0], "b": [1.0]}, "epoch", "loss", "title", {"chance": 4.0})
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
