"""The programs about SQuAD: what they make of its files, what they print, and what they refuse."""

import json
import random

import numpy as np
import programs
import pytest
from bidaf.char2vec import NegativeSampling, SkipGram, nearest, pairs, set_characters
from bidaf.evaluate import by_kind, kind_of, near_misses
from bidaf.examples import LONGEST_ANSWER, best_spans, load_squad
from bidaf.prepare import read_prepared
from bidaf.squad import Question, words_with_places
from bidaf.trained import lexicon_of
from bidaf.words import WordVectors

from scratch.backend import precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.tools.files import read_arrays, write_arrays

PLACES = "Rome Oslo Lima Bonn Riga".split()


def article(title, names):
    """A paragraph for each name, with three questions about it."""
    paragraphs = []
    for k, name in enumerate(names):
        place = PLACES[k % 5]
        text = f"{name} lives in {place}—and likes naïve 東京 films of the 1990s."
        asked = {"Where does {} live?": place, "Who likes films?": name, "Of when are {}'s films?": "199"}
        paragraphs.append({"context": text, "qas": [
            {"id": f"{name}-{n}", "question": question.format(name),
             "answers": [{"text": answer, "answer_start": text.rindex(answer)}]}
            for n, (question, answer) in enumerate(asked.items())
        ]})
    return {"title": title, "paragraphs": paragraphs}


@pytest.fixture
def files(tmp_path):
    """A folder with SQuAD's files, of a few paragraphs, and one of GloVe's vectors."""
    folder = tmp_path / "squad"
    folder.mkdir()
    for name, articles in {
        "train-v1.1.json": [article("A", ["Ann", "Bob", "Eve", "Kim", "Lea"])],
        "dev-v1.1.json": [article("Warsaw", ["Max", "Tom"]), article("Oxygen", ["Zoe", "Ulf"])],
    }.items():
        (folder / name).write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    words = ["lives", "in", "rome", "oslo", "lima", "where", "does", "live", "?", "'s"]
    draw = np.random.default_rng(0)
    (tmp_path / "g.txt").write_text("".join(f"{w} {' '.join(map(str, draw.normal(size=4)))}\n" for w in words))
    return "--data", folder, "--glove", tmp_path / "g.txt"


SMALL = ("--epochs", "2", "--hidden", "4", "--features", "3", "--batch-size", "4", "--lr", "0.01")


def test_prepared_words_are_those_of_the_files(files, tmp_path):
    code, out, err = programs.run("bidaf", "prepare", "--whole", *files, "--out", "p", cwd=tmp_path)
    assert code == 0, err
    rows = {line[:48].strip(): line[48:].split() for line in out.splitlines() if line[48:].strip()}
    assert rows["questions"] == ["15", "12"] and rows["answers that are part of a word"] == ["5", "4"]
    assert rows["answers not at their recorded place"] == ["0", "0"]
    assert rows["answers, of at most 20 words"] == ["100.00%", "100.00%"]
    assert (tmp_path / "p/lengths.png").stat().st_size > 10_000
    data, lexicon, whole = read_prepared(tmp_path / "p/prepared.npz", 16)
    expected = load_squad(files[1], whole=True)
    assert whole and data == expected
    made = lexicon_of(*expected, glove=files[3], word_length=16)
    assert lexicon.words == made.words and lexicon.alphabet == made.alphabet
    assert np.array_equal(lexicon.vectors, made.vectors) and np.array_equal(lexicon.spelling, made.spelling)


@pytest.mark.thorough
def test_a_prepared_file_trains_the_same_network(files, tmp_path):
    for flags in (("prepare", "--whole", *files, "--out", "p"), ("train", "--whole", *files, *SMALL, "--out", "a"),
                  ("train", "--prepared", "p/prepared.npz", *SMALL, "--out", "b")):
        code, _, err = programs.run("bidaf", *flags, cwd=tmp_path)
        assert code == 0, err
    a, b = (programs.weights(tmp_path / folder / "weights.npz") for folder in "ab")
    assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
    assert "omit --data" in programs.refused("bidaf", "train", "--prepared", "p/prepared.npz", "--whole", cwd=tmp_path)


