"""Text files: every reader takes the same forms of text, and refuses the rest by name and place."""

import csv
import encodings.aliases
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from bidaf import ask
from bidaf.squad import read_squad
from char_cnn import data, tables
from char_cnn import train as char_cnn_train
from char_cnn.config import read_config
from char_cnn.texts import ALPHABET, Quantiser
from hypothesis import given
from hypothesis import strategies as st
from movie_reviews.phrases import read_phrases

from scratch.checks import ScratchError
from scratch.tools import incoming
from scratch.tools.corpus import pieces
from scratch.tools.datasets import read_glove, read_labelled_lines
from scratch.tools.files import read_json, read_lines
from scratch.tools.weights import load_vocab

NFC, NFD = "Beyonc\u00e9", "Beyonce\u0301"


def labelled(path):
    (path.parent / "zeta.txt").write_text("Zoe\n", encoding="utf-8")
    return read_labelled_lines(path.parent)


def table(path):
    return tables.read_table(path, "text", "label", Quantiser(ALPHABET + "\u00e9\u0301", 9), []).ids.tolist()


def class_names(path):
    return data.names_of(["1", "2"], path, data.Known((), None, "", "", "", path.name))


SQUAD = {"data": [{"title": "T", "paragraphs": [{"context": f"{NFC} sang. {NFD} sang.", "qas": [
    {"id": "1", "question": "Who?", "answers": [{"text": "sang", "answer_start": 8}]}]}]}]}
READERS = {  # how a kind of file is read, and such a file
    "text": (incoming.read_text, f"{NFC}\n{NFD}\n"),
    "corpus": (lambda path: "".join(pieces(path)), f"{NFC}\n{NFD}\n"),
    "paragraph": (lambda path: ask.paragraph_of(str(path)), f"{NFC} sang.\n{NFD} sang.\n"),
    "lines": (read_lines, f"{NFC}\n{NFD}\n"),
    "labels": (labelled, f"{NFC}\n{NFD}\n"),
    "json": (read_json, json.dumps({NFC: 0, NFD: 1}, indent=1, ensure_ascii=False)),
    "vocabulary": (lambda path: load_vocab(path).w2i, json.dumps({NFC: 0, NFD: 1}, ensure_ascii=False)),
    "configuration": (lambda path: read_config(path, NFC), json.dumps({
        NFC: {"conv": [[1, 1, 1]], "fc": []}, NFD: {}}, ensure_ascii=False)),
    "squad": (read_squad, json.dumps(SQUAD, indent=1, ensure_ascii=False)),
    "glove": (lambda path: [part.tolist() if part is not None else 0 for part in map(np.asarray, read_glove(path))],
              f"{NFC} 1 2\n{NFD} 3 4\n"),
    "phrases": (read_phrases, f"PhraseId\tSentenceId\tPhrase\tSentiment\n1\t1\t{NFC}\t0\n2\t1\t{NFD}\t1\n"),
    "table": (table, f"text,label\n{NFC},1\n{NFD},2\n"),
    "class names": (class_names, f"{NFC}\n{NFD}\n"),
}


@pytest.mark.parametrize("kind", READERS)
def test_every_reader_takes_the_same_forms_of_text(kind, tmp_path):
    read, text = READERS[kind]
    path = tmp_path / "file.txt"

    def found(content):
        path.write_bytes(content)
        return read(path)

    expected = found(text.encode())
    assert found(text.encode("utf-8-sig")) == expected
    assert found(text.replace("\n", "\r\n").encode()) == expected
    assert found(text.replace("\n", "\r\n").encode("utf-8-sig")) == expected


@pytest.mark.parametrize("kind", READERS)
def test_every_reader_refuses_what_is_no_text_by_name_and_place(kind, tmp_path):
    read, text = READERS[kind]
    path, whole = tmp_path / "file.txt", text.encode()
    middle = whole.index("é".encode())
    for content, words in (
        (whole[:middle] + b"\xe9" + whole[middle:], f"utf-8.*{middle}"),
        (whole + b"\xc3", f"utf-8.*{len(whole)}|line 2: 'utf-8'"),
        (text.encode("utf-16"), "utf-8.* 0|zero"), (b"\0" + whole, "zero|not|damaged"), (bytes(99), "zero|not|damaged"),
        (b"\x89PNG\r\n\x1a\n\0\0", "utf-8.* 0|zero"),
    ):
        path.write_bytes(content)
        with pytest.raises(ScratchError, match=rf"(?i)file\.txt.*({words})"):
            read(path)
    if kind not in ("text", "corpus", "paragraph"):  # whose programs say how much text they need
        path.write_bytes(b"")
        with pytest.raises(ScratchError, match=r"file\.txt"):
            read(path)
    path.unlink()
    if kind == "labels":  # a folder is read, and holds what it holds
        return
    with pytest.raises(ScratchError, match=r"file\.txt.*(no such file|expected .*train\.tsv)"):
        read(path)
    path.mkdir()
    with pytest.raises(ScratchError, match=r"file\.txt.*(is a folder|expected .*train\.tsv)"):
        read(path)


