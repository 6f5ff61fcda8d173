"""A text as ids on disk, and counting what follows what."""

import gzip
import math
import random

import numpy as np
import programs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratch.batching import windows
from scratch.checks import ScratchError
from scratch.text import NgramModel, Vocabulary, words_of
from scratch.tools import incoming
from scratch.tools.corpus import pieces, read_corpus
from scratch.tools.datasets import read_glove

HEADER = "\ufeffThe Project Gutenberg EBook\r\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\r\n"
FOOTER = "End of the Project Gutenberg EBook\r\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\r\nlicence"


def by_counting(text, num_ids, order):
    """p(text[-1] | what is before it), from the formula, by counting in a string of what was learned."""
    def p(learned, run, id, n):
        if n == 0:
            return 1 / num_ids
        context = run[len(run) - n + 1 :] if n > 1 else ""
        followers = [learned[k + len(context)] for k in range(len(learned) - len(context))
                     if learned.startswith(context, k)]
        lower = p(learned, run, id, n - 1)
        if not followers:
            return lower
        return (followers.count(id) + len(set(followers)) * lower) / (len(followers) + len(set(followers)))
    return p


@given(st.text("abc", min_size=2, max_size=40), st.text("abc", min_size=1, max_size=12), st.integers(1, 5))
def test_ngrams_are_what_counting_says(learned, text, order):
    vocab = Vocabulary("abc")
    model = NgramModel(vocab.encode(learned), 3, order)
    order = len(model.levels)
    found = model.log_probabilities(vocab.encode(text))
    p = by_counting(learned, 3, order)
    for n in range(1, order + 1):
        for t, id in enumerate(text):
            longest = min(n, t + 1)  # near the start there is less to go by
            assert found[n - 1, t] == pytest.approx(math.log(p(learned, text[:t], id, longest)), abs=1e-9)


@given(st.text("abcd", min_size=2, max_size=60), st.text("abcd", max_size=8))
def test_the_probabilities_of_what_follows(learned, run):
    vocab = Vocabulary("abcd")
    model = NgramModel(vocab.encode(learned), 4, 4)
    p = model.following(vocab.encode(run))
    assert p.sum() == pytest.approx(1) and p.min() > 0
    for id in range(4):
        log_p = model.log_probabilities([*vocab.encode(run), id])[-1, -1]
        assert math.log(p[id]) == pytest.approx(log_p, abs=1e-9)


def test_a_longer_run_costs_no_more_than_the_text():
    ids = np.random.default_rng(0).integers(0, 98, 3000)
    model = NgramModel(ids, 98, 10)  # of 98^10 runs, at most 3,000 are stored
    assert all(len(level.keys) <= 3000 for level in model.levels)
    assert model.num_bytes(10) == sum(part.nbytes for level in model.levels for part in level)


def written(path, text, **options):
    path.write_bytes(text.encode("utf-8", **options))
    return path


def text_of(corpus):
    return "".join(corpus.vocab.i2w[int(id)] for id in corpus.ids)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200), st.integers(1, 9))
def test_any_text_is_read_whole(tmp_path_factory, text, piece):
    path = written(tmp_path_factory.mktemp("text") / "t.txt", text)
    before, incoming.PIECE = incoming.PIECE, piece  # so that characters and line ends are cut
    try:
        corpus = read_corpus(path)
    finally:
        incoming.PIECE = before
    expected = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    assert text_of(corpus) == expected and corpus.ids.dtype == np.uint8
    assert list(corpus.vocab.w2i) == sorted(set(expected))


def test_of_a_book_of_project_gutenberg_only_the_book_is_read(tmp_path):
    book = "Alice was\r\nbeginning *** to get\r\n"
    path = written(tmp_path / "t.txt", HEADER + book + FOOTER)
    assert "".join(pieces(path)) == "\n" + book.replace("\r\n", "\n")
    assert "".join(pieces(written(path, HEADER + book))) == "\n" + book.replace("\r\n", "\n")
    assert "".join(pieces(written(path, book + "End of the Project"))).endswith("End of the Project")


