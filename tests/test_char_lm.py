"""The character language model: the network, complete and killed runs, samples, and what is refused."""

import json

import numpy as np
import programs
import pytest
from char_lm import network, texts, train
from programs import weights

from scratch.backend import to_device
from scratch.batching import streams
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam


def run(*arguments, **options):
    return programs.run("char_lm", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("char_lm", *arguments, **options)


def test_a_sequence_is_memorised_across_the_pieces():
    """The next id depends on ids before the piece of four, which only the carried state remembers."""
    ids = np.array([0, 1, 2, 0, 2, 1, 0, 0, 1, 1, 2, 2] * 40)
    model, loss, optimizer = network.build(3, 24, 2), SoftmaxCrossEntropy(), Adam(0.01, clip_norm=1.0)
    for _ in range(25):
        network.reset(model)
        for letters, following in streams(ids, 4, 4):
            predicted = model.forward(to_device(letters))
            model.backward(loss.gradient(predicted, to_device(following)))
            optimizer.step(model)
    assert network.nats(model, ids[:240], num_steps=4) < 0.1


def test_the_loss_of_a_text_does_not_depend_on_the_length_of_its_pieces():
    ids, model = np.random.default_rng(0).integers(0, 5, 400), network.build(5, 8, 2, dropout=0.5)
    assert network.nats(model, ids, num_steps=7) == pytest.approx(network.nats(model, ids, num_steps=399), abs=1e-6)


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
    assert "the seed contains 'YZ', which the" in refused("sample", *flags, "--seed-text", "ZwoY", cwd=tmp_path)
    code, skipped, _ = run("sample", *flags, "--seed-text", "wZood", "--skip-unknown", cwd=tmp_path)
    assert code == 0 and skipped == "(omitted from the seed: 'Z')\n" + first
    code, several, _ = run("sample", *flags, "--seed-text", "wood", "--samples", 3, cwd=tmp_path)
    assert code == 0 and several.count("wood") >= 3 and several.startswith("--- 1 ---\nwood")
    greedy = [run("sample", *flags, "--seed-text", "wood", *more, cwd=tmp_path)[1]
              for more in (["--greedy"], ["--temperature", 0], ["--top-k", 1], ["--top-p", 1e-6])]
    assert len(set(greedy)) == 1
    assert "at least one character" in refused("sample", *flags, "--seed-text", "", cwd=tmp_path)
    (tmp_path / "text.txt").write_text(train.SMOKE)
    flags = ["text.txt", "--weights", "run/weights.npz", "--report", "e.json"]
    assert run("evaluate", *flags, cwd=tmp_path)[0] == 0
    found = json.loads((tmp_path / "e.json").read_text())["nats_per_character"]
    assert found == pytest.approx(report["nats_per_character"], abs=1e-6)


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    programs.goes_on_to_the_bit("char_lm", "train", "--smoke", "--seed", 4, line="epoch   2", cwd=tmp_path)


def test_the_plain_layers_give_the_same_losses(tmp_path):
    given = ["train", "--smoke", "--dropout", 0.3, "--epochs", 4]
    plain, fast = programs.plain_and_fast("char_lm", *given, cwd=tmp_path)
    assert len(plain) == 4 and plain == pytest.approx(fast, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "at least 40 characters"), (b"a" * 99, "two of them distinct"),
        ("Ünder\n".encode("latin-1") * 20, "(byte 0)"),
        (b"ab " * 40, "use a smaller batch"), (None, "no such file"), (b"abc\0" * 40, "zero byte at 3"),
        (b"ab " * 15, "too few for --sequence 50"),
    ],
)
def test_bad_texts(content, message, tmp_path):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    assert message in refused("train", "text.txt", "--batch-size", 200, "--sequence", 50, cwd=tmp_path)


@pytest.mark.thorough
def test_bad_weights(tmp_path):
    from scratch.tools.files import read_arrays, write_arrays

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


REAL = programs.needs_data("shakespeare")


@pytest.mark.thorough
@REAL
def test_the_score_holds_on_the_first_held_out_scenes():
    model, vocab, _ = network.load(network.WEIGHTS, "char_lm")
    path = texts.corpus_file("shakespeare", programs.DATA / "shakespeare")
    *_, held_out = texts.split(texts.read(path, 1, vocab).ids)
    assert network.nats(model, held_out[:10_000]) == pytest.approx(1.2797, abs=0.001)


@pytest.mark.slow
@REAL
def test_the_score_holds(tmp_path):
    assert programs.scores("char_lm", tmp_path)["nats_per_character"] == pytest.approx(1.4524, abs=0.001)


def test_weights_of_another_alphabet_are_refused(tmp_path):
    (tmp_path / "text.txt").write_text("Привет, мир! " * 20, encoding="utf-8")
    assert "were the weights trained on this text" in refused("evaluate", "text.txt", cwd=tmp_path)


@pytest.mark.thorough
def test_samples_while_training_change_no_weights(tmp_path):
    for out, epochs in (("some", "1,2"), ("none", "9")):
        code, text, err = run("train", "--smoke", "--epochs", 2, "--sample-after", epochs, "--out", out, cwd=tmp_path)
        assert code == 0, err
        assert (text.index("epoch   2") > text.index("epoch   1") + 300) == (out == "some")
    some, none = (weights(tmp_path / name / "weights.npz") for name in ("some", "none"))
    assert all(np.array_equal(some[name], none[name]) for name in none)
    assert "whole number" in refused("train", "--smoke", "--sample-after", "1,x", cwd=tmp_path)


def test_a_run_does_not_resume_with_the_weights_of_another(tmp_path):
    for seed in (1, 2):
        assert run("train", "--smoke", "--epochs", 1, "--seed", seed, "--out", f"run{seed}", cwd=tmp_path)[0] == 0
    (tmp_path / "run1" / "weights.npz").write_bytes((tmp_path / "run2" / "weights.npz").read_bytes())
    again = ["train", "--smoke", "--epochs", 1, "--seed", 1, "--out", "run1", "--resume"]
    assert "not of the run in run1" in refused(*again, cwd=tmp_path)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    import resource

    flags = ["train", "--smoke", "--epochs", 2, "--out", "run"]
    assert run(*flags, cwd=tmp_path)[0] == 0
    before = (tmp_path / "run" / "checkpoint.npz").read_bytes()
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    again = ["train", "--smoke", "--epochs", 3, "--out", "run2"]
    process = programs.start("char_lm", *again, cwd=tmp_path, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "File too large" in err and "Traceback" not in err
    assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == before


def test_compare(tmp_path):
    assert run("train", "--smoke", "--epochs", 1, "--out", "run", cwd=tmp_path)[0] == 0
    (tmp_path / "text.txt").write_text(train.SMOKE)
    flags = ["text.txt", "--weights", "run/weights.npz", "--order", 3, "--plot", "c.png", "--report", "c.json"]
    code, out, err = run("compare", *flags, cwd=tmp_path)
    assert code == 0, err
    rows = json.loads((tmp_path / "c.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["1-gram", "2-gram", "3-gram", "LSTM"]
    assert all(len(row["sample"]) == 76 and row["nats_per_character"] > 0 for row in rows)
    assert rows[1]["nats_per_character"] < rows[0]["nats_per_character"] and "The best n-gram model" in out
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
