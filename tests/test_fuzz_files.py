"""Damaged files of every kind end in success or in a ScratchError, quickly and without much memory.

Each reader is the one that a program calls, up to and including the network that is built and filled.
"""

import gzip
import io
import json
import random
import re
import sys
import time
from argparse import Namespace
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path

import company_names
import mutations
import numpy as np
import pytest
from alice import network as alice
from bidaf import char2vec, prepare, trained
from bidaf.examples import smoke_data
from bidaf.squad import read_squad
from char_cnn import network as char_cnn
from char_cnn.config import read_config
from char_lm import network as char_lm
from cifar10 import network as cifar10
from cifar10.batches import load_cifar
from cifar10.pictures import read_pictures
from cifar10_files import batch_files, some_images, write
from conftest import ON_A_DEVICE
from movie_reviews import reading
from name_languages import network as name_languages

from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.initial import at_most
from scratch.layer import Sequential
from scratch.optimizers import Adam
from scratch.recurrent import LSTM
from scratch.text import Vocabulary
from scratch.tools.datasets import read_glove
from scratch.tools.files import write_text
from scratch.tools.run import Run
from scratch.tools.weights import load_vocab, load_weights, save_vocab, save_weights

MOST_MEMORY, MOST_SECONDS = 2**30, 5  # of one reader
CONFIG = {"conv": [[4, 3, 2], [3, 2, 0]], "fc": [5], "dropout": 0.5, "batch_norm": True}
GLOVE = "the 0.1 0.2 0.3\nlives -1.0 2.5 0\nAnn 1e-3 3 4\n. 1 1 1\nat name@x.com 1 2 3\nis 0.5 0.5 0.5\n" * 2


def model():
    return Sequential([LSTM(5, 4), Linear(4, 3)])


# A good file of each kind, and what reads it --------------------------------------------------------------------


def weights_of(program, build, read, ending=".npz", **metadata):
    def make(folder):
        path = folder / f"w{ending}"
        save_weights(build(), path, {"program": program, **metadata})
        return path, partial(read, path)

    return make


LETTERS = Vocabulary("ab cd^$").w2i
WORDS = Vocabulary(["", "good", "bad", "film"]).w2i


def invent(path):
    flags = {"weights": path, "report": None, "plain": True, "seed_text": "", "temperature": 1.0, "top_k": None}
    flags["new_only"] = False
    company_names.generate_or_evaluate(Namespace(command="generate", count=1, **flags))


def of_reviews(kind, **known):
    known = {"model": kind, "split": "phrase", **known}
    return weights_of("movie_reviews", lambda: reading.network_of(known), reading.load, **known)


def of_names(recipe, layer):
    known = {"recipe": recipe, "alphabet": "abc", "labels": ["Czech", "Irish"], "hidden": 4, "layer": layer}
    build = partial(name_languages.build, recipe, "abc", known["labels"], 4, layer, 2)
    return weights_of("name_languages", build, name_languages.load, members=2, seed=0, **known)


def books_weights(folder):
    save_weights(model(), folder / "w.json")
    return folder / "w.json", lambda: load_weights(model(), folder / "w.json")


def a_vocabulary(folder):
    save_vocab(Vocabulary("abü\n"), folder / "v.json")
    return folder / "v.json", lambda: load_vocab(folder / "v.json")


def checkpoint(folder):
    row = {"confusion": [[int]]}

    def begin(resume):
        flags = Namespace(out=folder, epochs=3, resume=resume, seed=0)
        return Run(flags, model(), Adam(0.1), {"hidden": 4}, "test", best=None, figures=row)

    run = begin(False)
    for _ in range(2):
        run.model.backward(run.model.forward(to_device(np.ones((2, 3, 5)))))
        run.optimizer.step(run.model)
        run.record(loss=0.5, validation=0.25, sample="ab", confusion=[[1, 2], [3, 4]])
    return folder / "checkpoint.npz", lambda: begin(True).finish


def glove(packed, folder):
    path = folder / ("g.txt.gz" if packed else "g.txt")
    path.write_bytes(gzip.compress(GLOVE.encode()) if packed else GLOVE.encode())
    return path, lambda: read_glove(path, {"the", "lives", "Ann", "."})


def lexicon(folder):
    return trained.lexicon_of(*smoke_data(), glove=glove(False, folder)[0], word_length=4)


