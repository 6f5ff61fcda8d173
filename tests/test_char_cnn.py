"""The character CNN: its network, a run, a killed run, predictions, and what is rejected."""

import json
import math

import numpy as np
import programs
import pytest
from char_cnn import network, train
from char_cnn.config import check_config
from conftest import ON_THREADS
from programs import DATA, needs_data

from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.fast import fast
from scratch.tools.files import read_arrays, write_arrays

SMALL = network.SIZES["small"]


def run(*arguments, **options):
    return programs.run("char_cnn", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("char_cnn", *arguments, **options)


# The network ----------------------------------------------------------------------------------------------------


def test_lengths_are_those_of_the_paper():
    """1014 characters leave 34 frames (Zhang et al. 2015, section 2.3)."""
    rows = list(network.summary(network.build(SMALL, 70, 1014, 4), 1014))
    assert [row.split()[-4] for row in rows if row.startswith("MaxPool")] == ["336", "110", "34"]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_summary_has_the_shapes_of_the_outputs(batch_norm):
    config = {"conv": [[5, 3, 2], [4, 2, 0]], "fc": [6], "dropout": 0.5, "batch_norm": batch_norm}
    model, length = network.build(config, 7, 11, 3), 11
    rows, x = list(network.summary(model, length))[2:-1], np.zeros((2, 11), dtype=int)
    for layer, row in zip(model.layers, rows, strict=True):
        x = layer.forward(x)
        assert " x ".join(map(str, x.shape[1:])) in row


@pytest.mark.parametrize("config", [SMALL, {"conv": [[3, 4, 2], [3, 3, -1], [3, 2, 0]], "fc": [2], "dropout": 0.0}])
def test_the_shortest_text_is_just_long_enough(config):
    shortest = network.shortest(config)
    config = {**config, "conv": [[3, *row[1:]] for row in config["conv"]], "fc": [2]}
    model = network.build(config, 4, shortest, 2)
    assert model.forward(np.zeros((1, shortest), dtype=int)).shape == (1, 2)
    with pytest.raises(ScratchError, match=f"use --max-length {shortest} or more"):
        network.build(config, 4, shortest - 1, 2)


@ON_THREADS
def test_threads_do_not_change_the_scores():
    config = {"conv": [[6, 3, 2], [5, 3, 2]], "fc": [7], "dropout": 0.0}
    model = network.build(config, 9, 20, 3)
    ids = np.random.default_rng(0).integers(-1, 9, (7, 20))
    whole = model.forward(ids)
    assert np.allclose(fast(model, threads=3).forward(ids), whole, atol=1e-5)


@pytest.mark.parametrize(("config", "words"), [
    ({"conv": [[3, 4, 2]], "fc": [2], "pool": 3}, "unknown key 'pool'"),
    ({"conv": [[3, 4, 2]]}, "here: fc: expected a list, got nothing"),
    ({"conv": [[3, 4]], "fc": []}, "expected a list of 3, got a list of 2"),
    ({"conv": [[3, 0, 2]], "fc": []}, "expected a whole number from 1 to 65536, got 0"),
    ({"conv": [[3, 4, 2.0]], "fc": []}, "expected a whole number from -1 to 65536, got 2.0"),
    ({"conv": [[3, 4, 2]], "fc": [10**9]}, "expected a whole number from 1 to 65536, got 10"),
    ({"conv": [[3, 4, 0], [3, 4, 2]], "fc": []}, "last convolution"),
    ({"conv": [[3, 4, 2]], "fc": [], "dropout": 1}, "dropout"),
    ({"conv": [[3, 4, 2]], "fc": [], "batch_norm": 1}, "true or false"),
    ({"conv": [], "fc": []}, "expected 1 to 100 convolutions"),
])
def test_an_invalid_configuration_is_refused(config, words):
    with pytest.raises(ScratchError, match=words):
        check_config(config, "here")


# Runs -----------------------------------------------------------------------------------------------------------


def test_a_run(tmp_path):
    code, out, err = run("train", "--smoke", "--report", "r.json", "--model_name", "toy", "--out", "run", cwd=tmp_path)
    assert (code, err) == (0, ""), err
    assert out.count("\nepoch ") == 8
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["accuracy"] == 1 and report["validation"] < 0.2
    metrics = (tmp_path / "run" / "toy_metrics.txt").read_text()
    assert metrics.count("precision") == 8 and "epoch 8: training loss" in metrics
    for picture in ("toy_loss.png", "toy_confusion.png"):
        assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")
    model = ["--model", "run/toy_weights.npz"]
    texts = ["--text", "It was GOOD again", "--text", "it was awful again"]
    code, out, _ = run("predict", *model, *texts, "--json", cwd=tmp_path)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [row["class"] for row in found] == ["1", "0"]
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    code, out, _ = run("predict", *model, cwd=tmp_path, input="it was great\n\nit was dull\n")
    assert code == 0 and out.startswith("it was great\n  1 (")
    assert "has no character" in refused("predict", *model, "--text", "😀", "--text", "it was great", cwd=tmp_path)
    assert "no texts" in refused("predict", *model, cwd=tmp_path)
    (tmp_path / "t.csv").write_text("SentimentText,Sentiment\nit was nice,1\nit was dull again,0\n")
    code, out, _ = run("evaluate", *model, "--data-path", "t.csv", "--report", "e.json", cwd=tmp_path)
    assert code == 0 and json.loads((tmp_path / "e.json").read_text())["accuracy"] == 1
    assert "not trained on a known data set" in refused("evaluate", *model, cwd=tmp_path)
    code, out, _ = run("predict", *model, "--summary", cwd=tmp_path)
    assert code == 0 and "Flatten()" in out


@pytest.mark.thorough
def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    flags = ["train", "--smoke", "--seed", 4, "--dropout_input", 0.02]
    programs.goes_on_to_the_bit("char_cnn", *flags, line="epoch   3", cwd=tmp_path)
    assert "with seed = 4, not 5" in refused(*flags, "--seed", 5, "--out", "killed", "--resume", cwd=tmp_path)


@pytest.mark.thorough
def test_the_plain_layers_give_the_same_losses(tmp_path):
    """Three epochs of eight steps, with Dropout on the input and in the classifier."""
    given = ["train", "--smoke", "--dropout", 0.3, "--dropout_input", 0.02, "--epochs", 3]
    plain, fast = programs.plain_and_fast("char_cnn", *given, cwd=tmp_path)
    assert len(plain) == 3 and plain == pytest.approx(fast, abs=1e-4)


def test_a_run_with_the_focal_loss_and_class_weights(tmp_path):
    flags = ["train", "--smoke", "--focal_loss", 2, "--class_weights", 1, "--report", "r.json"]
    code, out, err = run(*flags, cwd=tmp_path)
    assert code == 0, err
    assert "(chance" not in out  # of cross-entropy, which is no reference for the focal loss
    assert json.loads((tmp_path / "r.json").read_text())["loss"] < 0.25 * math.log(2)  # the focal loss of p = 0.5


def test_the_rate_of_momentum_is_pytorchs():
    """Under a constant gradient g, PyTorch's steps tend to lr / (1 - 0.9) g."""
    layer = Linear(1, 1)
    optimizer = train.make_optimizer("sgd", 0.01, 0.0)
    for _ in range(300):
        before = float(layer.w.data[0, 0])
        layer.w.grad[...] = 0.5
        optimizer.step(layer)
    assert before - float(layer.w.data[0, 0]) == pytest.approx(0.05, rel=1e-3)


def test_rows_of_rare_classes_weigh_more():
    assert train.class_weights_of(np.array([0, 0, 0, 0, 2, 2]), 3) == [1.0, 4.0, 2.0]


def test_a_run_without_a_checkpoint(tmp_path):
    flags = ["train", "--smoke", "--epochs", 1, "--output", "run"]
    assert run(*flags, "--checkpoint", 0, cwd=tmp_path)[0] == 0
    assert not (tmp_path / "run" / "checkpoint.npz").exists()
    assert "there is no run to resume" in refused(*flags, "--resume", cwd=tmp_path)


@pytest.mark.needs("tensorboardX")
def test_a_log_for_tensorboard(tmp_path):
    assert run("train", "--smoke", "--epochs", 1, "--log_path", "logs", cwd=tmp_path)[0] == 0
    assert any(path.name.startswith("events.") for path in (tmp_path / "logs").iterdir())


@pytest.mark.thorough
def test_bad_flags_and_data_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("SentimentText,Sentiment\n" + "".join(f"text {k},{k % 2}\n" for k in range(20)))
    flags = ["train", "--data_path", "t.csv"]
    for more, words in (
        (["--text_column", "Text"], "no column 'Text'; there are: SentimentText, Sentiment"),
        (["--number-of-classes", 3], "has 2 classes: 0, 1"),
        (["--number_of_characters", 70], "the alphabet has 69"),
        (["--max_length", 20], "use --max-length 123 or more"),
        (["--size", "huge"], "--size: expected small, large, compact, or"),
        (["--model_name", "../x"], "--model_name"),
        (["--validation_split", 1], "fraction above 0 and below 1"),
        (["--data_path", "nowhere.csv"], "no such file"),
        (["--dropout_input", 1], "probability below 1"),
        (["--dropout", 1], "dropout: expected a number from 0 to below 1"),
        (["--report", "t.csv"], "in use for something else"),
    ):
        assert words in refused(*flags, *more, cwd=tmp_path)
    (tmp_path / "c.json").write_text('{"tiny": {"conv": [[4, 3, 2]], "fc": [4], "pools": 1}}')
    assert "unknown key 'pools'" in refused(*flags, "--config_path", "c.json", "--size", "tiny", cwd=tmp_path)
    (tmp_path / "r.json").write_text('{"model_parameters": {"name": "tiny", "conv": [[4, 3, 2, 1]], "fc": [4]}}')
    assert "expected a list of 3" in refused(*flags, "--config_path", "r.json", "--size", "tiny", cwd=tmp_path)
    assert "--checkpoint 0 keeps none" in refused(*flags, "--resume", "--checkpoint", 0, cwd=tmp_path)
    assert "there are: tiny" in refused(*flags, "--config_path", "c.json", cwd=tmp_path)
    table.write_text("SentimentText,Sentiment\n" + "text,1\n" * 20)
    assert "all labels are '1'" in refused(*flags, cwd=tmp_path)
    table.write_text("SentimentText,Sentiment\ntext,1\nother,0\n")
    assert "too few rows" in refused(*flags, cwd=tmp_path)


@pytest.mark.thorough
def test_a_table_of_other_columns_is_read_with_the_flags_that_the_program_names(tmp_path):
    words = {"billing": "invoice refund card charge receipt", "technical": "crash login bug screen install"}
    rows = [f"my {a} and {b} {end},{topic}" for topic, some in words.items() for a in some.split() for b in some.split()
            for end in ("please help", "is wrong", "again")]
    (tmp_path / "t.csv").write_text("\n".join(["message,topic", *rows]) + "\n")
    flags = ["train", "--data_path", "t.csv", "--out", "run"]
    message = refused(*flags, cwd=tmp_path)
    assert "'SentimentText'" in message and "message, topic; choose with --text_column and --label_column" in message
    flags += ["--text_column", "message", "--label_column", "topic"]
    message = refused(*flags, "--label_column", "message", cwd=tmp_path)
    assert "more than 100 different labels" in message and "--label_column" in message
    code, out, err = run(*flags, "--epochs", 1, cwd=tmp_path)
    assert code == 0, err
    (advice,) = [line for line in out.splitlines() if line.startswith("(With so few texts")]
    code, out, err = run(*flags, *advice.strip("()").split(": ")[1].split(), cwd=tmp_path)
    assert code == 0 and "(With so few" not in out, err
    figures = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert max(row["accuracy"] for row in figures) > 0.9


def test_a_loss_that_stays_at_chance_is_reported(tmp_path):
    table = "SentimentText,Sentiment\n" + "".join(f"text {k},{k % 2}\n" for k in range(40))
    (tmp_path / "t.csv").write_text(table)
    (tmp_path / "c.json").write_text('{"tiny": {"conv": [[4, 3, 2]], "fc": []}}')
    flags = ["train", "--data", "t.csv", "--config_path", "c.json", "--size", "tiny", "--lr", 1e-6, "--max_length", 9]
    code, out, err = run(*flags, cwd=tmp_path)
    assert code == 0 and "still that of a uniform guess" in out, err


@pytest.mark.thorough
def test_a_model_that_does_not_fit_its_metadata_is_refused(tmp_path):
    assert run("train", "--smoke", "--epochs", 1, "--out", "run", cwd=tmp_path)[0] == 0
    arrays, metadata = read_arrays(tmp_path / "run" / "weights.npz")
    for change in (
        {"max_length": 90}, {"max_length": 10**11}, {"alphabet": "ab"}, {"steps": ["shout"]}, {"steps": [[]]},
        {"labels": ["0"]}, {"names": [1, 2]},
        {"config": {"conv": [[60000, 3, 3]], "fc": []}}, {"max_length": "30"}, {"program": "char_lm"},
    ):
        write_arrays(tmp_path / "broken.npz", arrays, metadata | change)
        refused("predict", "--model", "broken.npz", "--text", "it was", cwd=tmp_path)


def test_the_committed_weights_predict(tmp_path):
    code, out, err = run("predict", "--text", "Shares fell on Wall Street", "--text", "The cup final", cwd=tmp_path)
    assert code == 0, err
    assert out.splitlines()[1].startswith("  Business (") and out.splitlines()[3].startswith("  Sports (")
    reviews = ["--model", network.WEIGHTS.with_name("french_reviews.npz")]
    texts = "génial , à ne pas manquer\nsérie nulle et sans intérêt\n"
    code, out, err = run("predict", *reviews, cwd=tmp_path, input=texts)
    assert code == 0, err
    assert out.splitlines()[1].startswith("  1 (") and out.splitlines()[3].startswith("  0 (")
    code, out, _ = run("evaluate", "--summary", cwd=tmp_path)
    assert code == 0 and "MaxOverTime()" in out


@pytest.mark.thorough
@needs_data("ag_news_csv")
def test_the_committed_weights_have_their_score(tmp_path):
    flags = ["--data_path", DATA / "ag_news_csv" / "test.csv", "--report", "r.json"]
    code, _, err = run("evaluate", *flags, cwd=tmp_path)
    assert code == 0, err
    assert json.loads((tmp_path / "r.json").read_text())["accuracy"] > 0.845
