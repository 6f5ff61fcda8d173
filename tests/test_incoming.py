"""What comes in, and what is said about it: every reader takes the same forms of text, every program the same input."""

import csv
import encodings.aliases
import io
import json
import os
import re
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import company_names
import numpy as np
import programs
import pytest
from alice import generate
from alice import train as alice_train
from bidaf import ask
from bidaf import train as bidaf_train
from bidaf.squad import read_squad, words_with_places
from char_cnn import data, tables
from char_cnn import evaluate as char_cnn_evaluate
from char_cnn import predict as char_cnn_predict
from char_cnn import train as char_cnn_train
from char_cnn.config import read_config
from char_cnn.texts import ALPHABET, Quantiser, cleaned
from char_lm import sample
from char_lm import train as char_lm_train
from cifar10 import show
from hypothesis import example, given
from hypothesis import strategies as st
from movie_reviews import predict as reviews_predict
from movie_reviews import train as reviews_train
from movie_reviews.phrases import read_phrases
from name_languages import predict as names_predict
from name_languages import train as names_train

from scratch.checks import ScratchError
from scratch.text import as_known, words_of
from scratch.tools import incoming, plots, program
from scratch.tools.corpus import pieces
from scratch.tools.datasets import read_glove, read_labelled_lines
from scratch.tools.files import read_json, read_lines
from scratch.tools.weights import load_vocab

EVIL = "\x1b]0;evil\x07\x9b2J\u202e"
NFC, NFD = "Beyonc\u00e9", "Beyonce\u0301"

# Files -----------------------------------------------------------------------------------------------------------


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
    with pytest.raises(ScratchError, match=r"file\.txt.*(no such file|expected train\.tsv)"):
        read(path)
    path.mkdir()
    with pytest.raises(ScratchError, match=r"file\.txt.*(is a folder|expected train\.tsv)"):
        read(path)


def test_a_label_whose_file_has_a_name_that_is_not_utf_8_is_refused(tmp_path):
    for name in (b"Greek.txt", b"Fran\xe7ais.txt"):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(b"Ann\n")
    with pytest.raises(ScratchError, match=r"the name of .*: expected a text in UTF-8"):
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
    before, incoming._PIECE = incoming._PIECE, size
    try:
        content = text.encode(encoding)
        found = "".join(incoming.pieces(io.BytesIO(content), "file", encoding))
        assert "".join(incoming.lines(incoming.pieces(io.BytesIO(content), "file", encoding), "file")) == found
    finally:
        incoming._PIECE = before
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
    with pytest.raises(ScratchError, match="has no column 'text'; there are: c0, c1") as caught:
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


# Arguments and standard input ------------------------------------------------------------------------------------


def company(arguments):
    company_names.argv[:], before = ["company_names.py", *arguments], list(company_names.argv)
    try:
        company_names.main()
    finally:
        company_names.argv[:] = before


TEXTS = {  # the command that takes a text, its name in tests/programs.py, and the arguments around that text
    "alice": (generate.command, ["generate", "--count", "3", "--seed", "1", "--skip-unknown", "--seed-text"]),
    "char_lm": (sample.command, ["sample", "--count", "3", "--seed", "1", "--skip-unknown", "--seed-text"]),
    "company_names.py": (company, ["generate", "--count", "2", "--seed-text"]),
    "name_languages": (names_predict.command, ["predict"]),
    "char_cnn": (char_cnn_predict.command, ["predict", "--text"]),
    "movie_reviews": (reviews_predict.command, ["predict"]),
    "bidaf": (ask.command, ["ask", "Who sang?", "--paragraph"]),
}


@pytest.mark.parametrize("name", TEXTS)
def test_in_a_c_locale_arguments_are_utf_8_too(name, tmp_path):
    _, arguments = TEXTS[name]
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    expected = programs.run(name, *arguments, "M\u00e4dchen sang .", cwd=tmp_path, env={"PYTHONUTF8": "1"})
    found = programs.run(name, *arguments, "M\u00e4dchen sang .", cwd=tmp_path, env=c_locale)
    shown = [text.encode("ascii", "backslashreplace").decode() for text in expected[1:]]
    assert found == (expected[0], *shown) and "UTF-8" not in expected[2]


@pytest.mark.parametrize("name", TEXTS)
def test_an_argument_that_is_not_utf_8_is_refused(name):
    command, arguments = TEXTS[name]
    with pytest.raises(ScratchError, match="expected a text in UTF-8"):
        command([*arguments[name != "company_names.py" :], "caf\udce9 sang"])


def test_the_name_of_a_file_need_not_be_utf_8(tmp_path):
    names = os.fsencode(tmp_path) + b"/n\xe9.txt"
    with open(names, "wb") as file:
        file.write(b"Ann\nBob\nEve\n")
    assert read_lines(os.fsdecode(names)) == ["Ann", "Bob", "Eve"]
    parser = program.Parser("")
    parser.common(data=None)
    for argument in (os.fsdecode(names), "caf\u00e9"):
        assert parser.parse_args(["--data", argument]).data == Path(argument)


