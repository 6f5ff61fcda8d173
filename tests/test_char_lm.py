"""The character language model: the network, a run, a killed one, samples, and what is refused."""

import json
import signal

import char_lm
import numpy as np
import programs
import pytest
from programs import weights

from scratch.backend import to_device
from scratch.batching import streams
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam


def run(*arguments, **options):
    return programs.run("char_lm.py", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("char_lm.py", *arguments, **options)


def test_a_sentence_is_learned_by_heart_across_the_pieces():
    """What follows an a, a b or a c depends on letters before the piece of four: only the carried state knows."""
    ids = np.array([0, 1, 2, 0, 2, 1, 0, 0, 1, 1, 2, 2] * 40)
    model, loss, optimizer = char_lm.build(3, 24, 2), SoftmaxCrossEntropy(), Adam(0.01, clip_norm=1.0)
    for _ in range(25):
        char_lm.reset(model)
        for letters, following in streams(ids, 4, 4):
            predicted = model.forward(to_device(letters))
            model.backward(loss.gradient(predicted, to_device(following)))
            optimizer.step(model)
    assert char_lm.nats(model, ids[:240], num_steps=4) < 0.1


def test_the_loss_of_a_text_does_not_depend_on_how_it_is_cut():
    ids, model = np.random.default_rng(0).integers(0, 5, 400), char_lm.build(5, 8, 2, dropout=0.5)
    assert char_lm.nats(model, ids, num_steps=7) == pytest.approx(char_lm.nats(model, ids, num_steps=399), abs=1e-6)


def test_a_run(tmp_path):
    code, out, err = run("train", "--smoke", "--report", "r.json", "--out", "run", cwd=tmp_path)
    assert (code, err) == (0, ""), err
    assert out.count("\nepoch ") == 5 and "chance is 2.708 nats" in out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["nats_per_character"] < report["chance"] and report["epochs"] == 5
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    flags = ["--weights", "run/weights.npz", "--seed", 1, "--count", 20]
    code, first, _ = run("sample", *flags, "--seed-text", "wood", cwd=tmp_path)
    assert code == 0 and len(first) == 25 and first.startswith("wood")
    assert run("sample", *flags, "--seed-text", "wood", cwd=tmp_path)[1] == first
    assert "'Z' is not in the text" in refused("sample", *flags, "--seed-text", "woZ", cwd=tmp_path)
    assert "at least one character" in refused("sample", *flags, "--seed-text", "", cwd=tmp_path)
    (tmp_path / "text.txt").write_text(char_lm.SMOKE)
    flags = ["text.txt", "--weights", "run/weights.npz", "--report", "e.json"]
    assert run("evaluate", *flags, cwd=tmp_path)[0] == 0
    found = json.loads((tmp_path / "e.json").read_text())["nats_per_character"]
    assert found == pytest.approx(report["nats_per_character"], abs=1e-6)


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    flags = ["train", "--smoke", "--seed", 4]
    assert run(*flags, "--out", "whole", cwd=tmp_path)[0] == 0
    process = programs.start("char_lm.py", *flags, "--out", "killed", cwd=tmp_path)
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    code, _, err = run(*flags, "--out", "killed", "--resume", cwd=tmp_path)
    assert code == 0, err
    killed, expected = (weights(tmp_path / name / "weights.npz") for name in ("killed", "whole"))
    assert all(np.array_equal(killed[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "at least 40 characters"), (b"a" * 99, "of two kinds"), ("Ünder\n".encode("latin-1") * 20, "not UTF-8"),
        (b"ab " * 40, "make the batch smaller"), (None, "No such file"),
    ],
)
def test_bad_texts(content, message, tmp_path):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    assert message in refused("train", "text.txt", "--batch-size", 200, cwd=tmp_path)


def test_bad_weights(tmp_path):
    from scratch.files import read_arrays, write_arrays

    assert run("train", "--smoke", "--epochs", 1, "--out", "run", cwd=tmp_path)[0] == 0
    arrays, metadata = read_arrays(tmp_path / "run" / "weights.npz")
    for change in (
        {"hidden": 9}, {"layers": 3}, {"layers": 0}, {"layers": 10**9}, {"vocabulary": {"a": 0}}, {"program": "x"},
    ):
        write_arrays(tmp_path / "changed.npz", arrays, metadata | change)
        assert "changed.npz" in refused("sample", "--weights", "changed.npz", "--seed-text", "a", cwd=tmp_path)


def test_the_weights_that_come_with_it(tmp_path):
    code, out, _ = run("sample", "--seed", 1, "--count", 30, "--seed-text", "ROMEO:", cwd=tmp_path)
    assert code == 0 and out.startswith("ROMEO:") and len(out) == 37


def test_the_score_holds(tmp_path):
    if not (programs.DATA / "shakespeare").is_dir():
        pytest.skip("the data set is not here")
    env = {"SCRATCH_DATA": str(programs.DATA)}
    code, _, err = run("evaluate", "--report", "e.json", cwd=tmp_path, env=env)
    assert code == 0, err
    assert json.loads((tmp_path / "e.json").read_text())["nats_per_character"] == pytest.approx(1.6786, abs=0.001)
