"""The small GPT: its tokens, its windows, complete and killed runs, samples, and what is refused."""

import json
import random

import numpy as np
import programs
import pytest
from char_lm import texts
from char_lm.train import SMOKE
from gpt import attention, network, sample, tokens, train
from programs import weights

from scratch.backend import to_device, to_host
from scratch.bpe import BytePairs
from scratch.fast import fast
from scratch.functions import log_softmax
from scratch.layer import evaluating
from scratch.text import Vocabulary

TEXT = "Möwen, 你好!"
LETTERS = Vocabulary(sorted(set(TEXT)))
BOTH = [tokens.Tokens(LETTERS), tokens.Tokens(LETTERS, BytePairs.learn("wen wen", 258))]
SIZES = {"layers": 2, "heads": 2, "features": 8, "context": 12, "bias": True}


def run(*arguments, **options):
    return programs.run("gpt", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("gpt", *arguments, **options)


def built(vocab_size=5, seed=0, **options):
    random.seed(seed)
    model = network.build(vocab_size, **(SIZES | options))
    for p in model.parameters():  # larger than the initial ones, so that the attention is not uniform
        p.data += 0.3 * to_device(np.random.default_rng(seed).normal(size=p.data.shape))
    return model


@pytest.mark.parametrize("kind", BOTH, ids=["characters", "bpe"])
def test_tokens(kind):
    ids = kind.encode(TEXT)
    assert kind.size == len(kind.texts) == len(kind.lengths) and max(ids) < kind.size
    assert "".join(kind.decoded(ids)) == TEXT and kind.num_characters(ids) == len(TEXT)
    assert np.array_equal(kind.of(np.array(LETTERS.encode(TEXT))), ids)


def test_a_cut_character_is_printed_when_it_is_complete():
    _, pairs = BOTH
    assert list(pairs.decoded("ö你".encode()[:-1])) == ["", "ö", "", "", "\ufffd"]


@pytest.mark.parametrize("overlap", [0, 1, 3])
@pytest.mark.parametrize("length", [2, 5, 6, 9, 22])
def test_windows_count_every_id_once(length, overlap):
    ids, counted = np.arange(length), []
    for given, following, seen in network.windows(ids, 4, overlap):
        assert np.array_equal(given + 1, following) and len(given) <= 4
        assert seen == (overlap if counted else 0)
        counted += following[seen:].tolist()
    assert counted == list(range(1, length))


@pytest.mark.parametrize("overlap", [0, 5])
def test_the_loss_of_a_text_is_that_of_its_windows(overlap):
    ids, model, kind = np.random.default_rng(0).integers(0, 5, 100), built(), tokens.Tokens(Vocabulary("abcde"))
    total = 0.0
    with evaluating(model):
        for given, following, seen in network.windows(ids, 12, overlap):
            p = to_host(log_softmax(model.forward(to_device(given[None]))[0]))
            total -= p[range(seen, len(given)), following[seen:]].sum()
    for batch_size in (1, 3, 100):
        found = network.nats(model, kind, ids, 12, overlap, batch_size)
        assert found == pytest.approx(total / 99, abs=1e-5)


def test_random_windows_come_from_the_whole_text():
    ids, starts = np.arange(30), set()
    for given, following in train.random_windows(ids, 10, 4, 200):
        assert given.shape == (4, 10) and np.array_equal(following, given + 1)
        starts |= set(given[:, 0].tolist())
    assert starts == set(range(20))


@pytest.mark.parametrize("seed", [[1], [0, 1, 2, 3, 4] * 2, [0, 1, 2, 3, 4] * 5])
def test_a_state_changes_no_sample(seed):
    """Past the end of the context too, where the state is begun anew."""
    drawn = []
    for stateful in (True, False):
        random.seed(1)
        drawn.append(list(sample.generate(built(stateful=stateful), seed, 40, 12, num_texts=3)))
    assert drawn[0] == drawn[1] and len(drawn[0]) == 40 and all(len(ids) == 3 for ids in drawn[0])


def test_scores_by_a_state_equal_those_without():
    ids = to_device(np.random.default_rng(2).integers(0, 5, (2, 12)))
    model, stateful = built(), fast(built(stateful=True), threads=2)
    with evaluating(model), evaluating(stateful):
        pieces = [ids[:, :5], *(ids[:, k : k + 1] for k in range(5, 12))]
        found = np.concatenate([to_host(stateful.forward(piece)) for piece in pieces], axis=1)
        assert np.allclose(found, to_host(model.forward(ids)), atol=1e-5)


def test_the_attention_is_that_of_the_forward():
    ids, model = to_device(np.array([0, 3, 1, 1, 4, 2])), built()
    found, p = attention.attention_of(model, ids)
    with evaluating(model):
        expected = to_host(log_softmax(model.forward(ids[None])[0, -1]))
    assert np.allclose(np.log(to_host(p)), expected, atol=1e-5)
    assert found.shape == (2, 2, 6, 6) and np.allclose(to_host(found).sum(axis=-1), 1, atol=1e-6)
    assert not np.triu(to_host(found), 1).any()


def test_a_learning_rate_rises_and_falls_to_its_end():
    flags = train.flags_of(["--recipe", "nanogpt-cpu"])
    rates = [train.learning_rate(step, flags) for step in (0, 99, 100, 1050, 2000)]
    assert rates == pytest.approx([0.001 / 101, 0.001 * 100 / 101, 0.001, 0.00055, 0.0001])


def test_a_run(tmp_path):
    code, out, err = run("train", "--smoke", "--report", "r.json", "--out", "run", cwd=tmp_path)
    assert (code, err) == (0, ""), err
    assert out.count("\nepoch ") == 5 and "chance is 2.708 nats" in out
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["nats_per_character"] < report["chance"] / 2 and report["epochs"] == 5
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    flags = ["--weights", "run/weights.npz", "--seed", 1, "--count", 40, "--seed-text"]
    code, first, _ = run("sample", *flags, "wood", cwd=tmp_path)
    assert code == 0 and len(first) == 45 and first.startswith("wood")
    assert run("sample", *flags, "wood", "--plain", cwd=tmp_path)[1] == first
    assert "the seed contains 'YZ', which the training text does not" in refused("sample", *flags, "ZwoY", cwd=tmp_path)
    code, skipped, _ = run("sample", *flags, "wZood", "--skip-unknown", cwd=tmp_path)
    assert code == 0 and skipped == "(omitted from the seed: 'Z')\n" + first
    code, several, _ = run("sample", *flags, "wood", "--samples", 3, cwd=tmp_path)
    assert code == 0 and several.count("wood") >= 3 and several.startswith("--- 1 ---\nwood")
    greedy = [run("sample", *flags, "wood", *more, cwd=tmp_path)[1]
              for more in (["--greedy"], ["--temperature", 0], ["--top-k", 1], ["--top-p", 1e-6])]
    assert len(set(greedy)) == 1
    assert "at least one character" in refused("sample", *flags, "", cwd=tmp_path)
    assert "above 0 and at most 1" in refused("sample", *flags, "wood", "--top-p", 1.5, cwd=tmp_path)
    for command in ("sample", "evaluate"):
        error = refused(command, "--weights", "run/weights.npz", "--context", 17, cwd=tmp_path)
        assert "these weights have learned 16 positions, not 17" in error
    (tmp_path / "text.txt").write_text(SMOKE)
    flags = ["text.txt", "--weights", "run/weights.npz", "--report", "e.json"]
    assert run("evaluate", *flags, cwd=tmp_path)[0] == 0
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["nats_per_character"] == pytest.approx(report["nats_per_character"], abs=1e-6)
    assert found["overlapping"] < found["nats_per_character"]
    flags = ["--weights", "run/weights.npz", "--seed-text", "How much wood would a woodchuck chuck", "--plot", "a.png"]
    code, out, err = run("attention", *flags, cwd=tmp_path)
    assert code == 0 and "likeliest" in out, err
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_on_byte_pairs(tmp_path):
    flags = ["train", "--smoke", "--epochs", 2, "--tokens", "bpe", "--vocab-size", 270, "--out", "run"]
    code, out, err = run(*flags, "--report", "r.json", cwd=tmp_path)
    assert (code, err) == (0, ""), err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["nats_per_character"] < 2.708  # of 15 characters
    (tmp_path / "text.txt").write_text(SMOKE)
    code, out, err = run(
        "evaluate", "text.txt", "--weights", "run/weights.npz", "--report", "e.json", cwd=tmp_path
    )
    found = json.loads((tmp_path / "e.json").read_text())
    assert code == 0 and found["nats_per_character"] == pytest.approx(report["nats_per_character"], abs=1e-6), err
    flags = ["--weights", "run/weights.npz", "--seed-text", "wood", "--count", 10]
    code, out, _ = run("sample", *flags, cwd=tmp_path)
    assert code == 0 and out.startswith("wood") and len(out) >= 10
    flags = ["--weights", "run/weights.npz", "--seed-text", "Z"]
    assert "the seed contains 'Z'" in refused("sample", *flags, cwd=tmp_path)


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    flags = ["--smoke", "--seed", 4, "--dropout", 0.1]
    programs.goes_on_to_the_bit("gpt", "train", *flags, line="epoch   2", cwd=tmp_path)


def test_the_plain_layers_give_the_same_losses(tmp_path):
    """A line of the history for each step."""
    given = ["train", "--smoke", "--dropout", 0.2, "--epochs", 20, "--steps", 1, "--batch-size", 7]
    plain, fast_ = programs.plain_and_fast("gpt", *given, cwd=tmp_path)
    assert len(plain) == 20 and plain == pytest.approx(fast_, abs=1e-4)


def test_the_large_recipe_runs_a_few_steps(tmp_path):
    flags = train.flags_of(["--recipe", "nanogpt-gpu"])
    assert (flags.layers, flags.heads, flags.features, flags.context, flags.batch_size) == (6, 6, 384, 256, 64)
    assert flags.epochs * flags.steps == 5000 and flags.dropout == 0.2 and not flags.bias
    (tmp_path / "text.txt").write_text(SMOKE)
    few = ["--epochs", 1, "--steps", 2, "--batch-size", 2, "--out", "run"]
    code, out, err = run("train", "text.txt", "--recipe", "nanogpt-gpu", *few, cwd=tmp_path)
    assert code == 0 and "2 steps" in out, err


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        ("", [], "at least 40 characters"), ("a" * 99, [], "two of them distinct"), (None, [], "no such file"),
        ("ab " * 40, ["--context", 200], "102 tokens is too short for --context 200"),
        ("ab " * 40, ["--heads", 5, "--features", 128], "divides the 128 features, got 5"),
        ("ab " * 40, ["--vocab-size", 300], "add --tokens bpe"),
        ("ab " * 40, ["--tokens", "bpe", "--vocab-size", 200], "at least 256"),
    ],
)
def test_bad_texts_and_sizes(content, flags, message, tmp_path):
    if content is not None:
        (tmp_path / "text.txt").write_text(content)
    assert message in refused("train", "text.txt", *flags, cwd=tmp_path)


