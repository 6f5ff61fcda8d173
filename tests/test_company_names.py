"""The program as a user meets it: what it prints and keeps, what it refuses, and that no kill loses anything."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import company_names as PROGRAM
import numpy as np
import programs
import pytest
from programs import ROOT, environment, weights

FILE = ROOT / "examples" / "company_names.py"


def start(*arguments, cwd):
    return programs.start("company_names.py", *arguments, cwd=cwd)


def run(*arguments, cwd):
    return programs.run("company_names.py", *arguments, cwd=cwd)


def refused(*arguments, cwd):
    return programs.refused("company_names.py", *arguments, cwd=cwd)


def test_a_run(tmp_path):
    code, out, err = run("--smoke", "--seed", 3, "--report", "out.json", cwd=tmp_path)
    assert (code, err) == (0, "")
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["epochs"] == 20 and report["num_names"] == 5 and 0 < report["loss"] < report["chance"]
    assert out.count("\nepoch ") == 20 and "chance" in out
    assert sum(line.startswith(("  new ", "  garbage ", "  verbatim ")) for line in out.splitlines()) == 20
    folder = tmp_path / "runs" / "company_names"
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert len((folder / "history.jsonl").read_text().splitlines()) == 20
    assert str(Path("runs/company_names/weights.npz")) in out

    code, again, _ = run("--smoke", "--seed", 3, "--out", "again", cwd=tmp_path)
    assert again.split("Curve")[0].rsplit(",", 1)[0] == out.split("Curve")[0].rsplit(",", 1)[0]
    for name, array in weights(folder / "weights.npz").items():
        assert np.array_equal(array, weights(tmp_path / "again" / "weights.npz")[name])

    code, out, _ = run("generate", "--weights", folder / "weights.npz", "--count", 3, "--seed-text", "S", cwd=tmp_path)
    assert code == 0 and len(out.splitlines()) == 3
    assert all(line.split()[-1].startswith("S") for line in out.splitlines())
    flags = ["--weights", folder / "weights.npz", "--count", 9, "--report", "e.json"]
    assert run("evaluate", *flags, cwd=tmp_path)[0] == 0
    shares = json.loads((tmp_path / "e.json").read_text())
    assert shares["verbatim"] + shares["new"] + shares["garbage"] == pytest.approx(1)


def test_ones_own_list_with_every_layer(tmp_path):
    (tmp_path / "names.txt").write_bytes("\ufeffX\r\nÅ\n\n  Aa \nX\nくま\n".encode())
    for flags in (["--layer", "rnn"], ["--layer", "lstm", "--whole-names"], ["--layer", "gru"]):
        arguments = ["--names", "names.txt", "--epochs", 40, "--hidden", 8, "--lr", 0.1, "--out", flags[1], *flags]
        code, out, err = run(*arguments, cwd=tmp_path)
        assert code == 0, err
        assert out.startswith("4 names, 10 characters, 8 distinct")
        assert "  verbatim " in out


@pytest.mark.parametrize(("learn", "lr"), [(PROGRAM.letter_by_letter, 0.1), (PROGRAM.whole_name, 0.5)])
@pytest.mark.parametrize("layer", [
    "rnn", pytest.param("gru", marks=pytest.mark.thorough), pytest.param("lstm", marks=pytest.mark.thorough),
])
def test_whole_names_and_letters_learn_four_names_by_heart(learn, lr, layer):
    from scratch.losses import SoftmaxCrossEntropy
    from scratch.optimizers import Momentum
    from scratch.text import Vocabulary

    names = ["Lob", "Heap", "Docker", "Stripe"]
    vocab = Vocabulary("^$" + "".join(names))
    model, loss = PROGRAM.build(layer, vocab.size, 16), SoftmaxCrossEntropy()
    optimizer = Momentum(lr, clip_norm=2.0)
    for epoch in range(400):
        optimizer.lr = lr if epoch < 300 else 0.1 * lr
        total = sum(learn(model, loss, optimizer, vocab.encode(f"^{name}$")) for name in names)
    assert total / len(names) < 1.6  # log(4) = 1.39 nats is the choice among four
    assert PROGRAM.generate(model, vocab, temperature=0) in names


@pytest.mark.parametrize("how", [(), ("--whole-names", "--layer", "lstm")])
def test_plain_and_fast_learn_the_same(how, tmp_path):
    plain, fast = programs.plain_and_fast("company_names.py", "--smoke", *how, cwd=tmp_path, engine=())
    assert len(plain) == 20 and fast == pytest.approx(plain, abs=1e-4)


def test_bad_flags(tmp_path):
    assert "expected a whole number from 1 to 1000000, got '0'" in refused("--epochs", 0, cwd=tmp_path)
    assert "--hidden" in refused("--hidden", "many", cwd=tmp_path)
    assert "--hidden" in refused("--hidden", "9" * 5000, cwd=tmp_path)
    assert "--lr" in refused("--lr", "nan", cwd=tmp_path)
    assert "invalid choice" in refused("--layer", "transformer", cwd=tmp_path)
    assert "--epoch" in refused("--epoch", 3, cwd=tmp_path)  # no guessing at abbreviations
    assert "--temperature" in refused("generate", "--temperature", -1, cwd=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"), (b"\n \n", "is empty"), (b"A^b\n", "contains ^ or $"), (b"Cash$\n", "contains ^ or $"),
        ("Société\n".encode("latin-1"), "not UTF-8"), (b"x" * 200, "200 characters"), (None, "no such file"),
    ],
)
def test_bad_lists(content, message, tmp_path):
    if content is not None:
        (tmp_path / "names.txt").write_bytes(content)
    assert message in refused("--names", "names.txt", cwd=tmp_path)


def test_a_loss_that_is_not_finite(tmp_path):
    assert "a smaller --lr" in refused("--smoke", "--lr", "1e39", cwd=tmp_path)


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused("--smoke", "--out", "file", cwd=tmp_path)
    assert "file" in refused("--smoke", "--report", "file/out.json", cwd=tmp_path)
    assert "file" in refused("--smoke", "--plot", "file/out.png", cwd=tmp_path)
    if os.geteuid() != 0:  # nothing is closed to root
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        assert "closed" in refused("--smoke", "--out", "closed", cwd=tmp_path)


@pytest.mark.thorough
def test_bad_weights(tmp_path):
    code, _, _ = run("--smoke", "--out", "run", cwd=tmp_path)
    assert code == 0
    good = tmp_path / "run" / "weights.npz"
    for text in ("ß", "^", "A$", "A" * 161):
        assert "--seed-text" in refused("generate", "--weights", good, "--seed-text", text, cwd=tmp_path)
    (tmp_path / "short.npz").write_bytes(good.read_bytes()[:-300])
    assert "damaged" in refused("generate", "--weights", "short.npz", cwd=tmp_path)
    assert "no such file" in refused("generate", "--weights", "none.npz", cwd=tmp_path)
    np.savez(tmp_path / "other.npz", w=np.zeros(3))
    assert "not a weights file of company_names" in refused("evaluate", "--weights", "other.npz", cwd=tmp_path)
    assert "damaged" in refused("generate", "--weights", tmp_path / "run" / "weights.json", cwd=tmp_path)
    from scratch.tools.files import read_arrays, write_arrays

    arrays, metadata = read_arrays(good)
    for change in (
        {"hidden": 9}, {"hidden": -1}, {"hidden": 10**9}, {"hidden": "8"}, {"vocabulary": {"a": 3}},
        {"vocabulary": None}, {"vocabulary": {"^": 0, "$": 1}}, {"names": 3}, {"layer": ["rnn"]}, {"layer": "lstm"},
        {"loss": "low"}, {"program": "another"},
    ):
        write_arrays(tmp_path / "changed.npz", arrays, metadata | change)
        assert "changed.npz" in refused("evaluate", "--weights", "changed.npz", "--count", 1, cwd=tmp_path)
    write_arrays(tmp_path / "changed.npz", arrays, {"program": "company_names"})
    assert "changed.npz" in refused("generate", "--weights", "changed.npz", cwd=tmp_path)


ARGUMENTS = ["--seed", 0, "--epochs", 60, "--hidden", 8, "--names", "names.txt"]


def begin_and_kill(tmp_path, number, epochs):
    """Start a run, send it the signal once it has done `epochs` epochs, and wait for its end."""
    (tmp_path / "names.txt").write_text("\n".join(f"Company{k}" for k in range(12)))
    process = start(*ARGUMENTS, "--out", "killed", cwd=tmp_path)
    for line in process.stdout:
        if line.startswith(f"epoch {epochs:3}"):
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    code, _ = begin_and_kill(tmp_path, signal.SIGKILL, 23)
    assert code == -signal.SIGKILL
    code, out, err = run(*ARGUMENTS, "--out", "killed", "--resume", cwd=tmp_path)
    assert code == 0, err
    assert "epoch   1 " not in out
    assert run(*ARGUMENTS, "--out", "whole", cwd=tmp_path)[0] == 0
    killed, whole = weights(tmp_path / "killed" / "weights.npz"), weights(tmp_path / "whole" / "weights.npz")
    assert killed.keys() == whole.keys()
    assert all(np.array_equal(killed[name], whole[name]) for name in whole)
    rows = [json.loads(line) for line in (tmp_path / "killed" / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 61))


def test_the_learning_rate_is_cut_after_epoch_200(tmp_path):
    from scratch.tools.files import read_metadata

    (tmp_path / "names.txt").write_text("Ab\n")
    flags = ["--names", "names.txt", "--hidden", 8, "--out", "run"]
    for more, lr in ((["--epochs", 200], 0.01), (["--epochs", 201, "--resume"], 0.001)):
        assert run(*flags, *more, cwd=tmp_path)[0] == 0
        assert read_metadata(tmp_path / "run" / "checkpoint.npz")["optimizer"]["arguments"]["lr"] == pytest.approx(lr)


def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    code, err = begin_and_kill(tmp_path, signal.SIGINT, 12)
    assert code == 130
    assert err == "company_names: stopped; --resume continues after epoch 10\n"
    assert (tmp_path / "killed" / "checkpoint.npz").exists()
    message = refused(*ARGUMENTS, "--out", "killed", "--resume", "--hidden", 9, cwd=tmp_path)
    assert "hidden = 8, not 9" in message
    code, out, _ = run(*ARGUMENTS, "--out", "killed", cwd=tmp_path)  # a new run in the same place
    assert code == 0
    assert "earlier run" in out and (tmp_path / "killed" / "earlier_1" / "checkpoint.npz").exists()


def test_there_is_nothing_to_resume(tmp_path):
    assert "omit --resume" in refused("--smoke", "--resume", cwd=tmp_path)


def test_a_new_run_loses_nothing_of_an_earlier_one(tmp_path):
    assert run("--smoke", cwd=tmp_path)[0] == 0
    folder = tmp_path / "runs" / "company_names"
    before = {path.name: path.read_bytes() for path in folder.glob("[!.]*")}
    assert len(before) == 6
    assert "a smaller --lr" in refused("--smoke", "--lr", "1e39", cwd=tmp_path)
    assert {path.name: path.read_bytes() for path in (folder / "earlier_1").iterdir()} == before


def test_the_names_in_another_order_are_another_run(tmp_path):
    (tmp_path / "names.txt").write_text("Abcde\nXyz\nQr\n")
    assert run("--names", "names.txt", "--epochs", 5, cwd=tmp_path)[0] == 0
    (tmp_path / "names.txt").write_text("Qr\nXyz\nAbcde\n")
    message = refused("--names", "names.txt", "--epochs", 9, "--resume", cwd=tmp_path)
    assert "names = ['Abcde', 'Xyz', 'Qr'], not ['Qr', 'Xyz', 'Abcde']" in message


def test_output_never_overwrites_input(tmp_path):
    (tmp_path / "names.txt").write_text("Abc\n")
    for flags in (
        ["--names", "names.txt", "--report", "names.txt"], ["--names", "names.txt", "--plot", "names.txt"],
        ["--smoke", "--plot", "p", "--report", "p"], ["--smoke", "--out", "o", "--report", "o/weights.npz"],
        ["--smoke", "--report", "/dev/null"], ["--smoke", "--plot", "."], ["--smoke", "--report", "x" * 250],
    ):
        refused(*flags, cwd=tmp_path)
    assert (tmp_path / "names.txt").read_text() == "Abc\n"
    assert not list(tmp_path.glob("*/*/*.npz"))


def test_unusual_terminals_and_paths(tmp_path):
    (tmp_path / "names.txt").write_text("くま\nÅb\n", encoding="utf-8")
    arguments = ["--names", "names.txt", "--epochs", "20", "--lr", "0.1", "--hidden", "8", "--out", b"o\xff"]
    command = [sys.executable, FILE, *arguments]
    env = environment() | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert rb"\u304f" in done.stdout
    for closed in ("1", "2"):
        shell = f'exec "{sys.executable}" "{FILE}" --smoke --out closed{closed} {closed}>&-'
        done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=env, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"closed{closed}" / "weights.npz").exists()


def test_a_reader_that_has_enough(tmp_path):
    with start("--smoke", cwd=tmp_path) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr.read() == ""


def test_control_characters_in_names_are_shown_and_not_obeyed(tmp_path):
    (tmp_path / "names.txt").write_text("a\x1b[2Jb\nA\tB\n", encoding="utf-8")
    code, out, err = run("--names", "names.txt", "--epochs", 30, "--hidden", 8, "--lr", 0.1, cwd=tmp_path)
    assert code == 0, err
    assert "\x1b" not in out


def test_the_novelty_of_names():
    from scratch.tools.scores import novelty

    names = ["Airbnb", "Stripe", "Lob"]
    for name, kind in (("Lob", "verbatim"), ("Airipe", "new"), ("Xqzw", "garbage"), ("", "garbage")):
        assert novelty([name], names)[kind] == 1
    assert novelty(["Lob", "Airipe", "Xqzw", ""], names) == {"verbatim": 0.25, "new": 0.25, "garbage": 0.5}
    assert sum(novelty([], names).values()) == 0


def test_only_new_names_and_the_new_ones_first(tmp_path):
    from scratch.tools.scores import kind_of, listed, only_new

    names = ["Airbnb", "Stripe", "Lob"]
    drawn = ["Lob", "Xqzw", "Airipe", "Lob", "Airipe", "Stribnb"]
    assert list(only_new(drawn, names)) == ["Airipe", "Stribnb"]
    lines = [line.split() for line in listed(drawn, names)]
    assert [kind for kind, _ in lines] == ["new"] * 3 + ["garbage"] + ["verbatim"] * 2
    assert lines[0] == ["new", "Airipe"]
    kind = kind_of([name.strip() for name in PROGRAM.COMPANIES.split(",")])
    weights = ["--weights", ROOT / "weights" / "companies_64.npz"]  # 83 % of whose names are on the list
    code, out, err = run("generate", "--new-only", "--count", 30, *weights, cwd=tmp_path)
    found = [line.split(maxsplit=1)[1] for line in out.splitlines()]
    assert code == 0 and len(set(found)) == 30 and {kind(name) for name in found} == {"new"}, err
    assert run("generate", "--new-only", "--count", 30, *weights, cwd=tmp_path)[1] != out  # other names each time
    code, out, err = run("generate", "--new-only", "--temperature", 0, "--count", 3, *weights, cwd=tmp_path)
    assert code == 0 and out == "(Only 0 of 300 names are new; a higher --temperature gives more.)\n", err


@pytest.mark.slow
def test_the_bare_run_reaches_its_loss(tmp_path):
    began = time.time()
    code, out, err = run("--seed", 0, "--report", "out.json", cwd=tmp_path)
    assert code == 0, err
    assert json.loads((tmp_path / "out.json").read_text())["loss"] < 0.75
    assert time.time() - began > 1 and out.count("\nepoch ") == 300
