"""Alice: the training batches, the three recipes, what is generated, and what is refused."""

import json
from argparse import Namespace

import numpy as np
import programs
import pytest
from alice import book
from char_lm import network

from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam
from scratch.text import Vocabulary

TEXT = "the cat sat. did it? yes! it sat on the mat, and it slept. "


def run(*arguments, **options):
    return programs.run("alice", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("alice", *arguments, **options)


def flags(**changes):
    values = {"batch_size": 3, "sequence": 5, "sentences": False, "stateful": False, "every_step": False}
    return Namespace(**values | changes)


def batches(**changes):
    vocab = Vocabulary(sorted(set(TEXT)))
    ids = np.array(vocab.encode(TEXT))
    found = list(book.training_batches(ids, TEXT, flags(**changes)))
    assert len(found) == book.num_batches(ids, TEXT, flags(**changes))
    spell = lambda row: "".join(vocab.i2w[int(id)] for id in row)  # noqa: E731
    return found, spell


def test_each_window_comes_once_in_random_order():
    found, spell = batches()
    pairs = [spell([*row, target]) for rows, targets, _ in found for row, target in zip(rows, targets, strict=True)]
    expected = [TEXT[k : k + 6] for k in range(len(TEXT) - 5)]
    assert pairs != expected and sorted(pairs) == sorted(expected)


def test_pieces_with_a_target_at_every_step():
    for changes in ({"every_step": True}, {"every_step": True, "stateful": True}):
        for rows, targets, mask in batches(**changes)[0]:
            assert rows.shape == targets.shape and mask is None
            assert (rows[:, 1:] == targets[:, :-1]).all()


def test_sentences_are_padded_and_begin_with_the_space_before_them():
    found, spell = batches(sentences=True, every_step=True, sequence=40)
    rows = [spell([*row[mask][:1], *targets[mask]]) for inputs, following, masks in found
            for row, targets, mask in zip(inputs, following, masks, strict=True)]
    expected = ["the cat sat. ", " did it? ", " yes! ", " it sat on the mat, and it slept. "]
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("options", [
    {"input": "id", "every_step": False, "stateful": False}, {"input": "embedding", "input_dropout": 0.2},
    {"input_dropout": 0.2}, {},
], ids=str)
def test_each_network_memorises_a_sequence(options):
    ids = np.array([0, 1, 2, 3, 0, 2, 1, 3, 3, 1] * 30)
    model, loss, optimizer = network.build(4, 32, 1, **options), SoftmaxCrossEntropy(), Adam(0.02, clip_norm=1.0)
    every_step = options.get("every_step", True)
    for _ in range(60):
        network.reset(model)
        for letters, following, _ in book.training_batches(
            ids, "", flags(batch_size=10, sequence=10, every_step=every_step, stateful=every_step),
        ):
            predicted = model.forward(to_device(letters))
            last = loss.loss(predicted, to_device(following))
            model.backward(loss.gradient(predicted, to_device(following)))
            optimizer.step(model)
    assert last < (0.5 if "input_dropout" in options else 0.05)


@pytest.mark.parametrize("recipe", [
    pytest.param("small", marks=pytest.mark.thorough), pytest.param("large", marks=pytest.mark.thorough), "better",
])
def test_a_run(recipe, tmp_path):
    code, out, err = run("train", "--recipe", recipe, "--smoke", "--report", "r.json", "--out", "run", cwd=tmp_path)
    assert (code, err) == (0, ""), err
    assert out.count("\nepoch ") == 4 and "chance is 3.219" in out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["train_loss"] == min(report["losses"]) < report["chance"]
    files = sorted(path.name for path in (tmp_path / "run").glob("improvement-*"))
    best = report["losses"].index(report["train_loss"]) + 1
    assert len(files) <= 3 and f"improvement-{best:02d}-{report['train_loss']:.4f}.npz" in files
    given = ["--weights", "run/weights.npz", "--count", 30, "--seed", 1]
    code, first, _ = run("generate", *given, cwd=tmp_path)
    assert code == 0 and len(first) == 20 + 30 + 1 and first[:20] in book.SMOKE
    assert run("generate", *given, cwd=tmp_path)[1] == first
    code, out, _ = run("generate", *given, "--seed-text", "-", input="The Cat\n", cwd=tmp_path)
    assert code == 0 and out.startswith("the cat") and len(out) == 7 + 30 + 1
    code, out, _ = run("generate", *given, "--samples", 2, cwd=tmp_path)
    assert code == 0 and out.startswith("--- 1 ---\n")
    assert "the seed contains 'ü'" in refused("generate", *given, "--seed-text", "cüt", cwd=tmp_path)
    assert "at least one character" in refused("generate", *given, "--seed-text", "ü", "--skip-unknown", cwd=tmp_path)
    code, _, err = run("evaluate", "--smoke", "--weights", "run/weights.npz", "--report", "e.json", cwd=tmp_path)
    assert code == 0, err
    assert json.loads((tmp_path / "e.json").read_text())["nats_per_character"] < report["chance"]


RECIPES = pytest.mark.parametrize(
    "recipe", [["small"], ["better"], ["better", "--sentences", "--no-stateful"]], ids=" ".join
)


@pytest.mark.thorough
@RECIPES
def test_a_killed_run_goes_on_to_the_bit(recipe, tmp_path):
    given = ["train", "--recipe", *recipe, "--smoke", "--seed", 4]
    programs.goes_on_to_the_bit("alice", *given, line="epoch   2", cwd=tmp_path)


@pytest.mark.thorough
@RECIPES
def test_the_plain_layers_give_the_same_losses(recipe, tmp_path):
    given = ["train", "--recipe", *recipe, "--smoke", "--input-dropout", 0.2]
    plain, fast = programs.plain_and_fast("alice", *given, cwd=tmp_path)
    assert len(plain) == 4 and plain == pytest.approx(fast, abs=1e-4)


def test_a_run_does_not_resume_without_its_best_weights(tmp_path):
    given = ["train", "--smoke", "--epochs", 2, "--out", "run"]
    assert run(*given, cwd=tmp_path)[0] == 0
    (tmp_path / "run" / "weights.npz").unlink()
    assert "weights.npz: no such file" in refused(*given, "--resume", cwd=tmp_path)


def test_a_new_run_moves_earlier_improvements_into_a_folder(tmp_path):
    for _ in range(2):
        code, out, err = run("train", "--smoke", "--epochs", 1, "--out", "run", cwd=tmp_path)
        assert code == 0, err
    assert "held an earlier run" in out
    for folder in ("run", "run/earlier_1"):
        assert len(list((tmp_path / folder).glob("improvement-01-*.npz"))) == 1


def test_what_is_refused(tmp_path):
    (tmp_path / "text.txt").write_text("short")
    for arguments, message in (
        (["text.txt"], "more than 50 characters"), (["missing.txt"], "no such file"),
        (["--smoke", "--sentences"], "--no-stateful"), (["--smoke", "--no-every-step"], "needs --every-step"),
        (["--smoke", "--dropout", "1"], "Dropout"), (["--smoke", "--recipe", "best"], "--recipe"),
    ):
        assert message in refused("train", *arguments, cwd=tmp_path)


def test_the_book_is_the_tutorials():
    if not (programs.DATA / "alice").is_dir():
        pytest.skip("the data set is not here")
    texts = [book.tutorials_text(programs.DATA / "alice" / name) for name in ("wonderland.txt", "pg11.txt")]
    assert len(texts[0]) == 147674 and len(set(texts[0])) == 47 and texts[0] == texts[1]
    with pytest.raises(ScratchError, match="not Project Gutenberg's Alice"):
        book.tutorials_text(programs.DATA / "aesop" / "pg21.txt")


def test_the_weights_that_come_with_it(tmp_path):
    code, out, _ = run("generate", "--seed", 1, "--count", 40, cwd=tmp_path)
    assert code == 0 and 80 < len(out) <= 50 + 40 + 1  # a line's end is two characters of the book, and one here
    code, out, _ = run("generate", "--seed", 1, "--count", 40, "--seed-text", "Alice said", cwd=tmp_path)
    assert code == 0 and out.startswith("alice said")


@pytest.mark.thorough
def test_the_score_holds(tmp_path):
    if not (programs.DATA / "alice").is_dir():
        pytest.skip("the data set is not here")
    env = {"SCRATCH_DATA": str(programs.DATA)}
    code, _, err = run("evaluate", "--report", "e.json", cwd=tmp_path, env=env)
    assert code == 0, err
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["nats_per_character"] < report["train_loss"] < 1.2219


@pytest.mark.parametrize(("name", "value"), [
    ("seeds", 5), ("seeds", []), ("seeds", [1]), ("window", "100"), ("window", -1), ("train_loss", "1"), ("layers", 0),
    ("input", "words"), ("stateful", 1), ("settings", None), ("hidden", 9),
])
def test_bad_metadata(name, value, tmp_path):
    from scratch.tools.files import read_arrays, write_arrays

    arrays, metadata = read_arrays(programs.ROOT / "weights" / "alice_lstm.npz")
    write_arrays(tmp_path / "changed.npz", arrays, metadata | {name: value})
    assert "changed.npz" in refused("generate", "--weights", "changed.npz", cwd=tmp_path)
