"""Names to languages: the letters, the networks, the training, and the commands."""

import hashlib
import json
import random
import shutil
import subprocess

import numpy as np
import programs
import pytest
from conftest import ON_THREADS
from hypothesis import given
from hypothesis import strategies as st
from name_languages.letters import ALPHABET, as_batch, check, encode, split
from name_languages.network import WEIGHTS, BothEnds, Committee, LinearRnn, TutorialNetwork, build
from name_languages.predict import log_probabilities, predict
from name_languages.train import RECIPES, learn_batch, learn_name, logit_adjustment
from name_languages.twin import FastLinearRnn
from programs import DATA

from scratch.backend import precision, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.functions import log_softmax
from scratch.gradient_check import numerical_gradient, relative_error
from scratch.losses import NegativeLogLikelihood
from scratch.optimizers import AdamW, GradientDescent
from scratch.schedules import cosine_decay

LABELS = ["Czech", "Greek", "Irish"]
NAMES = ["Ábc", "Zoë-Lu", "O'Neàl", "q"]


def start(*arguments, **options):
    return programs.start("name_languages", *arguments, **options)


def run(*arguments, **options):
    return programs.run("name_languages", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("name_languages", *arguments, **options)


# Letters --------------------------------------------------------------------------------------------------------


def test_letters_lose_their_accents_and_unknown_ones_are_zero(device):
    letters, mask = as_batch(["Śa", "ß'?"], ALPHABET)
    letters, mask = to_host(letters), to_host(mask)
    assert letters.shape == (2, 3, 57) and mask.tolist() == [[True, True, False], [True, True, True]]
    assert letters[0, 0].argmax() == ALPHABET.index("S") and letters[0, 1].argmax() == ALPHABET.index("a")
    assert letters.sum(axis=2).tolist() == [[1, 1, 0], [0, 1, 0]]  # the last letter, which is ', is not lit by ß or ?
    assert letters[1, 1].argmax() == 56
    assert as_batch(["ab", "cd"], ALPHABET)[1] is None


@given(st.lists(st.text(max_size=9), min_size=1, max_size=5))
def test_any_text_can_be_a_batch(names):
    letters, mask = as_batch(names, ALPHABET)
    assert to_host(letters).sum() == sum(k >= 0 for name in names for k in encode(name, ALPHABET))
    assert mask is None or to_host(mask).sum() == sum(len(encode(name, ALPHABET)) for name in names)


@pytest.mark.parametrize("name", ["", " ", "12345", "😀", "王", "../", "\x00\n", "x" * 201])
def test_names_that_say_nothing_are_refused(name):
    with pytest.raises(ScratchError, match=r"no letter that the network knows|201 characters"):
        check(name, ALPHABET)


def test_the_split_is_the_stated_one():
    data = {label: [f"{label[0]}ame{k}ß" for k in range(200)] for label in LABELS}
    learn, choose, held_out = split(data)
    assert len(learn) + len(choose) + len(held_out) == 600
    stated = [(name, k) for k, (label, names) in enumerate(data.items()) for name in names
              if int(hashlib.sha256(f"{label}/{name}".encode()).hexdigest(), 16) % 5 == 0]
    assert held_out == stated
    assert 0.1 < len(held_out) / 600 < 0.3 and 0.02 < len(choose) / 600 < 0.1
    with pytest.raises(ScratchError, match="Irish: none of its 0 names"):
        split(data | {"Irish": []})


# Networks -------------------------------------------------------------------------------------------------------


def networks():
    ends = [BothEnds(ALPHABET, LABELS, hidden, layer, [0.0, -1.0, 0.5], 0, 0)
            for hidden, layer in ((4, "gru"), (3, "lstm"))]
    return [TutorialNetwork(ALPHABET, LABELS, 5), Committee(ends)]


def test_gradients(device):
    with precision("float64"):
        for model in networks():
            letters, mask = as_batch(NAMES, ALPHABET)
            loss, languages = NegativeLogLikelihood(), np.array([0, 1, 2, 1])
            if isinstance(model, Committee):
                languages = np.stack([languages] * len(model.members), axis=1)
            languages = to_device(languages)
            value = lambda m=model, x=letters, y=mask, z=languages, c=loss: c.loss(m.forward(x, mask=y), z)  # noqa: E731
            model.backward(loss.gradient(model.forward(letters, mask=mask), languages))
            for name, p in model.named_parameters().items():
                assert to_host(p.grad).any(), name
                assert relative_error(p.grad, numerical_gradient(value, p.data)) < 1e-7, name


def test_a_name_is_read_alike_alone_and_in_company():
    with precision("float64"):
        for model in networks():
            together = log_probabilities(model, NAMES)
            alone = np.concatenate([log_probabilities(model, [name]) for name in NAMES])
            assert relative_error(together, alone) < 1e-6  # float32 rows
            assert np.allclose(np.exp(together).sum(axis=1), 1)


def test_a_layer_without_activation_has_the_gradients_of_every_output(device):
    with precision("float64"):
        draw = np.random.default_rng(0)
        layer, x = LinearRnn(3, 4), to_device(draw.standard_normal((3, 5, 3)))
        mask = to_device(np.arange(5) < np.array([5, 1, 3])[:, None])
        weights = to_device(draw.standard_normal((3, 5, 4)))
        value = lambda: float((layer.forward(x, mask=mask) * weights).sum())  # noqa: E731
        value()
        x_grad = layer.backward(weights)
        for grad, data in ((x_grad, x), *((p.grad, p.data) for p in layer.parameters())):
            assert relative_error(grad, numerical_gradient(value, data)) < 1e-7


@pytest.mark.parametrize("every_step", [True, False])
@pytest.mark.parametrize(("N", "T"), [(1, 1), (1, 7), (7, 2), (9, 40)])
def test_the_fast_twin_is_the_same_function(N, T, every_step, device):
    with precision("float64"):
        draw = np.random.default_rng(N + T)
        plain = LinearRnn(3, 4, return_sequences=every_step)
        twin = fast(plain, threads=1)
        assert type(twin) is FastLinearRnn
        x = to_device(draw.standard_normal((N, T, 3)))
        ragged = to_device(np.arange(T) < draw.integers(1, T + 1, N)[:, None])
        for mask in (None, ragged):
            found = []
            gradient = to_device(draw.standard_normal((N, T, 4) if every_step else (N, 4)))
            for layer in (plain, twin):
                plain.zero_grads()
                output = layer.forward(x, mask=mask)
                x_grad = layer.backward(gradient)
                found.append([output, x_grad, *(p.grad.copy() for p in plain.parameters())])
            assert all(relative_error(mine, truth) < 1e-10 for truth, mine in zip(*found, strict=True))


def test_a_committee_predicts_the_mean_of_its_members_without_their_adjustment():
    *_, committee = networks()
    members = [np.exp(log_probabilities(member, NAMES)) for member in committee.members]
    assert relative_error(np.exp(log_probabilities(committee, NAMES)), (members[0] + members[1]) / 2) < 1e-6
    for member in committee.members:
        member.adjustment = to_device([9.0, 9.0, 0.0])
    assert np.allclose(np.exp(log_probabilities(committee, NAMES)), (members[0] + members[1]) / 2, atol=1e-6)


def test_the_tutorial_s_network_is_two_linear_maps_of_letter_and_hidden():
    with precision("float64"):
        model = TutorialNetwork(ALPHABET, LABELS, 5)
        letters, _ = as_batch(["Kovač"], ALPHABET)
        i2h = xp.concatenate([model.i2h.w.data, model.i2h.u.data], axis=1)
        hidden = to_device(np.zeros(5))
        for letter in letters[0]:
            combined = xp.concatenate([letter, hidden])
            output = log_softmax(model.i2o.w.data @ combined + model.i2o.b.data)
            hidden = i2h @ combined + model.i2h.b.data
        assert relative_error(model.forward(letters)[0], output) < 1e-12


@pytest.mark.parametrize("recipe", ["best", "tutorial"])
def test_a_handful_of_names_is_memorised(recipe):
    model = build(recipe, ALPHABET, LABELS, 24, "gru", num_members=2)
    examples = [("Novak", 0), ("Kolar", 0), ("Galanis", 1), ("Kouros", 1), ("O'Neal", 2), ("Kelly", 2)]
    loss, optimizer = NegativeLogLikelihood(), AdamW(0.01) if recipe == "best" else GradientDescent(0.03)
    for _ in range(150):
        if recipe == "best":
            learn_batch(model, loss, optimizer, examples)
        else:
            for name, language in examples:
                learn_name(model, loss, optimizer, as_batch([name], ALPHABET)[0], language)
    said = log_probabilities(model, [name for name, _ in examples])
    assert loss.loss(to_device(said), [k for _, k in examples]) < 0.02
    ((_, first), *_), *_ = predict(model, ["Novák"], 3)
    assert first == "Czech"


@ON_THREADS
def test_the_letters_that_become_unknown_are_the_same_on_any_number_of_threads():
    random.seed(3)
    plain = BothEnds(ALPHABET, LABELS, 8, letter_dropout=0.5)
    letters, mask = as_batch(NAMES * 3, ALPHABET)
    outputs = []
    for model in (plain, fast(plain, threads=1), fast(plain, threads=3)):
        random.seed(4)
        outputs.append(model.forward(letters, mask=mask))
    assert relative_error(outputs[1], outputs[0]) < 1e-5 and relative_error(outputs[2], outputs[0]) < 1e-5
    assert relative_error(plain.forward(letters, mask=mask), outputs[0]) > 1e-3  # other letters


def test_rare_languages_can_be_treated_as_equally_frequent():
    examples = [("Aaa", 0)] * 30 + [("Aaa", 1)] * 10  # only their frequency distinguishes the languages
    found = []
    for balance in (0.0, 1.0):
        adjustment = logit_adjustment(examples, 2, balance)
        model = Committee([BothEnds(ALPHABET, LABELS[:2], 4, "gru", adjustment, dropout=0, letter_dropout=0)])
        loss, optimizer = NegativeLogLikelihood(), AdamW(0.02)
        for step in range(40):
            optimizer.lr = 0.02 * cosine_decay(step, 40)
            learn_batch(model, loss, optimizer, examples)
        found.append(float(np.exp(log_probabilities(model, ["Aaa"]))[0, 1]))
    assert found == [pytest.approx(0.25, abs=0.04), pytest.approx(0.5, abs=0.04)]


# Commands -------------------------------------------------------------------------------------------------------


def test_a_run_of_each_recipe(tmp_path):
    for recipe, rows in (("best", 10), ("tutorial", 10)):
        out = tmp_path / recipe
        flags = ["--recipe", recipe, "--smoke", "--out", out, "--report", out / "report.json"]
        code, printed, err = run("train", *flags, cwd=tmp_path)
        assert (code, err) == (0, ""), err
        assert "3 languages" in printed and "chance is 1.099 nats" in printed
        report = json.loads((out / "report.json").read_text())
        assert 0.3 < report["accuracy"] <= 1 and 0.3 < report["mean_recall"] <= 1 and report["epochs"] == rows
        assert len((out / "history.jsonl").read_text().splitlines()) == rows
        for picture in ("loss.png", "confusion.png"):
            assert (out / picture).read_bytes().startswith(b"\x89PNG")
        code, printed, _ = run("predict", "--weights", out / "weights.npz", "--top", 2, "Sato", cwd=tmp_path)
        assert code == 0 and printed.startswith("\n> Sato\n(-")
    assert "10000 100% (0m " in run("train", *flags[:-2], "--out", "x", cwd=tmp_path)[1]


def test_predicting(tmp_path):
    code, out, _ = run("predict", "Satoshi", "Ślusàrski", cwd=tmp_path)
    assert code == 0
    names, firsts = out.split("\n")[1::5], out.split("\n")[2::5]
    assert names == ["> Satoshi", "> Ślusàrski"]
    assert [line.split()[1] for line in firsts] == ["Japanese", "Polish"]
    assert run("predict", cwd=tmp_path, input="Satoshi\r\n\nŚlusàrski")[1] == out
    assert run("predict", "--top", 99, "Satoshi", cwd=tmp_path)[1].count("(") == 18
    assert run("predict", " Satoshi ", cwd=tmp_path)[1].splitlines()[2:] == out.splitlines()[2:5]
    code, some, err = run("predict", "Satoshi", "王", "Ślusàrski", "12", cwd=tmp_path)
    assert (code, some) == (2, out) and "'王' has no letter" in err and "'12' has no letter" in err
    code, out, _ = run("predict", "A\x1b[31m<b>", cwd=tmp_path)
    assert code == 0 and "> A\\x1b[31m<b>" in out
    assert "no letter that the network knows" in refused("predict", "12345", cwd=tmp_path)
    assert "no letter that the network knows" in refused("predict", "", cwd=tmp_path)
    assert "10000 characters" in refused("predict", "x" * 10_000, cwd=tmp_path)
    assert "no names" in refused("predict", cwd=tmp_path, input="\n")
    run_bytes = start("predict", cwd=tmp_path, stdin=subprocess.PIPE, encoding=None)
    assert b"standard input: not UTF-8 (byte 3)" in run_bytes.communicate(b"Abe\xe9\n")[1]
    assert "invalid choice" in refused("guess", cwd=tmp_path)


def folder_of(tmp_path, **files):
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    for label, text in files.items():
        (folder / f"{label}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_ones_own_data(tmp_path):
    greek, upper = "άβγδεζηθικλμ", "abcdefghijkl"  # the first has an accent, in the names and in the alphabet
    names = {label: "\n".join(a + b for a in letters for b in letters) for label, letters in
             (("zeta", greek), ("alpha", upper))}
    folder = folder_of(tmp_path, **names)
    flags = ["--data", folder, "--out", "run", "--epochs", 12, "--hidden", 8, "--batch-size", 16]
    assert "zeta: none of its letters is in the alphabet" in refused("train", *flags, cwd=tmp_path)
    assert run("train", *flags, "--alphabet", greek + upper, cwd=tmp_path)[0] == 0
    flags = ["--weights", "run/weights.npz", "--data", folder, "--report", "e.json"]
    code, out, _ = run("evaluate", *flags, cwd=tmp_path)
    assert code == 0 and out.index("alpha") < out.index("zeta")
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["accuracy"] == report["mean_recall"] == 1
    folder_of(tmp_path, beta="bb\n")
    message = refused("evaluate", *flags, cwd=tmp_path)
    assert "has the languages alpha, zeta; the data has alpha, beta, zeta" in message


def test_bad_data(tmp_path, monkeypatch):
    flags = ["train", "--out", "run", "--data"]
    assert "download.pytorch.org/tutorial/data.zip" in refused(*flags, "nowhere", cwd=tmp_path)
    assert "two or more" in refused(*flags, folder_of(tmp_path, Czech="Novak\n"), cwd=tmp_path)
    assert "Greek.txt: is empty" in refused(*flags, folder_of(tmp_path, Greek=b"\n \n"), cwd=tmp_path)
    assert "Greek.txt: not UTF-8 (byte 1)" in refused(*flags, folder_of(tmp_path, Greek=b"A\xe9"), cwd=tmp_path)
    assert "expected a folder" in refused(*flags, tmp_path / "data" / "Greek.txt", cwd=tmp_path)
    assert "--alphabet: expected letters" in refused("train", "--alphabet", "", cwd=tmp_path)
    assert "--balance: expected a number from 0 to 1" in refused("train", "--balance", 2, cwd=tmp_path)
    assert "--members is not for" in refused("train", "--recipe", "tutorial", "--members", 2, cwd=tmp_path)
    folder = folder_of(tmp_path, Czech="x" * 201, Greek="Kouros\n")
    assert "has 201 characters" in refused(*flags, folder, cwd=tmp_path)
    message = refused("evaluate", "--data", folder, "--report", folder / "Greek.txt", cwd=tmp_path)
    assert "needed for something else" in message and (folder / "Greek.txt").read_text().startswith("Kouros")


def test_bad_weights(tmp_path):
    from scratch.tools.files import read_arrays, write_arrays

    arrays, metadata = read_arrays(WEIGHTS)
    for change in (
        {"hidden": 9}, {"hidden": -1}, {"hidden": 10**9}, {"labels": ["a"]}, {"labels": [3] * 18}, {"alphabet": "abc"},
        {"alphabet": 3}, {"layer": "rnn"}, {"recipe": "x"}, {"recipe": "tutorial"}, {"members": 99}, {"members": 2},
        {"program": "company_names"},
    ):
        write_arrays(tmp_path / "changed.npz", arrays, metadata | change)
        assert "changed.npz" in refused("predict", "--weights", "changed.npz", "Abe", cwd=tmp_path)


@pytest.mark.parametrize("recipe", ["best", "tutorial"])
def test_a_killed_run_goes_on_to_the_bit(recipe, tmp_path):
    flags = ["train", "--smoke", "--recipe", recipe, "--seed", 4, "--epochs", 10]
    programs.goes_on_to_the_bit("name_languages", *flags, line=("epoch   3", "5000 "), cwd=tmp_path)
    assert run("predict", "--weights", tmp_path / "killed" / "weights.npz", "Sato", cwd=tmp_path)[0] == 0
    message = refused(*flags, "--out", "killed", "--resume", "--lr", 0.1, cwd=tmp_path)
    assert f"lr = {RECIPES[recipe]['lr']}, not 0.1" in message
    assert run("train", "--smoke", "--recipe", recipe, "--out", "other", cwd=tmp_path)[0] == 0
    shutil.copy(tmp_path / "other" / "weights.npz", tmp_path / "killed")
    if recipe == "best":
        assert "not of the run in" in refused(*flags, "--out", "killed", "--resume", cwd=tmp_path)
    else:  # its weights are those of the last epoch, which the checkpoint has
        assert run(*flags, "--out", "killed", "--resume", cwd=tmp_path)[0] == 0
        found, expected = (programs.weights(tmp_path / name / "weights.npz") for name in ("killed", "whole"))
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


@ON_THREADS
@pytest.mark.parametrize(("recipe", "threads"), [("best", ["--threads", 2]), ("tutorial", [])])
def test_the_losses_without_the_engine_are_the_same(recipe, threads, tmp_path):
    losses = []
    for engine in (["--plain"], threads):  # three epochs of the best recipe are 27 steps, with Dropout
        flags = ["--smoke", "--recipe", recipe, "--epochs", 3, "--out", f"run{len(losses)}", *engine]
        code, _, err = run("train", *flags, cwd=tmp_path)
        assert code == 0, err
        lines = (tmp_path / f"run{len(losses)}" / "history.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert len(losses[0]) == 3 and losses[0] == pytest.approx(losses[1], rel=0, abs=1e-4)


# The weights that come with it ----------------------------------------------------------------------------------


def test_the_order_of_the_labels_is_in_the_weights():
    from scratch.tools.files import read_metadata

    labels = read_metadata(WEIGHTS)["labels"]
    assert len(labels) == 18 and labels == sorted(labels)


def test_the_order_of_the_labels_is_not_the_file_system_s(tmp_path, monkeypatch):
    from pathlib import Path

    from scratch.tools.datasets import read_labelled_lines

    folder = folder_of(tmp_path, b="x\n", a="y\nx\ny\n", c="z\n")
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: sorted(glob(self, pattern), reverse=True))
    assert read_labelled_lines(folder) == {"a": ["y", "x"], "b": ["x"], "c": ["z"]}
    assert list(read_labelled_lines(folder)) == ["a", "b", "c"]


def test_the_scores_hold(tmp_path):
    if not (DATA / "names").is_dir():
        pytest.skip("the data set is not here")
    flags = ["--report", "out.json", "--plot", "c.png"]
    code, _, err = run("evaluate", *flags, cwd=tmp_path, env={"SCRATCH_DATA": str(DATA)})
    assert code == 0, err
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["accuracy"] >= 0.79 and report["mean_recall"] >= 0.55 and report["num_names"] == 3622
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
