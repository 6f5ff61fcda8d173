"""`python examples/bidaf prepare`: statistics of the paragraphs and questions, and all that `train` needs in one file.

The file holds the texts with the positions of their words, the spans of the answers, and the vectors of the words. So a
machine that trains from it needs neither SQuAD nor GloVe.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
from bidaf.examples import Data, load_squad
from bidaf.squad import Question, Squad, Text
from bidaf.trained import lexicon_of, texts_of, vectors_of
from bidaf.words import REPLACEMENT, Lexicon

from scratch.checks import ScratchError
from scratch.text import as_known
from scratch.tools import program
from scratch.tools.datasets import find_glove
from scratch.tools.files import parse_json, read_arrays, write_arrays
from scratch.tools.locks import claim
from scratch.tools.plots import histograms
from scratch.tools.schema import Row, alphabet, check
from scratch.tools.weights import metadata_of

# In words. Few are longer, and `train` cuts those.
LIMITS = {"paragraphs": 400, "questions": 30, "answers": 20, "where answers end": 300}

_PLACE = range(2**31)
SQUAD = Row(  # the schema of a set in the file: paragraphs, their titles, questions
    [Row(str, [_PLACE], [_PLACE])], [str],
    [Row(str, str, [_PLACE], [_PLACE], _PLACE, [str], (None, Row(_PLACE, _PLACE)), bool)],
)


def command(arguments: list[str]) -> None:
    parser = program.Parser(
        "Print statistics of SQuAD; write words, vectors and spans to one file.", prog="bidaf prepare"
    )
    parser.add_argument("--whole", action="store_true", help="train on all of train, hold out all of dev")
    parser.add_argument("--glove", type=Path, metavar="FILE", help="word vectors (default: the data set glove)")
    parser.common(data=None, out=Path("runs/bidaf"), report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    program.writable(flags.out)
    claim(flags.out, ["prepared.npz", "lengths.png"])
    file, flags.plot = flags.out / "prepared.npz", flags.plot or flags.out / "lengths.png"
    program.writable_file(flags.plot, flags.data, flags.glove, file)
    program.writable_file(flags.report, flags.data, flags.glove, file, flags.plot)
    data = load_squad(flags.data, flags.whole)
    lexicon = lexicon_of(*data, glove=find_glove(flags.glove), word_length=1)
    write_prepared(file, data, lexicon, flags.whole)

    figures = {name: figures_of(squad, lexicon) for name, squad in data._asdict().items()}
    print(f"{'':48}{'training set':>14}{'held out':>14}")
    for name in figures["learn"]:
        values = [part[name] for part in figures.values()]
        shown = [f"{value:,}" if isinstance(value, int) else f"{value:.2%}" for value in values]
        print(f"{name:48}{shown[0]:>14}{shown[1]:>14}")
    letters = lexicon.alphabet.replace(REPLACEMENT, "")
    print(f"\n{len(letters) + 1} characters: one that stands for all others, and {program.one_line(letters)}")
    lengths = {what: (lengths_of(data.learn)[what], limit) for what, limit in LIMITS.items()}
    histograms(flags.plot, lengths, "words", "Training set; few lengths exceed the dashed limits")
    program.write_report(flags.report, figures | {"characters": letters})
    print(f"Prepared: {file}, plot: {flags.plot}")


def lengths_of(squad: Squad) -> dict[str, list[int]]:
    """In words: the lengths of paragraphs, questions and answers, and where in their paragraph the answers end."""
    spans = [question.span for question in squad.questions if question.span is not None]
    return {
        "paragraphs": [len(context.words) for context in squad.contexts],
        "questions": [len(question.asked.words) for question in squad.questions],
        "answers": [end - begin + 1 for begin, end in spans],
        "where answers end": [end + 1 for _, end in spans],
    }


def figures_of(squad: Squad, lexicon: Lexicon) -> dict[str, Any]:
    """Statistics of the files: counts (int) and shares (float)."""
    words = [word for text in texts_of(squad) for word in text.words]
    distinct, letters = set(words), Counter(letter for word in words for letter in word)
    known = [word for word in distinct if lexicon.has_vector[lexicon.ids[word]]]
    times = Counter(words)
    shares: dict[str, float] = {}
    for (what, lengths), limit in zip(lengths_of(squad).items(), LIMITS.values(), strict=True):
        within = "within the first" if what.startswith("where") else "of at most"
        shares[f"{what}, {within} {limit} words"] = sum(n <= limit for n in lengths) / max(len(lengths), 1)
    return {
        "articles": len(set(squad.titles)),
        "paragraphs": len(squad.contexts),
        "questions": len(squad.questions),
        "answers not at their recorded place": sum(question.span is None for question in squad.questions),
        "answers that are part of a word": sum(q.span is not None and not q.exact for q in squad.questions),
        **shares,
        "words": len(words),
        "distinct words": len(distinct),
        "words with a vector": sum(times[word] for word in known) / max(len(words), 1),
        "distinct words with a vector": len(known) / max(len(distinct), 1),
        "characters of the alphabet": sum(letters[letter] for letter in lexicon.alphabet) / max(letters.total(), 1),
    }


# The file -------------------------------------------------------------------------------------------------------


def write_prepared(path: Path, data: Data, lexicon: Lexicon, whole: bool) -> None:
    """Write the questions, and the vectors of their words."""
    texts = {name: numpy.frombuffer(_plain(squad), numpy.uint8) for name, squad in data._asdict().items()}
    known = {as_known(word): k for k, word in enumerate(lexicon.words) if lexicon.has_vector[k]}
    metadata = {"program": "bidaf prepare", "whole": whole, "known": list(known), "alphabet": lexicon.alphabet}
    write_arrays(path, texts | {"vectors": lexicon.vectors[list(known.values())]}, metadata)


def read_prepared(path: Path, word_length: int) -> tuple[Data, Lexicon, bool]:
    """The questions, their words, and whether they are the official files unchanged. Raises: as `read_arrays`."""
    metadata = metadata_of(path, "bidaf prepare", whole=bool, known=[str], alphabet=alphabet)
    arrays, _ = read_arrays(path)
    vectors = vectors_of(path, arrays, "vectors", metadata["known"])
    data = Data(*(_squad(path, name, arrays.get(name, numpy.zeros(0))) for name in Data._fields))
    words = (word for text in texts_of(*data) for word in text.words)
    return data, Lexicon(words, metadata["known"], vectors, metadata["alphabet"], word_length), metadata["whole"]


def _plain(squad: Squad) -> bytes:
    # A word is known by its position in the text.
    contexts = [(context.text, context.starts, context.ends) for context in squad.contexts]
    questions = [
        (q.id, q.asked.text, q.asked.starts, q.asked.ends, q.context, q.answers, q.span, q.exact)
        for q in squad.questions
    ]
    return json.dumps((contexts, squad.titles, questions)).encode()


def _squad(path: Path, name: str, array: numpy.ndarray) -> Squad:
    """The paragraphs and questions of one set. Raises: ScratchError, which names what is damaged."""
    try:
        contexts, titles, questions = check(parse_json(array.tobytes()), SQUAD, f"{path}: {name}")
        texts = [_text(*context) for context in contexts]
        if len(titles) != len(texts):
            raise ValueError(f"{len(texts)} paragraphs have {len(titles)} titles")
        squad = Squad(texts, titles, [])
        for id, asked, starts, ends, context, answers, span, exact in questions:
            if context >= len(texts) or (span and not span[0] <= span[1] < len(texts[context].words)):
                raise ValueError(f"question {id[:40]!r}: there is no such paragraph, or the answer lies outside it")
            asked = _text(asked, starts, ends)
            squad.questions.append(Question(id, asked, context, answers, span and (span[0], span[1]), exact))
    except ScratchError:
        raise
    except ValueError as error:
        raise ScratchError(f"{path}: {name} is damaged ({error})") from None
    return squad


def _text(text: str, starts: list[int], ends: list[int]) -> Text:
    # Overlapping words are rejected: a million words of a megabyte each would exhaust the memory.
    in_order = all(before <= start < end for before, start, end in zip([0, *ends], starts, ends, strict=False))
    if len(starts) != len(ends) or not in_order or max(ends, default=0) > len(text):
        raise ValueError("a word is outside its text or overlaps another")
    return Text(text, [text[start:end] for start, end in zip(starts, ends, strict=True)], starts, ends)
