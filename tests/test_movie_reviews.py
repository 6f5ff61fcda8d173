"""Movie reviews: the table and its splits, words, the three networks, runs, and what is rejected."""

import json

import numpy as np
import programs
import pytest
from movie_reviews import network, phrases, train
from movie_reviews.phrases import Phrase, Words
from programs import DATA, needs_data

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.gradient_check import gradient_errors
from scratch.text import Vocabulary
from scratch.tools.files import read_arrays, write_arrays


def run(*arguments, **options):
    return programs.run("movie_reviews", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("movie_reviews", *arguments, **options)


def test_no_phrase_of_a_held_out_sentence_is_in_the_training_set():
    rows = [Phrase(number, number // 7, "a", 2) for number in range(1, 3000)]
    training, validation, held_out = phrases.split(rows, "sentence")
    assert {row.sentence_id % 10 for row in held_out} == {0}
    assert not {row.sentence_id for row in held_out} & {row.sentence_id for row in training + validation}
    assert not {row.sentence_id for row in validation} & {row.sentence_id for row in training}
    by_phrase = phrases.split(rows, "phrase")
    assert {row.phrase_id % 10 for row in by_phrase[2]} == {0}
    assert sorted(row for part in by_phrase for row in part) == rows


@pytest.mark.parametrize(("content", "words"), [
    ("", "has no phrases"),
    ("PhraseId\tSentenceId\tPhrase\tSentiment\n1\t1\ta\n", "line 2 does not have the fields PhraseId"),
    ("PhraseId\tSentenceId\tPhrase\tSentiment\n1\t1\ta\t1\n2\tx\ta\t1\n", "line 3 does not have the fields PhraseId"),
    ("PhraseId\tSentenceId\tPhrase\tSentiment\n1\t1\ta\t5\n", "line 2 has Sentiment 5; expected 0 to 4"),
    (b"PhraseId\tSentenceId\tPhrase\tSentiment\n1\t1\t\xff\t1\n", "not UTF-8 .byte 41."),
])
def test_a_bad_table_is_refused(tmp_path, content, words):
    path = tmp_path / "train.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ScratchError, match=words):
        phrases.read_phrases(tmp_path)


def test_words_in_batches():
    reader = Words(Vocabulary(["", "good", "film"]))
    rows = reader.encode(["Good film", "an odd film", "", "😀"])
    assert rows == [[1, 2], [0, 0, 2], [0], [0]]
    ids, mask = reader.batch(rows)
    assert ids.tolist() == [[1, 2, 0], [0, 0, 2], [0, 0, 0], [0, 0, 0]]
    assert mask["mask"].sum(axis=1).tolist() == [2, 3, 1, 1]


@pytest.mark.parametrize("kind", [network.BagOfWords, network.WordLstm])
def test_gradients_of_the_networks(kind):
    ids, mask = np.array([[1, 3, 2], [4, 0, 0]]), np.array([[True, True, True], [True, False, False]])
    with precision("float64"):
        model = kind(5, 3, 4, 2, dropout=0.0)
        assert max(gradient_errors(model, to_device(ids), mask=to_device(mask)).values()) < 1e-6


def test_the_order_of_the_words_makes_no_difference_to_a_bag():
    model = network.BagOfWords(5, 3, 4, 2, dropout=0.0)
    one, other = (to_host(model.forward(to_device(np.array([ids])))) for ids in ([1, 2, 3], [3, 1, 2]))
    assert np.allclose(one, other, atol=1e-6)


def test_words_start_from_their_vectors():
    model = network.BagOfWords(4, 2, 3, 2, dropout=0.0)
    vectors = np.array([[1, 2], [3, 4], [5, 6]])
    found = network.start_from(model, {"": 0, "b": 1, "a": 2, "c": 3}, ["a", "b", "x"], vectors)
    assert found == 2 and model.embedding.w.data[:3].tolist() == [[0, 0], [3, 4], [1, 2]]
    with pytest.raises(ScratchError, match="expected vectors of 2 numbers"):
        network.start_from(model, {}, ["a"], np.zeros((1, 3)))


def test_characters_are_shifted_in_training_only():
    reader = phrases.Characters("abc", 20)
    rows = reader.encode(["abc", "ca"] * 50)
    assert np.array_equal(to_host(reader.batch(rows)[0]), rows)
    moved = to_host(reader.batch(rows, drop=1e-9)[0])
    places = (moved >= 0).argmax(axis=1)
    assert set(places) == set(range(phrases.SHIFTS))
    for row, known, place in zip(moved, rows, places, strict=True):
        assert np.array_equal(row[place:], known[: 20 - place])


@pytest.mark.parametrize("split", phrases.SPLITS)
@pytest.mark.parametrize("kind", network.KINDS)
def test_the_committed_weights_predict(kind, split, tmp_path):
    flags = ["--model", kind, "--split", split]
    code, out, err = run("predict", *flags, "a wonderful , moving film", "awful and boring", cwd=tmp_path)
    assert code == 0, err
    assert " positive (" in out.splitlines()[1] and " negative (" in out.splitlines()[3]


@pytest.mark.parametrize("kind", [
    "glove", pytest.param("lstm", marks=pytest.mark.thorough), pytest.param("characters", marks=pytest.mark.thorough),
])
def test_a_run(kind, tmp_path):
    flags = ["--smoke", "--seed", "1", "--model", kind, "--report", "r.json", "--out", "run"]
    code, _, err = run("train", *flags, cwd=tmp_path)
    assert (code, err) == (0, ""), err
    assert json.loads((tmp_path / "r.json").read_text())["accuracy"] > 0.8
    flags = ["--weights", "run/weights.npz"]
    code, out, _ = run("predict", *flags, "Superb idea", "really AWFUL film", cwd=tmp_path)
    assert code == 0 and out.splitlines()[1].startswith("  positive (") and "\n  negative (" in out
    code, out, _ = run("predict", *flags, cwd=tmp_path, input="superb film\n")
    assert code == 0 and "  positive (" in out
    table = "PhraseId\tSentenceId\tPhrase\tSentiment\n" + "".join(
        f"{row.phrase_id}\t{row.sentence_id}\t{row.text}\t{row.label}\n" for row in train.SMOKE
    )
    (tmp_path / "train.tsv").write_text(table)
    code, out, _ = run("evaluate", *flags, "--data", "train.tsv", "--report", "e.json", "--plot", "c.png", cwd=tmp_path)
    assert code == 0 and json.loads((tmp_path / "e.json").read_text())["accuracy"] > 0.8
    assert "  words  phrases   error" in out and (tmp_path / "c.png").exists()
    code, out, _ = run("predict", *flags, "--summary", cwd=tmp_path)
    assert code == 0 and len(out.splitlines()) > 4
    arrays, metadata = read_arrays(tmp_path / "run" / "weights.npz")
    for change in ({"model": "gru"}, {"split": "word"}, {"dim": 10**6}, {"length": 10**6}, {"alphabet": "", "dim": 0}):
        write_arrays(tmp_path / "broken.npz", arrays, {**metadata, **change})
        if change.keys() & metadata.keys():
            refused("predict", "--weights", "broken.npz", "a", cwd=tmp_path)


@pytest.mark.thorough
def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    programs.goes_on_to_the_bit("movie_reviews", "train", "--smoke", "--seed", 4, line="epoch   3", cwd=tmp_path)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", network.KINDS)
def test_the_plain_layers_give_the_same_losses(kind, tmp_path):
    """Two epochs of ten steps or more, with Dropout, and with words or characters made unknown."""
    given = ["train", "--smoke", "--model", kind, "--dropout", 0.4, "--drop", 0.1, "--epochs", 2, "--lr", 0.002]
    plain, fast = programs.plain_and_fast("movie_reviews", *given, cwd=tmp_path)
    assert len(plain) == 2 and plain == pytest.approx(fast, abs=1e-4)


def test_bad_flags_and_data_are_refused(tmp_path):
    assert "kaggle" in refused("train", "--data", "nowhere", cwd=tmp_path)
    assert "probabilities below 1" in refused("train", "--dropout", 1, cwd=tmp_path)
    (tmp_path / "w.npz").write_text("no")
    refused("predict", "--weights", "w.npz", "a", cwd=tmp_path)
    env = {"SCRATCH_DATA": str(tmp_path)}
    assert "an account is needed" in refused("train", cwd=tmp_path, env=env)


@needs_data("movie_reviews")
def test_the_real_phrases_are_read():
    rows = phrases.read_phrases(DATA / "movie_reviews")
    counts = np.bincount([row.label for row in rows])
    assert len(rows) == 156_060 and counts.tolist() == [7072, 27273, 79582, 32927, 9206]


@needs_data("movie_reviews")
@pytest.mark.parametrize(("kind", "score"), [("characters", 0.62), ("glove", 0.66), ("lstm", 0.675)])
def test_the_committed_weights_have_their_score(kind, score, tmp_path):
    flags = ["--model", kind, "--data", DATA / "movie_reviews", "--report", "r.json"]
    code, _, err = run("evaluate", *flags, cwd=tmp_path)
    assert code == 0, err
    assert json.loads((tmp_path / "r.json").read_text())["accuracy"] > score