@pytest.mark.parametrize(("part", "old", "new"), [
    ("learn", b"]]]", b""), ("learn", b"[0", b"[-9"), ("held_out", b"[", b"{"), ("learn", b"]]]", b"]], 3]"),
    ("held_out", b", [[", b", [[99, "),
])
def test_a_damaged_prepared_file_is_refused(part, old, new, files, tmp_path):
    programs.run("bidaf", "prepare", "--whole", *files, "--out", "p", cwd=tmp_path)
    arrays, metadata = read_arrays(tmp_path / "p/prepared.npz")
    text = arrays[part].tobytes()
    assert old in text
    changed = text.replace(old, new)
    write_arrays(tmp_path / "p.npz", arrays | {part: np.frombuffer(changed, np.uint8)}, metadata)
    assert f"p.npz: {part}" in programs.refused("bidaf", "train", "--prepared", "p.npz", cwd=tmp_path)
    write_arrays(tmp_path / "p.npz", {"vectors": arrays["vectors"]}, metadata)
    assert "p.npz: learn" in programs.refused("bidaf", "train", "--prepared", "p.npz", cwd=tmp_path)


@pytest.mark.parametrize("flags", [
    ("--attention", "dot", "--modelling", "0", "--features", "0", "--spans", "each"), ("--modelling", "0"),
    ("--modelling", "3", "--context-words", "6"),
])
def test_every_step_of_the_network_can_be_left_out(flags, files, tmp_path):
    code, out, err = programs.run("bidaf", "train", "--whole", *files, *SMALL, *flags, cwd=tmp_path)
    assert code == 0, err
    assert "15 questions" in out or ("10 questions" in out and "5 with an answer beyond 6 words" in out)
    evaluated = ("evaluate", "--weights", "runs/bidaf/weights.npz", *files[:2], "--report", "e.json")
    code, out, err = programs.run("bidaf", *evaluated, "--predictions", "p.json", cwd=tmp_path)
    assert code == 0, err
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["num_questions"] == 12 and report["spans"] == ("each" if "each" in flags else "smart")
    assert {kind: row["number"] for kind, row in report["by_kind"].items()} == {"who": 4, "when": 4, "where": 4}
    assert len(json.loads((tmp_path / "p.json").read_text())) == 12
    assert f"exact match {report['exact_match']:.2f}, F1 {report['f1']:.2f}" in out


def test_evaluate_needs_no_questions_to_learn_from_and_says_when_none_are_held_out(files, tmp_path):
    code, _, err = programs.run("bidaf", "train", *files, *SMALL, cwd=tmp_path)
    assert code == 0, err
    (tmp_path / "squad/train-v1.1.json").unlink()
    evaluate = "evaluate", "--weights", "runs/bidaf/weights.npz", *files[:2]
    code, out, err = programs.run("bidaf", *evaluate, cwd=tmp_path)
    assert code == 0 and out.startswith("6 held-out questions"), err
    dev = tmp_path / "squad/dev-v1.1.json"
    dev.write_text(json.dumps({"version": "1.1", "data": [article("Oxygen", ["Zoe"])]}), encoding="utf-8")
    assert "held out" in programs.refused("bidaf", *evaluate, cwd=tmp_path)


