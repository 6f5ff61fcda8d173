"""Where data come from, and how they become batches and figures."""

import errno
import hashlib
import http.server
import os
import random
import sys
import threading
from functools import partial
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import DATA

from scratch.batching import batches, num_batches, padded, streams
from scratch.checks import ScratchError
from scratch.text import without_accents
from scratch.tools import datasets
from scratch.tools.datasets import Source, find
from scratch.tools.scores import accuracy, count_confusions, mean_recall, per_class, shares, table


@given(items=st.lists(st.text(max_size=6), max_size=70), size=st.integers(1, 9), by_length=st.booleans())
def test_every_item_is_in_one_batch(items, size, by_length):
    found = list(batches(items, size, length=len if by_length else None))
    assert sorted(item for batch in found for item in batch) == sorted(items)
    assert len(found) == num_batches(len(items), size)
    # BatchNorm cannot train on one row, so no batch has a single item unless all do, or there is no other.
    least, most = (1, 1) if size == 1 else (min(len(items), 2), size + 1)
    assert all(least <= len(batch) <= most for batch in found)
    assert sum(len(batch) != size for batch in found) <= 1


def test_batches_are_of_like_lengths_in_random_order():
    items = ["x" * random.randint(1, 20) for _ in range(2000)]
    spread = {}
    for length in (None, len):
        spread[length] = np.mean([max(map(len, batch)) - min(map(len, batch)) for batch in batches(items, 20, length)])
    assert spread[len] < 0.2 * spread[None]
    firsts = [len(batch[0]) for batch in batches(items, 20, len)]
    assert firsts != sorted(firsts)
    random.seed(1)
    once = list(batches(items, 20, len))
    random.seed(1)
    assert once == list(batches(items, 20, len)) != list(batches(items, 20, len))


@given(length=st.integers(2, 90), size=st.integers(1, 7), steps=st.integers(1, 9))
def test_the_text_can_be_read_back_from_its_streams(length, size, steps):
    text = np.arange(length)
    if length <= size:
        with pytest.raises(ScratchError, match="use a smaller batch"):
            list(streams(text, size, steps))
        return
    pieces = list(streams(text, size, steps))
    assert all(np.array_equal(next_ids, ids + 1) and np.shares_memory(ids, text) for ids, next_ids in pieces)
    assert all(ids.shape[1] == steps for ids, _ in pieces[:-1])
    whole = np.concatenate([ids for ids, _ in pieces], axis=1)  # row n of each batch goes on with row n of the last
    assert np.array_equal(whole.ravel(), text[: whole.size]) and length - 1 - size < whole.size <= length - 1


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6))
def test_padding(rows):
    ids, mask = padded(rows)
    assert ids.shape == mask.shape == (len(rows), max(map(len, rows), default=0))
    assert [list(row[real]) for row, real in zip(ids, mask, strict=True)] == rows
    assert (ids[~mask] == -1).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_scores_are_their_definitions(pairs):
    actual, guessed = [a for a, _ in pairs], [g for _, g in pairs]
    confusion = count_confusions(actual, guessed, 4)
    assert confusion.tolist() == [[pairs.count((a, g)) for g in range(4)] for a in range(4)]
    assert accuracy(confusion) == pytest.approx(sum(a == g for a, g in pairs) / max(len(pairs), 1))
    recalls = []
    for k, (precision, recall, f1) in enumerate(zip(*per_class(confusion), strict=True)):
        right = pairs.count((k, k))
        assert precision == pytest.approx(right / guessed.count(k) if right else 0)
        assert recall == pytest.approx(right / actual.count(k) if right else 0)
        assert f1 == pytest.approx(2 * precision * recall / (precision + recall) if right else 0)
        recalls += [recall] if k in actual else []
    assert mean_recall(confusion) == pytest.approx(np.mean(recalls) if recalls else 0)
    assert shares(confusion).sum(axis=1) == pytest.approx(np.array([k in actual for k in range(4)], dtype=float))


