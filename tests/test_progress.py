"""Every loop that may take more than some seconds shows its progress."""

import importlib
import json
import os
import struct
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import alice.evaluate
import bidaf.examples
import bidaf.squad
import char_cnn.network
import char_cnn.tables
import char_lm.network
import char_lm.sample
import cifar10.batches
import cifar10.network
import cifar10.pictures
import company_names
import movie_reviews.network
import movie_reviews.phrases
import movie_reviews.reading
import name_languages.network
import name_languages.predict
import numpy
import pytest
from char_cnn.texts import Quantiser
from PIL import Image
from programs import ROOT

from scratch.text import Vocabulary
from scratch.tools import corpus, datasets, history

fcntl = pytest.importorskip("fcntl")  # only Unix has these three
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")

IDS = numpy.arange(300) % 7
TEXT = Vocabulary("abcdefg")


@pytest.fixture
def terminal(monkeypatch):
    """Makes standard error a terminal of so many columns; returns a function that reads what it shows."""
    opened = []

    def of(columns=80):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
        opened.extend([open(slave, "w", encoding="utf-8"), open(master, "rb", buffering=0)])
        monkeypatch.setattr(sys, "stderr", opened[-2])
        os.set_blocking(master, False)

        def shown():
            sys.stderr.flush()
            return (opened[-1].read(1 << 16) or b"").decode("utf-8", "replace")

        return shown

    yield of
    monkeypatch.undo()
    for file in opened:
        file.close()