def test_kinds_of_questions_and_near_misses():
    def question(name, text, *answers):
        return Question(name, words_with_places(text), 0, list(answers), None, False)

    asked = [question("1", "In which year?", "1990"), question("2", "Whose cat is it?", "the cat of Ann"),
             question("3", "WHO?", "Ann"), question("4", "Which one", "cat of Bob"), question("5", "x", "y")]
    assert [kind_of(one) for one in asked] == ["which", "other", "who", "which", "other"]
    guesses = {"1": "1990", "2": "cat of", "3": "Bob", "4": "cat", "5": "y"}
    rows = by_kind(asked, guesses)
    assert list(rows) == ["who", "which", "other"] and rows["which"] == (2, 50.0, 75.0, 0.5, 0.0)
    assert rows["who"] == (1, 0.0, 0.0, 1.0, 1.0)
    assert [missed.id for missed in near_misses(asked, guesses)] == ["2", "4"]


def test_a_paragraph_of_many_words():
    begin, end = np.full(5000, -9.0), np.full(5000, -9.0)
    begin[4990], end[4999], end[3] = -1, -1, 0
    assert best_spans(begin, end)[0][:2] == (4990, 4999)
    begin, end = np.random.default_rng(1).normal(size=(2, 60))
    pairs = [(begin[i] + end[j], i, j) for i in range(60) for j in range(i, min(60, i + LONGEST_ANSWER))]
    expected = [(i, j) for _, i, j in sorted(pairs, reverse=True)[:5]]
    assert [guess[:2] for guess in best_spans(begin, end, count=5)] == expected


# Characters -----------------------------------------------------------------------------------------------------


def test_pairs_of_characters():
    centers, others = pairs(np.array([[3, 4, 5, 0, 0], [6, 0, 0, 0, 0]]))
    assert sorted(zip(centers, others, strict=True)) == [(3, 4), (3, 5), (4, 3), (4, 5), (5, 3), (5, 4)]


def test_the_gradient_of_skip_gram():
    with precision("float64"):
        random.seed(1)
        model, centers = SkipGram(5, 3), to_device(np.array([1, 2, 2, 4]))
        others, loss = to_device(np.array([[1, 0], [3, 3], [2, 4], [0, 1]])), NegativeSampling()
        real = to_device(np.array([[True, False]] * 4))
        scores = model.forward(centers, others)
        assert to_host(scores)[1, 0] == pytest.approx(to_host(model.center.w.data[2] @ model.other.w.data[3]))
        gradient = loss.gradient(scores, real)
        p = 1 / (1 + np.exp(-to_host(scores)))
        assert loss.loss(scores, real) == pytest.approx(-np.log(np.where([True, False], p, 1 - p)).sum() / 4)
        model.backward(gradient)
        for table in (model.center, model.other):
            found = to_host(table.w.grad).copy()
            for k in np.ndindex(found.shape):
                moved = []
                for step in (1e-6, -2e-6):
                    table.w.data[k] += step
                    moved.append(loss.loss(model.forward(centers, others), real))
                table.w.data[k] += 1e-6
                assert found[k] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-8)


@pytest.mark.needs("sklearn")
def test_characters_in_the_same_company_come_near(files, tmp_path):
    flags = "char2vec", "--whole", *files[:2], "--epochs", "2", "--out", "c", "--batch-size", "8", "--report", "c.json"
    code, out, err = programs.run("bidaf", *flags, cwd=tmp_path)
    assert code == 0, err
    losses = json.loads((tmp_path / "c.json").read_text())["losses"]
    assert programs.run("bidaf", *flags[:-1], "p.json", "--plain", cwd=tmp_path)[0] == 0
    assert json.loads((tmp_path / "p.json").read_text())["losses"] == pytest.approx(losses, abs=1e-4)
    assert losses[1] < losses[0] < 6 * np.log(2) and "a  is most like  " in out
    assert (tmp_path / "c/char2vec.png").stat().st_size > 10_000
    lexicon = lexicon_of(load_squad(files[1], whole=True).learn, glove=None, word_length=8)
    layer = WordVectors(lexicon, 3)
    set_characters(layer, lexicon, tmp_path / "c/char2vec.npz")
    vectors = read_arrays(tmp_path / "c/char2vec.npz")[0]["vectors"]
    assert np.array_equal(to_host(layer.characters.w.data)[1:], vectors)
    assert len(nearest("a", lexicon.alphabet, vectors)) == 5
    with pytest.raises(ScratchError, match="without --features"):
        set_characters(WordVectors(lexicon, 0), lexicon, tmp_path / "c/char2vec.npz")
    write_arrays(tmp_path / "d.npz", {"vectors": vectors[:3]}, {"program": "bidaf char2vec", "alphabet": "abcd"})
    with pytest.raises(ScratchError, match="expected 4 vectors"):
        set_characters(layer, lexicon, tmp_path / "d.npz")


