"""The data of the character CNN: texts as ids, tables, what is rejected, and the training and validation sets."""

import random
from argparse import Namespace

import numpy as np
import pytest
from char_cnn import data, tables
from char_cnn.texts import ALPHABET, Quantiser, cleaned, with_gaps
from hypothesis import given
from hypothesis import strategies as st
from programs import DATA, needs_data

from scratch.checks import ScratchError


def test_the_alphabet_is_the_papers_without_its_repeated_hyphen():
    assert len(ALPHABET) == len(set(ALPHABET)) == 69


@given(st.text(max_size=20), st.integers(1, 12))
def test_a_text_is_read_backwards_and_unknown_characters_keep_their_place(text, length):
    expected = [ALPHABET.find(character) for character in reversed(text)][:length]
    assert Quantiser(ALPHABET, length)([text])[0].tolist() == expected + [-1] * (length - len(expected))


def test_an_alphabet_of_many_characters():
    alphabet = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    assert Quantiser(alphabet, 3)([alphabet[-1] + "a" + alphabet[128]]).tolist() == [[128, -1, 299]]


def test_steps():
    text = "See https://a.b/c?d=e now, @you_2: #Fun_1 at WWW.x.org"
    assert cleaned(text, ["remove_urls", "remove_hashtags", "remove_user_mentions", "lower"]) == "see  now, :  at "
    assert cleaned(text, []) == text


def test_gaps():
    random.seed(0)
    ids = Quantiser("ab", 400)(["ab b " * 80] * 3)
    some = with_gaps(ids, 0.25)
    assert 0.2 < (some != ids).sum() / (ids >= 0).sum() < 0.3 and set(some[some != ids]) == {-1}
    assert np.array_equal(with_gaps(ids, 0.0), ids) and some.dtype == ids.dtype


def read(path, text, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tables.read_table(path, text, "label", Quantiser(ALPHABET, 5), ["lower"], **options)


def test_a_table_is_read_in_chunks(tmp_path):
    content = 'id,title,label,body\n1,"A, b",10,x\n2,😀,9,\n3,"c\nd",9,"e ""f"""\n4,NA,2,null\n'
    whole = read(tmp_path / "t.csv", "title+body", content)
    assert whole.classes == ["2", "9", "10"] and whole.labels.tolist() == [2, 1, 0] and whole.num_unreadable == 1
    assert whole.ids[0].tolist() == Quantiser(ALPHABET, 5)(["a, b x"])[0].tolist()
    assert whole.ids[2].tolist() == Quantiser(ALPHABET, 5)(["na null"])[0].tolist()
    pieces = read(tmp_path / "t.csv", "title+body", content, chunksize=1)
    assert np.array_equal(pieces.ids, whole.ids) and np.array_equal(pieces.labels, whole.labels)
    assert len(read(tmp_path / "t.csv", "title", content, max_rows=1).ids) == 1


def test_a_table_without_a_header(tmp_path):
    (tmp_path / "t.csv").write_text('"1","a","b"\n"2","c","d"\n')
    found = tables.read_table(tmp_path / "t.csv", "2+3", "1", Quantiser(ALPHABET, 5), [])
    assert found.classes == ["1", "2"] and len(found.ids) == 2


@pytest.mark.parametrize(("content", "options", "words"), [
    ("", {}, "is empty"),
    ("text,polarity\na,1\n", {}, "no column 'label'; there are: text, polarity"),
    ("text,label\na,1\nb,\n", {}, "row 3 has no label"),
    ("text,label\na,1\nb, \n", {"chunksize": 1}, "row 3 has no label"),
    ("text,label\na,1\n", {"classes": ["2", "3"]}, "row 2 has label '1' in column 'label', which is none of 2, 3"),
    ('text,label\n"a,1\nb,2\n', {}, "quotation mark"),
    ("text,label\na,1\nb,2,3,4\n", {}, "line 3"),
    (b"text,label\nabc,1\n\xe9t\xe9,1\n", {}, "not UTF-8 .byte 17.; give --encoding"),
    ("text,label\n😀,1\n", {}, "no row with a character"),
    ("text,label\n", {}, "no row with a character"),
    ("text,label\na,1\n", {"encoding": "klingon"}, "unknown encoding"),
    ("text,label\na,1\n", {"encoding": "base64"}, "unknown encoding"),
    ("text,label\na,1\n", {"encoding": "utf-16"}, "not UTF-16 .byte"),
    ("text,label\na,1,\nb,2,\n", {}, "not a CSV file"),
    ("text,label,label\na,1,2\n", {}, "more than one column 'label'"),
    ("text,label\n" + "".join(f"a,{k}\n" for k in range(101)), {}, "more than 100 different labels"),
], ids=lambda value: str(value)[:30])
def test_a_bad_table_is_refused(tmp_path, content, options, words):
    with pytest.raises(ScratchError, match=words):
        read(tmp_path / "t.csv", "text", content, **options)


def test_another_encoding(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"text,label\n\xe9t\xe9,1\n")
    found = tables.read_table(tmp_path / "t.csv", "text", "label", Quantiser("té", 5), [], "latin-1")
    assert found.ids.tolist() == [[1, 0, 1, -1, -1]]


@needs_data("ag_news_csv")
def test_ag_news_is_read():
    path, known = data.file_of(str(DATA / "ag_news_csv" / "test.csv"), "test")
    found = tables.read_table(path, "2+3", "1", Quantiser(ALPHABET, 300), ["lower"])
    assert known is None and found.ids.shape == (7600, 300) and np.bincount(found.labels).tolist() == [1900] * 4


def test_the_validation_set_has_a_share_of_each_class():
    labels = np.array([0] * 50 + [1] * 10 + [2] * 2)
    training, validation = data.divide(labels, 0.2, random)
    assert np.bincount(labels[validation]).tolist() == [10, 2, 1]
    assert sorted([*training, *validation]) == list(range(62)) and training.tolist() != sorted(training)
    with pytest.raises(ScratchError, match="too few rows: class 1 has 1"):
        data.divide(np.array([0, 0, 1]), 0.2, random)


def test_a_known_data_set_with_a_validation_file(tmp_path, monkeypatch):
    folder = tmp_path / "french_reviews"
    folder.mkdir()
    for name, rows in (("train", "bon,1\nnul,0\n,1\n"), ("val", "bof,0\n")):
        (folder / f"{name}.csv").write_text("review,polarity\n" + rows)
    monkeypatch.setenv("SCRATCH_DATA", str(tmp_path))
    flags = Namespace(
        data_path="french_reviews", text_column=None, label_column=None, alphabet=ALPHABET, max_length=5, steps=[],
        encoding="utf-8", chunksize=10, max_rows=None, number_of_classes=2,
    )
    found = data.load(flags, random)
    assert found.training.labels.tolist() == [1, 0] and found.training.num_unreadable == 1
    assert found.validation.labels.tolist() == [0] and found.names == ["0", "1"]
    (folder / "val.csv").write_text("review,polarity\nbof,2\n")
    with pytest.raises(ScratchError, match="none of 0, 1"):
        data.load(flags, random)


def test_class_names_come_from_a_file_beside_the_table(tmp_path):
    (tmp_path / "classes.txt").write_text("World\nSports\n")
    known = data.KNOWN["ag_news_csv"]
    assert data.names_of(["2", "1"], tmp_path / "train.csv", known) == ["Sports", "World"]
    assert data.names_of(["2", "1"], tmp_path / "train.csv", None) == ["2", "1"]