STDIN = {
    "alice": (generate.command, ["--count", "3", "--seed", "1", "--seed-text", "-"], "alice"),
    "name_languages": (names_predict.command, [], "Abe"),
    "char_cnn": (char_cnn_predict.command, [], "I love pizza"),
    "movie_reviews": (reviews_predict.command, [], "A quiet film"),
    "bidaf": (ask.command, ["Who sang?", "--paragraph", "-"], "Ann sang ."),
}


def with_input(monkeypatch, content):
    stdin = None if content is None else io.TextIOWrapper(io.BytesIO(content), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stdin)


@pytest.mark.parametrize("name", STDIN)
def test_every_program_reads_standard_input_alike(name, monkeypatch, capsys):
    command, arguments, text = STDIN[name]

    def printed(content):
        with_input(monkeypatch, content)
        command(list(arguments))
        return capsys.readouterr().out

    expected = printed(f"{text}\n".encode())
    assert expected == printed(text.encode()) == printed(f"\ufeff{text}\r\n".encode())


@pytest.mark.parametrize("name", STDIN)
@pytest.mark.parametrize(("content", "words"), [
    (None, "no |expected "), (b"", "no |expected "), (b"\r\n", "no |expected "),
    (b"Ann \xe9", "standard input: not UTF-8 .byte 4"), (b"a\0", "standard input: has a zero at byte 1"),
], ids=["closed", "empty", "blank", "latin-1", "binary"])
def test_every_program_refuses_standard_input_alike(name, content, words, monkeypatch):
    command, arguments, _ = STDIN[name]
    with_input(monkeypatch, content)
    with pytest.raises(ScratchError, match=words):
        command(list(arguments))


