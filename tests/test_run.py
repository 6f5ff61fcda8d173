"""Run: a resumed run equals one that was not interrupted, and what it keeps, moves, prints and refuses."""

import json
import random
from argparse import Namespace

import pytest
from test_checkpoint import ENGINE, SETTINGS, model, parts, same, train, values

from scratch.checks import ScratchError
from scratch.optimizers import Adam
from scratch.tools.files import read_arrays, read_metadata, write_arrays
from scratch.tools.run import Run, check_paths


def flags_of(out, **changes):
    return Namespace(**{"out": out, "epochs": 4, "resume": False, "seed": 0} | changes)


def begin(out, layer=None, optimizer=None, settings=SETTINGS, best="validation", flags=(), **options):
    layer, optimizer = layer or model(), optimizer or Adam(0.01)
    return Run(flags_of(out, **dict(flags)), layer, optimizer, settings, "test", {"size": 4}, best, **options)


def go(run, validations, stop_in=None):
    """Train for the epochs that are left, of which the one numbered `stop_in` is interrupted after its first step."""
    with run:
        for epoch in run.epochs():
            for k in run.progress(range(3)):
                if epoch == stop_in and k:
                    raise KeyboardInterrupt
                train(run.model, run.optimizer, 1)
            run.state["drawn"] = [*run.state.get("drawn", []), epoch]
            run.record(loss=1 / epoch, validation=validations[epoch - 1], sample="a\nb")