def of_benchmark(name):
    """A module of the benchmarks, which are started as files."""
    for folder in (ROOT / "examples", ROOT / "tests" / "benchmarks"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def a_corpus(folder, monkeypatch):
    (folder / "t.txt").write_text("some text\n" * 300_000)
    corpus.read_corpus(folder / "t.txt")


def word_vectors(folder, monkeypatch):
    (folder / "g.txt").write_text("a 1 2\nb 3 4\n")
    datasets.read_glove(folder / "g.txt")


def a_table(folder, monkeypatch):
    (folder / "t.csv").write_text("text,label\nabc,1\nabd,2\n")
    char_cnn.tables.read_table(folder / "t.csv", "text", "label", Quantiser("abcd", 5), [], chunksize=1)


def questions(folder, monkeypatch):
    asked = {"id": "1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}
    article = {"title": "x", "paragraphs": [{"context": "Ann sings.", "qas": [asked]}]}
    (folder / "s.json").write_text(json.dumps({"data": [article, article]}))
    bidaf.squad.read_squad(folder / "s.json")


def sheets(folder, monkeypatch):
    monkeypatch.setattr(cifar10.batches, "_PER_SHEET", 10)
    (folder / "sheets").mkdir()
    for k in range(2):
        Image.new("RGB", (32, 320)).save(folder / "sheets" / f"s{k:03}.webp", lossless=True)
    labels = numpy.arange(10)
    numpy.savez(folder / "labels.npz", order=numpy.arange(20), train=labels, test=labels)
    cifar10.batches.load_cifar(folder)


def pictures(folder, monkeypatch):
    Image.new("RGB", (9, 9)).save(folder / "a.png")
    cifar10.pictures.read_pictures([folder / "a.png", folder / "a.png"])


def names(folder, monkeypatch):
    model = name_languages.network.build("tutorial", "abc", ["A", "B"], 4, "linear", 1)
    name_languages.predict.log_probabilities(model, ["ab", "ba", "c"], batch_size=1)


def texts(folder, monkeypatch):
    model = char_cnn.network.build({"conv": [[4, 3, 0]], "fc": [4], "dropout": 0.5}, 4, 6, 2)
    char_cnn.network.log_probabilities(model, numpy.zeros((3, 6), dtype=numpy.int8), batch_size=1)


def phrases(folder, monkeypatch):
    sizes = {"num_words": 2, "dim": 4, "hidden": 4, "dropout": 0.0}
    reader, model = movie_reviews.phrases.Words(Vocabulary(["", "a"])), movie_reviews.network.build("glove", sizes, 5)
    movie_reviews.reading.log_probabilities(model, reader, reader.encode(["a", "b"]), batch_size=1)


def images(folder, monkeypatch):
    model, pixels = cifar10.network.build("document", (4, 4, 4, 4)), numpy.zeros((2, 32, 32, 3), dtype=numpy.uint8)
    cifar10.network.scores(model, "document", pixels, batch_size=1)


def answers(folder, monkeypatch):
    scores = numpy.zeros((1, 2, 3))
    model = SimpleNamespace(forward=lambda *args, **masks: scores, train=True, all_layers=list)
    monkeypatch.setattr(bidaf.examples, "evaluating", lambda model: open(os.devnull))
    bidaf.examples.log_probabilities(model, [bidaf.examples.Encoded([1, 2, 3], [1], None)] * 2, batch_size=1)


def reading(folder, monkeypatch):
    char_lm.network.nats(char_lm.network.build(7, 4, 1), IDS, 1, num_steps=10)


def windows(folder, monkeypatch):
    monkeypatch.setattr(alice.evaluate, "BATCH_SIZE", 100)
    alice.evaluate.window_nats(char_lm.network.build(7, 4, 1, stateful=False, every_step=False), IDS, 10)


def writing(folder, monkeypatch):
    char_lm.sample.write_on(char_lm.network.build(7, 4, 1), TEXT, "a", 5, num_texts=2)


def inventing(folder, monkeypatch):
    monkeypatch.setattr(company_names, "argv", ["company_names.py", "generate", "--count", "3"])
    company_names.main()


def fitting(folder, monkeypatch):
    baseline = of_benchmark("ngram_baseline")
    rows = (["abc abd", "abc ab", "xyz xyw", "xyz xy"] * 5, ["1", "1", "2", "2"] * 5)
    monkeypatch.setattr(sys, "argv", ["ngram_baseline.py", "french_reviews"])
    monkeypatch.setattr(baseline, "read", lambda path, known: rows)
    monkeypatch.setattr(baseline.data, "file_of", lambda name, part: (Path(name), baseline.data.KNOWN[name]))
    baseline.main()


def scaling(folder, monkeypatch):
    program = of_benchmark("scaling")
    figures = dict.fromkeys(("step", "loss", "sums", "gradient_bytes", "output_bytes"), 1.0)
    monkeypatch.setattr(sys, "argv", ["scaling.py"])
    monkeypatch.setattr(program, "mpiexec", lambda: "mpiexec")
    monkeypatch.setattr(program, "started", lambda processes: figures)
    program.main()


def comparing(folder, monkeypatch):
    compare = of_benchmark("compare")
    answer = {"steps": 1, "seconds": 1.0, "peak_mb": 1.0, "faults": 1, "bytes": 1.0}
    workload = SimpleNamespace(SIDES=("ours", "plain", "eager", "tuned"), OPERATIONS=1, gradient_error=lambda: 0.0)
    worker = MagicMock(answer=lambda: answer, run=lambda seconds: answer)
    worker.__enter__.return_value = worker
    monkeypatch.setattr(compare, "load", lambda name: workload)
    monkeypatch.setattr(compare, "Worker", lambda *args: worker)
    later, flags = time.monotonic() + 60, Namespace(device="cpu", processes=1, rounds=4, seconds=1)
    row = compare.compare("characters", 1, later, later, flags, worker)
    assert row["rounds"] == 4 and row["ratio_eager"] == (1, 1, 1) and row["verdict"] == "even"
    assert compare.as_line(row).count("|") == compare.HEADINGS.count("|")


def timing(folder, monkeypatch):
    of_benchmark("engine").times_of([lambda: None], 3)


LOOPS = (
    a_corpus, word_vectors, a_table, questions, sheets, pictures, names, texts, phrases, images, answers, reading,
    windows, writing, inventing, comparing, timing,
    pytest.param(fitting, marks=pytest.mark.needs("sklearn")), pytest.param(scaling, marks=pytest.mark.needs("mpi4py")),
)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
def test_a_long_loop_has_a_bar(loop, terminal, tmp_path, monkeypatch, capsys):
    shown = terminal()
    loop(tmp_path, monkeypatch)
    assert "it/s" in shown() or "s/it" in shown()


@pytest.mark.parametrize("columns", [0, 40, 200])
def test_a_bar_of_any_width_and_none_for_a_single_step(columns, terminal):
    shown = terminal(columns)
    assert list(history.progress(range(5), "going")) == [0, 1, 2, 3, 4]
    assert "going" in shown() and not list(history.progress([], "going"))
    assert list(history.progress([7], "once")) == [7] and "once" not in shown()


def test_without_a_terminal_a_line_a_minute(monkeypatch, capsys):
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(history, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert list(history.progress("abcdefg", "reading")) == list("abcdefg")
    assert capsys.readouterr().err == "reading: 2 of 7 done\nreading: 5 of 7 done\n"
