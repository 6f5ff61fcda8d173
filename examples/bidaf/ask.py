"""`python examples/bidaf ask`: the most probable answers to one question, and the attention between the two texts."""

import os
from pathlib import Path

import numpy
from bidaf.examples import Encoded, best_spans, log_probabilities
from bidaf.squad import words_with_places
from bidaf.trained import WEIGHTS, load
from bidaf.words import Lexicon

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.layer import evaluating
from scratch.tools import program
from scratch.tools.incoming import decoded, read_text, standard_input
from scratch.tools.plots import attention_map

PARAGRAPH = (
    "Chess is an abstract strategy game that has been played in its present form since the fifteenth century. It is "
    "played on a board of 64 squares by two players, of whom the one with the white pieces moves first. Wilhelm "
    "Steinitz became the first world champion in 1886, and Deep Blue, a computer of IBM, defeated Garry Kasparov in "
    "May 1997."
)
QUESTION = "Who became the first world champion?"


def paragraph_of(given: str) -> str:
    """The paragraph: standard input if `given` is "-", the file's text if it is a file name, else `given` itself."""
    if given == "-":
        return standard_input()
    if os.path.isfile(given) or (len(given.split()) == 1 and Path(given).suffix):
        return read_text(given)
    return decoded(given, "--paragraph")


def is_known(lexicon: Lexicon, word: str, features: int) -> bool:
    """Whether `word` starts with a letter or digit, and has a vector or (with `features` > 0) a known character."""
    k = lexicon.ids[word]
    return word[0].isalnum() and bool(lexicon.has_vector[k] or (features and (lexicon.spelling[k] > 1).any()))


def command(arguments: list[str]) -> None:
    parser = program.Parser("Answer a question about a paragraph.", prog="bidaf ask")
    parser.add_argument(
        "question", nargs="?", default=QUESTION, help="a question (default: one about the built-in paragraph on chess)"
    )
    parser.add_argument(
        "--paragraph", type=os.fspath, default=PARAGRAPH, metavar="TEXT",
        help="the paragraph, a file that contains it, or - for standard input; TEXT is taken as a file name if such a "
        "file exists, or if it is one word with an extension, such as moon.txt",
    )
    parser.common(weights=WEIGHTS, device=None, plain=False, plot=None)
    flags = parser.parse_args(arguments)
    program.invite(flags.paragraph, "the paragraph")
    program.begin(flags, small=True)
    program.writable_file(flags.plot, flags.weights)
    paragraph = paragraph_of(flags.paragraph)
    context, asked = words_with_places(paragraph), words_with_places(flags.question)
    if not context.words or not asked.words:
        raise ScratchError("expected a paragraph and a question of at least one word each")
    model, lexicon, metadata = load(flags.weights, context, asked)
    model = model if flags.plain else fast(model)
    for name, text in (("paragraph", context), ("question", asked)):
        if not any(is_known(lexicon, word, metadata["features"]) for word in text.words):
            raise ScratchError(f"the {name} has no word that the network knows")
    if paragraph == PARAGRAPH and flags.question != QUESTION:
        print("(About the built-in paragraph on chess; choose another with --paragraph.)")
    print(program.one_line(flags.question))
    if unknown := [word for word in asked.words if word[0].isalnum() and not lexicon.has_vector[lexicon.ids[word]]]:
        print(
            f"(No word vector, so known only by its characters: {program.one_line(', '.join(dict.fromkeys(unknown)))}.)"
        )
    for name, text, most in (("paragraph", context, "context_words"), ("question", asked, "asked_words")):
        if len(text.words) > metadata[most]:
            print(f"(The {name} has {len(text.words)} words; training used only the first {metadata[most]}.)")
    example = Encoded(lexicon.encode(context.words), lexicon.encode(asked.words), None)
    ((begin, end),) = log_probabilities(model, [example])
    guesses = best_spans(begin, end, count=3)
    for guess in guesses:
        print(f"{guess.probability:.3f}  {program.one_line(context.span(guess.begin, guess.end))}")
    if flags.plot:
        ids = [to_device(numpy.array([words])) for words in example[:2]]
        with evaluating(model):
            weights = to_host(model.bidaf.weights_of_question(*(model.words.forward(some) for some in ids)))[0]
        rows, columns = context.words[: metadata["context_words"]], asked.words[: metadata["asked_words"]]
        answer, weights = range(guesses[0].begin, guesses[0].end + 1), weights[: len(rows), : len(columns)]
        attention_map(flags.plot, weights, rows, columns, answer, flags.question)
        print(f"Plot: {flags.plot}")