def test_ids_that_are_no_classes_are_refused():
    for actual, guessed in (([0, 0, 1], [0, 2, 1]), ([0], [-1]), ([2], [0]), ([0, 1], [0])):
        with pytest.raises(ScratchError, match="equally many ids, from 0 to 1"):
            count_confusions(actual, guessed, 2)


def test_the_table_says_what_was_taken_for_what():
    text = table(count_confusions([0, 0, 0, 1], [0, 1, 1, 1], 2), ["cat", "dog"])
    assert text.splitlines()[1].split() == ["cat", "3", "1.000", "0.333", "0.500", "dog", "(2)"]
    assert text.splitlines()[2].split() == ["dog", "1", "0.333", "1.000", "0.500"]


@given(st.text())
def test_accents(text):
    plain = without_accents(text)
    assert without_accents(plain) == plain
    assert without_accents(text.upper() if text.isascii() else text) == (text.upper() if text.isascii() else plain)


def test_accents_of_the_tutorial():
    assert without_accents("Ślusàrski, O'Néàl, ß ł 王") == "Slusarski, O'Neal, ß ł 王"


# Fetching -------------------------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


NEEDS_POOCH = pytest.mark.needs("pooch")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A data set of two files on a server of this machine, and an empty cache."""
    folder = tmp_path / "published"
    folder.mkdir()
    for label, text in (("Czech", "Novak\n"), ("Greek", "Kouros\n")):
        (folder / f"{label}.txt").write_text(text)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setitem(datasets.SOURCES, "names", Source(address, digests, "ask a friend"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SCRATCH_DATA", raising=False)
    yield folder
    server.shutdown()
    server.server_close()


@NEEDS_POOCH
def test_a_data_set_is_fetched_once(published):
    folder = find("names")
    assert datasets.read_labelled_lines(folder) == {"Czech": ["Novak"], "Greek": ["Kouros"]}
    (published / "Czech.txt").unlink()
    assert find("names") == folder


@NEEDS_POOCH
@pytest.mark.parametrize("cause", ["checksum", "answered 404", "no connection to", "no space left on device"])
def test_a_failed_download_gives_the_remedy_first_and_the_cause_in_a_few_words(cause, published, tmp_path, monkeypatch):
    import requests  # by which pooch downloads

    (published / "Greek.txt").write_text("something else\n")
    missing = SimpleNamespace(status_code=404, reason="Not Found")
    errors = {
        "answered 404": requests.HTTPError("404 Client Error: Not Found for url: " + 300 * "x", response=missing),
        "no connection to": requests.ConnectionError("HTTPSConnectionPool(host='x', port=443): " + 300 * "x"),
        "no space left on device": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    }
    if cause in errors:
        monkeypatch.setattr("pooch.core.Pooch.fetch", Mock(side_effect=errors[cause]))
    with pytest.raises(ScratchError) as raised:
        find("names")
    remedy, _, reason = str(raised.value).partition("ask a friend")
    assert "not in SCRATCH_DATA" in remedy and cause in reason and len(reason) < 90
    assert not list((tmp_path / "cache").rglob("Greek.txt"))


def test_what_is_given_comes_first_and_then_the_environment(published, tmp_path, monkeypatch):
    assert find("names", published) == published
    with pytest.raises(ScratchError, match="no such file or folder; to get the data, ask a friend"):
        find("names", tmp_path / "nowhere")
    (tmp_path / "names").mkdir()
    monkeypatch.setenv("SCRATCH_DATA", str(tmp_path))
    assert find("names") == tmp_path / "names"


def test_without_pooch_the_way_is_told(published, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ScratchError, match=r"pip install -e '\.\[data\]'; or ask a friend"):
        find("names")


def test_the_sums_are_those_of_the_real_files():
    if not (DATA / "names").is_dir():
        pytest.skip("the data set is not here")
    for file, digest in datasets.SOURCES["names"].files.items():
        assert hashlib.sha256((DATA / "names" / file).read_bytes()).hexdigest() == digest