def test_a_label_whose_file_has_a_name_that_is_not_utf_8_is_refused(tmp_path):
    for name in (b"Greek.txt", b"Fran\xe7ais.txt"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(b"Ann\n")
    with pytest.raises(ScratchError, match=r"the name of .*: expected text in UTF-8"):
        read_labelled_lines(tmp_path)


CODECS = sorted({*encodings.aliases.aliases.values(), "undefined", "idna", "punycode", "unicode_escape", "a\0b"})


@pytest.mark.parametrize("encoding", CODECS)
def test_every_codec_of_python_reads_or_is_refused(encoding, tmp_path):
    path = tmp_path / "t.csv"
    for content in (b"text,label\nabc,1\n\xe9t\xe9,2\n", b"text,label\nabc,1\n", b"\xff\xfet\0e\0", b"\x80\x81\xfe\0"):
        path.write_bytes(content)
        try:
            tables.read_table(path, "text", "label", Quantiser("abc", 5), [], encoding)
        except ScratchError as error:
            assert "t.csv" in str(error) or "unknown encoding" in str(error)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=30), st.integers(1, 5),
       st.sampled_from(["utf-8", "utf-16", "utf-7", "utf-32-be", "gb18030", "unicode_escape"]))
def test_a_text_in_any_encoding_comes_in_pieces(text, size, encoding):
    before, incoming.PIECE = incoming.PIECE, size
    try:
        content = text.encode(encoding)
        found = "".join(incoming.pieces(io.BytesIO(content), "file", encoding))
        assert "".join(incoming.lines(incoming.pieces(io.BytesIO(content), "file", encoding), "file")) == found
    finally:
        incoming.PIECE = before
    assert found == text.removeprefix("\ufeff")


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory():
    def endless():
        while True:
            yield "x" * 2**20

    with pytest.raises(ScratchError, match="file: a line has more than"):
        list(incoming.lines(endless(), "file"))




# Tables ----------------------------------------------------------------------------------------------------------


CELL = st.text(st.sampled_from("ab ,\"\n'\u00e9"), max_size=5)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=9), st.lists(st.integers(0, 2), min_size=9, max_size=9))
def test_rows_have_the_numbers_that_an_editor_shows(tmp_path_factory, cells, blank):
    path, numbers, text = tmp_path_factory.mktemp("table") / "t.csv", [], "text,label\n"
    for (first, label), skipped in zip(cells, blank, strict=False):
        text += "\n" * skipped
        numbers.append(text.count("\n") + 1)
        written = io.StringIO()
        csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow([first, label])
        text += written.getvalue()
    path.write_text(text, encoding="utf-8")
    found = list(tables.read_rows(path, "text", "label", "utf-8", 4, None))
    assert [number for chunk, _, _ in found for number in chunk] == numbers
    assert [pair for _, texts, labels in found for pair in zip(texts, labels, strict=True)] == cells


def test_a_wide_table_and_a_long_label(tmp_path):
    started, path = time.perf_counter(), tmp_path / "t.csv"
    path.write_text("".join(",".join([f"{cell}{k}" for k in range(200_000)]) + "\n" for cell in "cxyz"))
    found = tables.read_table(path, "c7", "c199999", Quantiser("xyz", 3), [])
    assert found.classes == ["x199999", "y199999", "z199999"]
    with pytest.raises(ScratchError, match=r"has no column 'text'; .*: c0, c1") as caught:
        tables.read_table(path, "text", "c1", Quantiser("xyz", 3), [])
    assert len(str(caught.value)) < 1000
    path.write_text(f"text,label\na,1\n\nb,{'x' * 10**6}\n")
    with pytest.raises(ScratchError, match="row 4 has a label of 1000000 characters"):
        tables.read_table(path, "text", "label", Quantiser("abc", 3), [])
    assert time.perf_counter() - started < 20


def test_a_class_without_a_name_is_refused(tmp_path):
    (tmp_path / "classes.txt").write_text("World\n")
    with pytest.raises(ScratchError, match=r"classes\.txt: has no name for the label '2'"):
        data.names_of(["1", "2"], tmp_path / "train.csv", data.KNOWN["ag_news_csv"])




def test_a_row_that_is_left_over_is_trained_on_with_the_others(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{word} {k},{label}\n" for label, word in enumerate(("good", "bad")) for k in range(3))
    Path("t.csv").write_text(f"text,label\n{rows}good again,0\n")
    flags = ["--data", "t.csv", "--text_column", "text", "--label_column", "label", "--size", "compact"]
    for batch_size in ("2", "4"):  # five rows to train on
        char_cnn_train.command([*flags, "--batch_size", batch_size, "--epochs", "1", "--max_length", "60"])
        assert "5 texts (2 classes) in the training set" in capsys.readouterr().out