SIZES = {"features": 3, "hidden": 4, "modelling": 1, "dropout": 0.1, "attention": "bidaf"}


def bidaf(folder):
    words, more = lexicon(folder), {"spans": "smart", "whole": False, "context_words": 30, "asked_words": 5}
    trained.save(words, trained.build(words, SIZES), folder / "w.npz", SIZES | more)
    return folder / "w.npz", lambda: trained.load(folder / "w.npz")


def prepared(folder):
    path, data = folder / "p.npz", smoke_data()
    small = data._replace(learn=data.learn._replace(
        contexts=data.learn.contexts[:2], titles=data.learn.titles[:2], questions=data.learn.questions[:4]
    ))
    prepare.write_prepared(path, small, lexicon(folder), whole=False)
    return path, lambda: prepare.read_prepared(path, 4)


def characters(folder):
    words, path = lexicon(folder), folder / "c.npz"
    metadata = {"program": "bidaf char2vec", "alphabet": words.alphabet}
    vectors = np.ones((len(words.alphabet), 50), dtype=np.float32)
    prepare.write_arrays(path, {"vectors": vectors}, metadata)
    return path, lambda: char2vec.set_characters(trained.build(words, SIZES).words, words, path)


def configuration(name, folder):
    known = {"model_parameters": {"name": "tiny", **CONFIG}, "data": {}} if name else {"tiny": CONFIG, "other": 3}
    write_text(folder / "c.json", json.dumps(known))

    def read():
        config = read_config(folder / "c.json", "tiny")
        with at_most(10**3, 10**6):  # a file may well ask for a network that is larger than this machine
            char_cnn.build(config, 7, 40, 3)

    return folder / "c.json", read