@ENGINE
@pytest.mark.parametrize(("every", "saved"), [(1, 3), (2, 2)])
@pytest.mark.parametrize(("best", "best_epoch"), [("validation", 3), (None, 4)])
def test_a_resumed_run_equals_one_that_was_not_interrupted(engine, every, saved, best, best_epoch, tmp_path, capsys):
    ends = {}
    for name, stop_in in (("whole", None), ("stopped", 4)):
        random.seed(1)
        run = begin(tmp_path / name, *parts(engine), best=best, every=every)
        if stop_in:
            with pytest.raises(KeyboardInterrupt):
                go(run, [4, 3, 2, 5], stop_in)
            assert run.how_to_resume() == f"--resume continues after epoch {saved}"
            random.seed(99)
            run = begin(tmp_path / name, *parts(engine, 0.5), best=best, every=every, flags={"resume": True})
            assert run.epoch == saved and run.seconds > 0
        go(run, [4, 3, 2, 5])
        ends[name] = values(run.model), run.history.rows, run.state, run.best_epoch
        run.load_best()
        ends[name] += (values(run.model), random.getstate())
    assert same(ends["whole"][0], ends["stopped"][0]) and same(ends["whole"][4], ends["stopped"][4])
    assert ends["whole"][1:4] == ends["stopped"][1:4] and ends["whole"][5] == ends["stopped"][5]
    assert ends["whole"][3] == best_epoch and ends["whole"][2] == {"drawn": [1, 2, 3, 4]}
    rows = [json.loads(line) for line in (tmp_path / "stopped" / "history.jsonl").read_text().splitlines()]
    assert rows == ends["stopped"][1] and [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert "epoch   1  loss 1.0000  validation 4.0000  a\\nb" in capsys.readouterr().out


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(ScratchError, match=r"checkpoint\.npz: there is no run to resume; omit --resume"):
        begin(tmp_path, flags={"resume": True})


def test_a_run_resumes_with_its_own_settings_alone(tmp_path):
    go(begin(tmp_path), [1, 2, 3, 4])
    assert begin(tmp_path, flags={"resume": True}).epoch == 4
    with pytest.raises(ScratchError, match="made with hidden = 4, not 5"):
        begin(tmp_path, settings={**SETTINGS, "hidden": 5}, flags={"resume": True})


def test_a_new_run_moves_an_earlier_one_into_a_folder(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("stays")
    for k in range(3):
        run = begin(tmp_path, files=["extra.txt"])
        (tmp_path / "extra.txt").write_text(str(k))
        go(run, [1, 2, 3, 4])
        run.finish()
    assert "held an earlier run (--resume would have continued it); it is now in" in capsys.readouterr().out
    names = ["checkpoint.npz", "extra.txt", "history.jsonl", "loss.png", "weights.npz"]
    for k in (1, 2):
        assert sorted(path.name for path in (tmp_path / f"earlier_{k}").iterdir()) == names
        assert (tmp_path / f"earlier_{k}" / "extra.txt").read_text() == str(k - 1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted([".lock", *names, "notes.txt"])


def test_a_run_resumes_with_the_weights_of_its_best_epoch_alone(tmp_path):
    for name in ("a", "b"):
        go(begin(tmp_path / name, settings={"name": name}), [4, 2, 3, 5])
    weights, arrays = tmp_path / "a" / "weights.npz", read_arrays(tmp_path / "a" / "weights.npz")[0]
    saved, again = read_metadata(weights), {"settings": {"name": "a"}, "flags": {"resume": True}}
    assert saved["best_epoch"] == 2 and saved["program"] == "test" and saved["size"] == 4
    for epoch, fits in ((1, False), (2, True), (4, False), (5, True)):  # 5: a kill came before the checkpoint was saved
        write_arrays(weights, arrays, saved | {"best_epoch": epoch})
        if fits:
            begin(tmp_path / "a", **again)
        else:
            with pytest.raises(ScratchError, match=r"weights\.npz: not of the run in .*a[;,]"):
                begin(tmp_path / "a", **again)
    weights.write_bytes((tmp_path / "b" / "weights.npz").read_bytes())
    with pytest.raises(ScratchError, match=r"weights\.npz: not of the run"):
        begin(tmp_path / "a", **again)
    write_arrays(weights, arrays, saved | {"program": "other"})
    with pytest.raises(ScratchError, match="not a weights file of test"):
        begin(tmp_path / "a", **again)
    weights.unlink()
    with pytest.raises(ScratchError, match=r"weights\.npz: no such file"):
        begin(tmp_path / "a", **again)


@pytest.mark.parametrize(("best", "epoch"), [("validation", 2), ("-validation", 1), ("loss", 3), (None, 3)])
def test_patience_and_the_best_epoch(best, epoch, tmp_path, capsys):
    run = begin(tmp_path, best=best, flags={"epochs": 3})
    kept = []
    with run:
        for k in run.epochs():
            train(run.model, run.optimizer, 1)
            kept.append(values(run.model))
            run.record(loss=4 - k, validation=[5, 1, 2][k - 1])
    run.load_best()
    assert run.best_epoch == epoch and same(values(run.model), kept[epoch - 1])
    figures = run.finish(score=0.5)
    assert figures["best_epoch"] == epoch and figures["loss"] == 4 - epoch and figures["score"] == 0.5
    saved = read_metadata(tmp_path / "weights.npz")
    assert saved["score"] == 0.5 and saved["settings"] == json.loads(json.dumps(SETTINGS)) and saved["epochs"] == 3
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")

    run = begin(tmp_path / "patient", best="validation", flags={"epochs": 9, "patience": 2})
    go(run, [4, 2, 3, 5, 1])
    assert run.epoch == 4 and "stopped: no improvement in 2 epochs" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_its_last_checkpoint(tmp_path):
    run = begin(tmp_path)
    train(run.model, run.optimizer, 1)
    run.record(loss=1.0, validation=1.0)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(ScratchError, match=r"training diverged in epoch 2 .*a smaller --lr"):
        run.record(loss=float("nan"), validation=0.5)
    run.model.layers[2].b.data[0] = float("inf")
    with pytest.raises(ScratchError, match=r"training diverged in epoch 2 .*a smaller --lr"):
        run.record(loss=1.0, validation=0.5)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    assert read_metadata(tmp_path / "weights.npz")["best_epoch"] == 1
    assert begin(tmp_path, flags={"resume": True}).epoch == 1


def test_a_run_without_checkpoints(tmp_path):
    run = begin(tmp_path, flags={"checkpoint": False})
    with pytest.raises(KeyboardInterrupt):
        go(run, [1, 2, 3, 4], stop_in=3)
    assert not run.how_to_resume()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "history.jsonl", "weights.npz"]


def test_the_figures_of_a_run_and_its_names(tmp_path, capsys):
    flags = {"report": tmp_path / "reports" / "r.json", "plot": tmp_path / "p.png", "prefix": "small-"}
    run = begin(tmp_path / "run", flags=flags, chance=1.5)
    go(run, [1, 2, 3, 4])
    figures = run.finish(score=0.5)
    assert "loss 1.0000 (chance 1.500)  validation 1.0000" in capsys.readouterr().out
    assert json.loads(flags["report"].read_text()) == figures and figures["seed"] == 0 and figures["command"]
    names = [".small-lock", "small-checkpoint.npz", "small-history.jsonl", "small-weights.npz"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == names
    assert flags["plot"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("flag", "path", "message"), [
    ("report", "run/weights.npz", "in use for something else"), ("report", "run/extra", "in use for something"),
    ("report", "p.png", "in use for something else"), ("report", "text.txt", "in use for something else"),
    ("plot", "run/checkpoint.npz", "in use for something else"), ("plot", "text.txt", "in use for something"),
    ("plot", "data/p.png", "in use for something else"), ("report", "folder", "the name of a regular file"),
    ("out", "text.txt", "is a file; expected a folder"),
])
def test_a_run_overwrites_nothing_that_it_needs(flag, path, message, tmp_path):
    (tmp_path / "text.txt").write_text("a text")
    for folder in ("data", "folder"):
        (tmp_path / folder).mkdir()
    flags = flags_of(tmp_path / "run", plot=tmp_path / "p.png", report=tmp_path / "r.json")
    setattr(flags, flag, tmp_path / path)
    with pytest.raises(ScratchError, match=message):
        check_paths(flags, [tmp_path / "text.txt", tmp_path / "data", None], ["extra"])
    assert (tmp_path / "text.txt").read_text() == "a text"