def test_the_weights_that_come_with_it(tmp_path):
    code, out, _ = run("sample", "--seed", 1, "--count", 30, "--seed-text", "ROMEO:", cwd=tmp_path)
    assert code == 0 and out.startswith("ROMEO:") and len(out) == 37
    assert network.WEIGHTS.stat().st_size < 8e6


REAL = programs.needs_data("shakespeare")


@pytest.mark.thorough
@REAL
def test_the_score_holds_on_the_first_held_out_scenes():
    model, kind, metadata = network.load(network.WEIGHTS)
    path = texts.corpus_file("shakespeare", programs.DATA / "shakespeare")
    *_, held_out = texts.split(texts.read(path, 1, kind.vocab).ids)
    found = network.nats(model, kind, held_out[:10_000], metadata["context"], metadata["context"] // 2)
    assert found == pytest.approx(1.2703, abs=0.001)


@pytest.mark.slow
@REAL
def test_the_score_holds(tmp_path):
    report = programs.scores("gpt", tmp_path)
    assert report["overlapping"] == pytest.approx(1.4205, abs=0.001)
    assert report["nats_per_character"] == pytest.approx(1.4438, abs=0.001)


@pytest.mark.thorough
def test_bad_weights(tmp_path):
    from scratch.tools.files import read_arrays, write_arrays

    assert run("train", "--smoke", "--epochs", 1, "--out", "run", cwd=tmp_path)[0] == 0
    arrays, metadata = read_arrays(tmp_path / "run" / "weights.npz")
    for change in (
        {"features": 30}, {"heads": 5}, {"heads": 0}, {"layers": 3}, {"layers": 10**6}, {"context": 8}, {"bias": True},
        {"vocabulary": {"a": 0}}, {"program": "x"}, {"pairs": [[97, 98]]}, {"pairs": [[97, 999]]},
    ):
        write_arrays(tmp_path / "changed.npz", arrays, metadata | change)
        error = refused("sample", "--weights", "changed.npz", "--seed-text", "a", cwd=tmp_path)
        assert "changed.npz" in error, change


def test_a_run_does_not_resume_with_other_settings(tmp_path):
    flags = ["train", "--smoke", "--epochs", 1, "--out", "run"]
    assert run(*flags, cwd=tmp_path)[0] == 0
    assert "made with heads = 2, not 4" in refused(*flags, "--resume", "--heads", 4, cwd=tmp_path)
    kept, again = weights(tmp_path / "run" / "weights.npz"), ["--resume", "--heads", 2]
    assert run(*flags, *again, cwd=tmp_path)[0] == 0
    assert all(np.array_equal(kept[name], value) for name, value in weights(tmp_path / "run" / "weights.npz").items())