def test_standard_input_that_is_closed(tmp_path):
    """As a shell closes it: then Python has no sys.stdin."""
    command = [sys.executable, str(programs.ROOT / "examples/name_languages"), "predict"]
    shell = ["bash", "-c", '"$@" <&-', "bash", *command]
    run = subprocess.run(shell, cwd=tmp_path, env=programs.environment(), capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.startswith("name_languages: error: no names"), run.stderr


MISSING = {
    "alice text": (alice_train.command, ["nowhere.txt"]),
    "alice data": (alice_train.command, ["--data", "nowhere.txt"]),
    "alice weights": (generate.command, ["--weights", "nowhere.npz"]),
    "bidaf data": (bidaf_train.command, ["--data", "nowhere"]),
    "bidaf prepared": (bidaf_train.command, ["--prepared", "nowhere.npz"]),
    "bidaf paragraph": (ask.command, ["Who?", "--paragraph", "nowhere.txt"]),
    "bidaf weights": (ask.command, ["--weights", "nowhere.npz"]),
    "char_cnn data": (char_cnn_train.command, ["--data", "nowhere.csv"]),
    "char_cnn configuration": (char_cnn_train.command, ["--smoke", "--config_path", "nowhere.json"]),
    "char_cnn test data": (char_cnn_evaluate.command, ["--data", "nowhere.csv"]),
    "char_cnn weights": (char_cnn_predict.command, ["--model", "nowhere.npz", "--text", "x"]),
    "char_lm text": (char_lm_train.command, ["nowhere.txt"]),
    "char_lm weights": (sample.command, ["--weights", "nowhere.npz"]),
    "cifar10 images": (show.command, ["--images", "nowhere.png"]),
    "cifar10 weights": (show.command, ["--weights", "nowhere.npz"]),
    "company_names names": (company, ["--names", "nowhere.txt"]),
    "company_names weights": (company, ["generate", "--weights", "nowhere.npz"]),
    "movie_reviews data": (reviews_train.command, ["--data", "nowhere.tsv"]),
    "movie_reviews weights": (reviews_predict.command, ["--weights", "nowhere.npz", "x"]),
    "name_languages data": (names_train.command, ["--data", "nowhere"]),
    "name_languages weights": (names_predict.command, ["--weights", "nowhere.npz", "x"]),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_file_that_is_not_there_is_named_by_every_program(name, tmp_path, monkeypatch):
    command, arguments = MISSING[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScratchError, match=r"^nowhere.*: no such file"):
        command(list(arguments))


def test_a_refusal_of_the_operating_system_has_no_number():
    for error, words in (
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "a.txt: no such file"),
        (IsADirectoryError(21, "Is a directory", "a"), "a: is a folder; expected a file"),
        (PermissionError(13, "Permission denied", "a"), "a: permission denied"), (OSError("Odd"), "odd"),
    ):
        assert incoming.in_words(error) == words


# Messages --------------------------------------------------------------------------------------------------------

OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@given(st.text(max_size=40), st.integers(1, 2000))
@example(EVIL, 60_000)
@example("caf\udce9\ud800", 1)
def test_a_message_is_one_short_line_that_no_terminal_obeys(text, times):
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        program._say(f"error: {text * times}; try another")
        said = sys.stderr.getvalue()
    finally:
        sys.stderr = before
    assert said.endswith("; try another\n") and said.count("\n") == 1
    assert len(said) < 700 and not OBEYED.search(said)
    said.encode()


@given(st.text(max_size=40))
@example(EVIL)
def test_what_is_printed_lays_out_a_terminal_and_does_no_more(text):
    before, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n")
    outer = sys.stdout
    try:
        with program._escaping():
            print(text, json.dumps({"text": text}, ensure_ascii=False), sep="\n")
        assert sys.stdout is outer
        outer.flush()
        printed = outer.buffer.getvalue().decode("ascii")
    finally:
        sys.stdout = before
    assert not OBEYED.search(printed.replace("\t", ""))


@pytest.mark.parametrize("make", [
    lambda folder: (folder / "f").write_text(f"{EVIL},label\na,1\n", encoding="utf-8"),
    lambda folder: (folder / "f").write_text(f"SentimentText,Sentiment\na,{EVIL}\nb,2\n", encoding="utf-8"),
    lambda folder: (folder / "f").write_text(json.dumps({EVIL: {}})),
    lambda folder: (folder / "f").write_text(json.dumps({"small": {"conv": [[1, 1, 1]], "fc": [], EVIL: 1}})),
], ids=["header", "label", "size", "key"])
def test_control_characters_of_a_file_are_shown(make, tmp_path):
    make(tmp_path)
    is_table = (tmp_path / "f").read_text()[0] != "{"
    flag, more = ("--data", ["--number_of_classes", 9]) if is_table else ("--config_path", ["--smoke"])
    error = programs.refused("char_cnn", "train", flag, "f", *more, cwd=tmp_path)
    assert "evil" in error and not OBEYED.search(error)


def test_control_characters_of_names_and_labels_are_shown(tmp_path):
    folder = tmp_path / f"names{EVIL}"
    folder.mkdir()
    for label in ("A", f"B{EVIL}"):
        (folder / f"{label}.txt").write_text("\n".join(a + b for a in "abcdef" for b in "abcdef"))
    flags = ["--data", folder, "--out", f"out{EVIL}", "--epochs", 1, "--hidden", 4]
    code, out, err = programs.run("name_languages", "train", *flags, cwd=tmp_path)
    assert code == 0 and "evil" in out, err
    flags = ["--data", folder, "--weights", tmp_path / f"out{EVIL}" / "weights.npz"]
    for arguments in (["evaluate", *flags], ["predict", *flags[2:], "abba"]):
        code, more, err = programs.run("name_languages", *arguments, cwd=tmp_path)
        assert code == 0 and "evil" in more, err
        out += more
    assert not OBEYED.search(out + err)


ARGUMENT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.one_of(ARGUMENT, ARGUMENT.map(lambda text: f"{text}\udce9")), max_size=4))
@example(["caf\udce9 \u00e4'\\", EVIL, "$HOME", "a\nb", ""])
def test_a_shell_reads_a_printed_command_as_it_was_given(arguments):
    line = program.command_line("examples/alice", arguments)
    assert not OBEYED.search(line) and line.encode()
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True).stdout
    expected = ["python", "examples/alice", *arguments]
    assert read == b"".join(argument.encode("utf-8", "surrogateescape") + b"\0" for argument in expected)


def test_a_printed_path_is_not_taken_for_a_flag():
    assert program.command_line("p", ["--model", Path("-x/w.npz"), Path("y")]) == "python p --model ./-x/w.npz y"


def test_a_run_in_a_folder_with_an_odd_name_prints_a_command_that_runs(tmp_path):
    code, out, err = programs.run("name_languages", "train", "--smoke", "--out", "./-x", cwd=tmp_path)
    assert code == 0, err
    (more,) = [line.split(maxsplit=3)[3] for line in out.splitlines() if line.startswith("More:")]
    command = f"{sys.executable} {programs.ROOT}/examples/name_languages {more}"
    run = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=programs.environment(), capture_output=True)
    assert run.returncode == 0 and b"Satoshi" in run.stdout, run.stderr


def test_without_a_home_a_program_is_quiet(tmp_path):
    home = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}
    code, _, err = programs.run("company_names.py", "--smoke", cwd=tmp_path, env=home)
    assert (code, err) == (0, "") and (tmp_path / "runs/company_names/loss.png").exists()