# Runs -----------------------------------------------------------------------------------------------------------


def test_a_smoke_run_learns_and_its_weights_answer(tmp_path):
    flags = ("train", "--smoke", "--out", "r", "--report", "r.json")
    code, out, err = programs.run("bidaf", *flags, cwd=tmp_path)
    assert code == 0, err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["exact_match"] > 90 and report["f1"] >= report["exact_match"] and report["loss"] < 0.5
    flags = ("ask", "Where does Tom live ?", "--paragraph", "Tom lives in Oslo . Zoe likes tea .")
    code, out, err = programs.run("bidaf", *flags, "--weights", "r/weights.npz", "--plot", "a.png", cwd=tmp_path)
    assert code == 0, err
    said = out.splitlines()
    assert "by its characters" in said[1] and said[2].endswith("  Oslo") and len(said) == 6  # three, and the picture
    assert (tmp_path / "a.png").exists()


@pytest.mark.thorough
def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    flags = ("train", "--smoke", "--epochs", "5", "--dropout", "0.1")
    programs.goes_on_to_the_bit("bidaf", *flags, line="epoch   2", cwd=tmp_path)


@pytest.mark.thorough
def test_the_plain_layers_give_the_same_losses(files, tmp_path):
    given = "train", "--whole", *files, *SMALL, "--epochs", 6, "--dropout", 0.3  # 24 steps
    plain, fast = programs.plain_and_fast("bidaf", *given, cwd=tmp_path)
    assert len(plain) == 6 and plain == pytest.approx(fast, abs=1e-4)
    flags = "evaluate", "--weights", "fast/weights.npz", *files[:2], "--report"
    reports = []
    for more in ([], ["--plain"]):
        code, _, err = programs.run("bidaf", *flags, "e.json", *more, cwd=tmp_path)
        assert code == 0, err
        reports.append({**json.loads((tmp_path / "e.json").read_text()), "seconds": None})
    assert reports[0] == reports[1]


def test_the_weights_are_the_averaged_ones(files, tmp_path):
    flags = "train", "--whole", *files, *SMALL, "--report", "r.json"
    code, _, err = programs.run("bidaf", *flags, cwd=tmp_path)
    assert code == 0, err
    saved, (checkpoint, metadata) = programs.weights(tmp_path / "runs/bidaf/weights.npz"), read_arrays(
        tmp_path / "runs/bidaf/checkpoint.npz"
    )
    assert set(saved) - {"lexicon.vectors"} == {name.removeprefix("model/") for name in checkpoint if "model/" in name}
    for name in set(saved) - {"lexicon.vectors"}:
        assert np.array_equal(saved[name], checkpoint[f"optimizer/average/{name}"])
        assert not np.array_equal(saved[name], checkpoint[f"model/{name}"])
    # So the weights score what the last epoch of the run did.
    code, _, err = programs.run("bidaf", "evaluate", "--weights", "runs/bidaf/weights.npz", *files[:2], "--report",
                                "e.json", cwd=tmp_path)
    assert code == 0, err
    run, evaluated = (json.loads((tmp_path / name).read_text()) for name in ("r.json", "e.json"))
    last = metadata["progress"]["rows"][-1]
    assert [run[name] for name in ("exact_match", "f1")] == [evaluated[name] for name in ("exact_match", "f1")]
    assert run["exact_match"] == last["exact_match"] and run["loss"] == last["loss"]