def test_the_real_books(tmp_path):
    if not (programs.DATA / "alice").is_dir():
        pytest.skip("the data sets are not here")
    for name, first, last in (
        ("aesop/pg21.txt", "AESOP'S FABLES", "Charles Boyle.]"), ("alice/pg11.txt", "ALICE'S", "THE END"),
        ("alice/11-0.txt", "ALICE\u2019S", "THE END"), ("alice/wonderland.txt", "CHAPTER I.", "THE END"),
    ):
        text = text_of(read_corpus(programs.DATA / name)).strip()
        assert text.startswith(first) and text.endswith(last) and "Gutenberg" not in text


def test_bad_texts(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"a" * (2**20 - 1) + "é".encode() + b"\xff")
    with pytest.raises(ScratchError, match=rf"byte {2**20 + 1}\)"):
        read_corpus(path)
    path.write_bytes(b"ab\xc3")  # cut in the middle of a character
    with pytest.raises(ScratchError, match=r"byte 2\)"):
        read_corpus(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with pytest.raises(ScratchError, match="has a zero byte at 8"):
        read_corpus(path)
    with pytest.raises(ScratchError, match="2 of its characters are not in the vocabulary of 3: 'éü'"):
        read_corpus(written(path, "abücé"), Vocabulary("abc"))
    assert len(read_corpus(written(path, "")).ids) == 0


def test_ids_of_many_characters(tmp_path):
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    corpus = read_corpus(written(tmp_path / "t.txt", text), folder=tmp_path)
    assert corpus.ids.dtype == np.uint16 and text_of(corpus) == text
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]  # the file of ids has no name


def test_windows_are_views():
    ids = np.arange(50, dtype=np.uint8)
    inputs, following = windows(ids, 7)
    assert inputs.shape == (43, 7) and following.shape == (43,)
    assert np.shares_memory(inputs, ids) and np.shares_memory(following, ids)
    for k in random.sample(range(43), 5):
        assert inputs[k].tolist() == list(range(k, k + 7)) and following[k] == k + 7
    with pytest.raises(ScratchError, match="too few"):
        windows(ids[:7], 7)


def test_words_are_taken_apart_as_glove_has_them():
    assert words_of("It doesn't look like the film's a non-event -- or (so) it's said ...") == [
        "it", "does", "n't", "look", "like", "the", "film", "'s", "a", "non-event", "--", "or", "(", "so", ")", "it",
        "'s", "said", "...",
    ]
    assert words_of("") == [] and words_of("😀!") == ["😀", "!"]


@given(st.text(alphabet="abnt' -.,!", max_size=30))
def test_words_with_spaces_between_are_the_same_words(text):
    words = words_of(text)
    again = words_of(" ".join(words))
    assert "".join(again) == "".join(words)


def test_glove_is_read(tmp_path):
    lines = "the 0.5 -1\nof 2 3\n, 4 5e-1\n"
    (tmp_path / "g.txt").write_text(lines, encoding="utf-8")
    with gzip.open(tmp_path / "g.txt.gz", "wt") as file:
        file.write(lines)
    for name in ("g.txt", "g.txt.gz"):
        words, vectors = read_glove(tmp_path / name)
        assert words == ["the", "of", ","] and vectors.tolist() == [[0.5, -1], [2, 3], [4, 0.5]]
        assert vectors.dtype == np.float32
        words, vectors = read_glove(tmp_path / name, {"of", "nothing"})
        assert words == ["of"] and vectors.tolist() == [[2, 3]]
    (tmp_path / "g.txt").write_text("the 0 1 \nat name@x.com 2 3\n. . . 4 5\n", encoding="utf-8")
    assert read_glove(tmp_path / "g.txt")[0] == ["the", "at name@x.com", ". . ."]


@pytest.mark.parametrize("content", [b"the 1 2\nof 3\n", b"the one\n", b"the\n", b"the 1 nan\n", b"\xff\n", b"",
                                     b"the 1 2\nof 1.5 2 3\n", b"2 1\nthe 1 2\n"])
def test_a_file_that_is_not_glove_is_refused(tmp_path, content):
    (tmp_path / "g.txt").write_bytes(content)
    with pytest.raises(ScratchError, match=r"g\.txt"):
        read_glove(tmp_path / "g.txt")
    (tmp_path / "g.txt.gz").write_bytes(gzip.compress(b"the 1 2\n" * 99)[:-9])
    with pytest.raises(ScratchError, match=r"g\.txt"):
        read_glove(tmp_path / "g.txt.gz")