def test_long_labels_are_drawn_at_once(tmp_path):
    started, words = time.perf_counter(), ["x" * 10**6, "b"]
    plots.confusion_matrix(tmp_path / "a.png", np.eye(2), words)
    plots.attention_map(tmp_path / "b.png", np.eye(2), words, words)
    plots.image_grid(tmp_path / "c.png", [np.zeros((2, 2, 3))] * 2, words)
    plots.labelled_points(tmp_path / "d.png", np.eye(2), words)
    assert time.perf_counter() - started < 20


# Words -----------------------------------------------------------------------------------------------------------

MIXED = st.text(st.one_of(
    st.sampled_from(["'", "\u2019", *"nts -.3\r\n", "\u00a0", "\u0301", "\u0308", "\u0307"]),
    st.characters(codec="utf-8"),
), max_size=30)
OF_GLOVE = re.compile(
    r"-[lr][rsc]b-|\w+?(?=n't\b)|n't\b|\w+(?:[-/.]\w+)*|'\w+|\.\.\.|--|``|''|[^\w\s]"
)
OF_SQUAD = re.compile(
    r"\d+(?:[.,]\d+)*|[^\W\d_]+?(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|[^\W\d_]+|``|''|\S", flags=re.IGNORECASE
)


@given(st.text(st.one_of(st.characters(max_codepoint=127), st.sampled_from("nt's-. "))))
def test_ascii_words_are_those_that_the_weights_were_trained_on(text):
    assert words_of(text) == OF_GLOVE.findall(text.lower())
    found = words_with_places(text)
    assert [*zip(found.starts, found.ends, strict=True)] == [match.span() for match in OF_SQUAD.finditer(text)]
    assert as_known(text) == text.lower()


@given(MIXED)
def test_words_do_not_depend_on_how_letters_and_apostrophes_are_spelled(text):
    composed, taken_apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    straight = text.replace("\u2019", "'")
    assert words_of(composed) == words_of(taken_apart) and words_of(text) == words_of(straight)
    assert words_with_places(text)[2:] == words_with_places(straight)[2:]
    known = [[as_known(word) for word in words_with_places(form).words] for form in (composed, taken_apart)]
    assert known[0] == known[1]
    assert as_known(as_known(text)) == as_known(text)


@given(MIXED)
@example("Tom\u00a0lives\r\nin Beyonce\u0301s \U0001f469\u200d\U0001f4bb house, \u0939\u093f\u0928\u094d\u0926\u0940.")
def test_a_word_is_a_part_of_the_text_as_given_and_no_mark_is_torn_off(text):
    found = words_with_places(text)
    place = 0
    for word, start, end in zip(found.words, found.starts, found.ends, strict=True):
        assert not text[place:start].strip() and text[start:end] == word and start < end
        for edge in (start, end):
            after_a_letter = 0 < edge < len(text) and not text[edge - 1].isspace()
            assert not after_a_letter or not unicodedata.category(text[edge]).startswith("M")
        place = end
    assert not text[place:].strip()
    for first in range(len(found.words)):
        assert found.span(first, len(found.words) - 1) in text


def test_words_of_other_scripts():
    for form in ("NFC", "NFD"):
        assert words_of(unicodedata.normalize(form, "Beyonc\u00e9 sang")) == ["beyonc\u00e9", "sang"]
        assert len(words_with_places(unicodedata.normalize(form, "Beyonc\u00e9 sang")).words) == 2
    hindi = "\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e"
    assert words_of(hindi) == words_with_places(hindi).words == hindi.split()
    assert words_of("It isn\u2019t good") == ["it", "is", "n't", "good"]
    assert words_of("\u0130stanbul") == ["istanbul"] and as_known("\u0130stanbul") == "istanbul"
    assert cleaned(f"#{hindi.split()[0]} a", ["remove_hashtags"]) == " a"


def test_a_curly_apostrophe_changes_no_answer(capsys):
    printed = []
    for text in ("It isn't good", "It isn\u2019t good"):
        for model in ("glove", "lstm", "characters"):
            reviews_predict.command([text, "--model", model])
        names_predict.command([text.replace("It isn", "O").replace("t good", "Neal")])
        printed.append(capsys.readouterr().out.replace("\u2019", "'"))
    assert printed[0] == printed[1]


# One row left over -----------------------------------------------------------------------------------------------


def test_a_row_that_is_left_over_is_trained_on_with_the_others(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{word} {k},{label}\n" for label, word in enumerate(("good", "bad")) for k in range(3))
    Path("t.csv").write_text(f"text,label\n{rows}good again,0\n")
    flags = ["--data", "t.csv", "--text_column", "text", "--label_column", "label", "--size", "compact"]
    for batch_size in ("2", "4"):  # five rows to train on
        char_cnn_train.command([*flags, "--batch_size", batch_size, "--epochs", "1", "--max_length", "60"])
        assert "5 texts of 2 classes in the training set" in capsys.readouterr().out