def test_what_cannot_be_asked_is_refused(tmp_path):
    assert "of at least one word each" in programs.refused("bidaf", "ask", "?", "--paragraph", " ", cwd=tmp_path)
    assert "no such file" in programs.refused("bidaf", "ask", "--weights", "none.npz", cwd=tmp_path)
    (tmp_path / "s").mkdir()
    assert "contains no" in programs.refused("bidaf", "train", "--data", "s", cwd=tmp_path)
    (tmp_path / "s/dev-v1.1.json").write_text('{"data": []}')
    (tmp_path / "s/train-v1.1.json").write_text('{"version": "v2.0", "data": []}')
    assert "SQuAD 2.0" in programs.refused("bidaf", "train", "--data", "s", cwd=tmp_path)
    (tmp_path / "s/train-v1.1.json").write_text('{"data": []}')
    assert "no question" in programs.refused("bidaf", "prepare", "--data", "s", cwd=tmp_path)


def test_the_committed_weights_answer_the_example_of_the_readme(tmp_path):
    code, out, err = programs.run("bidaf", "ask", cwd=tmp_path)
    assert code == 0, err
    asked, *said = out.splitlines()
    assert [line.split("  ")[1] for line in said] == ["Wilhelm Steinitz", "Steinitz", "Wilhelm"]
    assert asked == "Who became the first world champion?" and float(said[0].split()[0]) > 0.9
    code, out, err = programs.run("bidaf", "ask", "What computer beat Garry Kasparov?", "--plot", "a.png", cwd=tmp_path)
    assert code == 0 and out.startswith("(About the built-in paragraph on chess") and "Chess is" not in out, err
    flags = "ask", "Is 東京 large?", "--paragraph", "東京 is large .", "--plot", "a.png"
    code, out, err = programs.run("bidaf", *flags, cwd=tmp_path)
    assert code == 0 and not err, err


@pytest.mark.thorough
def test_weights_that_claim_other_sizes_are_refused(files, tmp_path):
    code, _, err = programs.run("bidaf", "train", "--whole", *files, *SMALL, "--out", "w", cwd=tmp_path)
    assert code == 0, err
    arrays, metadata = read_arrays(tmp_path / "w/weights.npz")
    for change, words in (({"hidden": 10**9}, "hidden: expected"), ({"attention": "none"}, "attention: "),
                          ({"hidden": 10**6}, "does not fit its arrays"), ({"hidden": 5}, "does not fit its arrays"),
                          ({"modelling": 9}, "modelling: expected"), ({"words": ["a"]}, "expected 1 vectors"),
                          ({"spans": 1}, "spans: expected"), ({"features": 4}, "does not fit its arrays")):
        write_arrays(tmp_path / "x.npz", arrays, metadata | change)
        assert words in programs.refused("bidaf", "ask", "--weights", "x.npz", cwd=tmp_path)
    for value in (1e300, 1e38):  # the one is not finite in float32, the other makes sums that are not
        changed = {k: a.astype(float) if k == "lexicon.vectors" else np.full(a.shape, value) for k, a in arrays.items()}
        write_arrays(tmp_path / "x.npz", changed, metadata)
        assert "not finite" in programs.refused("bidaf", "ask", "--weights", "x.npz", cwd=tmp_path)
    long = " ".join(["Ann lives in Rome ."] * 1000)
    code, out, err = programs.run("bidaf", "ask", "Where?", "--paragraph", "-", "--weights", "w/weights.npz",
                                  cwd=tmp_path, input=long)
    assert code == 0 and "has 5000 words" in out, err
    code, out, err = programs.run("bidaf", "ask", "Who!", "--paragraph", "Ann", "--weights", "w/weights.npz",
                                  cwd=tmp_path)
    assert code == 0 and out == "Who!\n(No word vector, so known only by its characters: Who.)\n1.000  Ann\n", err