def squad(folder):
    data = smoke_data().held_out
    answers = [{"text": question.answers[0], "answer_start": 1} for question in data.questions]
    qas = [
        {"id": question.id, "question": question.asked.text, "answers": [answer]}
        for question, answer in zip(data.questions, answers, strict=True)
    ]
    paragraphs = [{"context": context.text, "qas": qas[2 * k : 2 * k + 2]} for k, context in enumerate(data.contexts)]
    write_text(folder / "s.json", json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": paragraphs}]}))
    return folder / "s.json", lambda: read_squad(folder / "s.json")


def sheets(folder):
    from PIL import Image

    (folder / "sheets").mkdir()
    Image.new("RGB", (32, 32 * 500)).save(folder / "sheets" / "s000.webp", lossless=True)
    labels = np.arange(500) % 10
    np.savez_compressed(folder / "labels.npz", order=np.arange(500), train=labels[:400], test=labels[400:], more=labels)
    return folder / "labels.npz", lambda: load_cifar(folder)


def sheet(folder):
    return folder / "sheets" / "s000.webp", sheets(folder)[1]


def picture(kind, folder):
    from PIL import Image

    path = folder / f"p.{kind}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)).save(path)
    return path, lambda: read_pictures([path])


def pickles(folder):
    images = some_images()
    files = batch_files(images._replace(pixels=images.pixels[:2], labels=images.labels[:2]), "py")
    write(folder / "batches", files)
    return folder / "batches" / "data_batch_3", lambda: load_cifar(folder / "batches")


BYTES, JSON, NPZ = [mutations.of_bytes], [mutations.of_bytes, mutations.of_json], [
    mutations.of_bytes, mutations.of_archive, mutations.of_npz, mutations.of_npz, mutations.of_npz,
]
TENSORS = [mutations.of_bytes, mutations.of_tensors, mutations.of_tensors, mutations.of_tensors]
OF_ALICE = {
    "vocabulary": LETTERS, "hidden": 4, "layers": 1, "input": "embedding", "input_dropout": 0.1, "stateful": False,
    "every_step": True, "window": 5, "seeds": ["ab"], "settings": {"punctuation": True}, "train_loss": 0.5,
}
OF_NAMES = {"layer": "gru", "hidden": 4, "loss": 0.5, "names": ["ab", "cd"], "vocabulary": LETTERS}
COMPANY_NAMES = partial(weights_of, "company_names", lambda: company_names.build("gru", 7, 4), invent, **OF_NAMES)
CHAR_LM = partial(
    weights_of, "char_lm", lambda: char_lm.build(7, 4, 2), lambda path: char_lm.load(path, "char_lm"),
    vocabulary=LETTERS, hidden=4, layers=2,
)
KINDS = {
    "company_names": (NPZ, COMPANY_NAMES()), "company_names: safetensors": (TENSORS, COMPANY_NAMES(".safetensors")),
    "char_lm": (NPZ, CHAR_LM()), "char_lm: safetensors": (TENSORS, CHAR_LM(".safetensors")),
    "alice": (NPZ, weights_of(
        "alice", lambda: char_lm.build(7, 4, 1, 0, "embedding", 0.1, False), alice.load, **OF_ALICE
    )),
    "char_cnn": (NPZ, weights_of(
        "char_cnn", lambda: char_cnn.build(CONFIG, 3, 20, 2), char_cnn.load, alphabet="abc", steps=["lower"],
        max_length=20, config=CONFIG, labels=["0", "1"], names=["no", "yes"], text_column="t", label_column="l",
        data="",
    )),
    "reviews: characters": (NPZ, of_reviews("characters", alphabet="ab", length=20)),
    "reviews: glove": (NPZ, of_reviews("glove", vocabulary=WORDS, dim=3, hidden=4)),
    "reviews: lstm": (NPZ, of_reviews("lstm", vocabulary=WORDS, dim=3, hidden=4)),
    "names: best": (NPZ, of_names("best", "lstm")), "names: tutorial": (NPZ, of_names("tutorial", "linear")),
    "cifar10": (NPZ, weights_of(
        "cifar10", lambda: cifar10.build("modern", [2, 3, 2]), cifar10.load, recipe="modern", widths=[2, 3, 2]
    )),
    "cifar10: document": (NPZ, weights_of(
        "cifar10", lambda: cifar10.build("document", [2, 3, 2, 1]), cifar10.load, recipe="document", widths=[2, 3, 2, 1]
    )),
    "bidaf": (NPZ, bidaf), "bidaf: prepared": (NPZ, prepared), "bidaf: characters": (NPZ, characters),
    "checkpoint": (NPZ, checkpoint), "labels.npz": (NPZ, sheets), "pickles": (BYTES, pickles), "sheet": (BYTES, sheet),
    **{f"picture: {kind}": (BYTES, partial(picture, kind)) for kind in ("png", "jpg", "gif", "bmp", "webp")},
    "weights of the book": (JSON, books_weights), "vocabulary": (JSON, a_vocabulary),
    "configuration": (JSON, partial(configuration, None)),
    "configuration by name": (JSON, partial(configuration, "tiny")),
    "squad": (JSON, squad), "glove": (BYTES, partial(glove, False)), "glove, packed": (BYTES, partial(glove, True)),
}


EACH_KIND = pytest.mark.parametrize("kind", [
    pytest.param(kind, marks=[pytest.mark.needs("safetensors")] if "safetensors" in kind else []) for kind in KINDS
])

# The tests ------------------------------------------------------------------------------------------------------


@contextmanager
def limited_memory():
    """Within this context, an allocation beyond MOST_MEMORY raises a MemoryError."""
    if sys.platform != "linux" or ON_A_DEVICE:  # CUDA maps more addresses than there is memory
        yield
        return
    import resource

    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def fuzz(kind, count, tmp_path):
    """Read `count` damaged files; returns how many of them were refused."""
    (how, make), draw, refused = KINDS[kind], random.Random(kind), 0
    path, read = make(tmp_path)
    read()
    good = path.read_bytes()
    for number in range(count):
        random.seed(number)
        content = draw.choice(how)(good, draw)
        path.write_bytes(content)
        started = time.process_time()
        try:
            with limited_memory(), redirect_stdout(io.StringIO()), np.errstate(over="ignore", invalid="ignore"):
                read()
        except ScratchError:
            refused += 1
        except BaseException as error:
            path.with_name(f"mutation_{number}").write_bytes(content)
            raise AssertionError(f"mutation {number} of {kind}: {type(error).__name__}: {error}") from error
        assert time.process_time() - started < MOST_SECONDS, f"mutation {number}"
    return refused


@EACH_KIND
def test_damage_is_refused_in_words_or_does_no_harm(kind, tmp_path):
    refused = fuzz(kind, 200, tmp_path)
    assert 50 < refused <= 200


@pytest.mark.slow
@EACH_KIND
def test_much_damage_is_refused_in_words_or_does_no_harm(kind, tmp_path):
    assert fuzz(kind, 20_000, tmp_path) > 5000
