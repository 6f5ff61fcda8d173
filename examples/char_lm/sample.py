"""`python examples/char_lm sample`: text in the style of the training text, character by character."""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy
from char_lm.network import WEIGHTS, load, reset

from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.functions import sample_from, softmax
from scratch.layer import Layer, evaluating
from scratch.text import Vocabulary
from scratch.tools import program
from scratch.tools.history import progress


def generate(
    model: Layer, seed: Sequence[int], count: int, num_texts: int = 1, temperature: float = 1.0,
    top_k: int | None = None, window: int | None = None, top_p: float | None = None,
) -> Iterator[list[int]]:
    """`count` times the next id of each of `num_texts` texts that begin with `seed`, as one batch.

    A stateful network reads the seed once and then each id as it is drawn. One that starts from zeros at each sequence
    (`window` is not None) reads the last `window` ids again for each.
    """
    texts = numpy.tile(numpy.array(seed, dtype=numpy.int64), (num_texts, 1))
    reset(model)
    with evaluating(model):
        for _ in range(count):
            scores = model.forward(to_device(texts if window is None else texts[:, -window:]))
            p = softmax(scores[:, -1] if scores.ndim == 3 else scores)
            drawn = [sample_from(row, temperature, top_k, top_p) for row in p]
            yield drawn
            following = numpy.array(drawn)[:, None]
            texts = following if window is None else numpy.concatenate([texts, following], axis=1)[:, -window:]
    reset(model)


def write_on(
    model: Layer, vocab: Vocabulary, seed_text: str, count: int, num_texts: int = 1, **options: Any
) -> list[str]:
    """Print and return the texts of `generate` after `seed_text`; a single one is printed letter by letter."""
    texts = [seed_text] * num_texts
    if num_texts == 1:
        print(seed_text.replace("\r", ""), end="", flush=True)
    steps: Iterable[list[int]] = generate(model, vocab.encode(seed_text), count, num_texts, **options)
    for drawn in steps if num_texts == 1 else progress(steps, "writing", count):
        texts = [text + vocab.i2w[id] for text, id in zip(texts, drawn, strict=True)]
        if num_texts == 1:
            print(vocab.i2w[drawn[0]].replace("\r", ""), end="", flush=True)  # a terminal would overwrite the line
    if num_texts == 1:
        print()
    else:
        for number, text in enumerate(texts, 1):
            print(f"--- {number} ---\n" + text.replace("\r", ""))
    return texts


def known_part(text: str, vocab: Vocabulary, skip_unknown: bool) -> str:
    """`text` without the characters that `vocab` lacks; without `skip_unknown` they are refused."""
    unknown = "".join(sorted(set(text) - vocab.w2i.keys()))
    if unknown and not skip_unknown:
        raise ScratchError(
            f"the seed contains {unknown!r}, which the training text does not; --skip-unknown omits it"
        )
    if unknown:
        text = "".join(letter for letter in text if letter in vocab.w2i)
        print(f"(omitted from the seed: {unknown!r})")
    if not text:
        raise ScratchError("the seed: expected at least one character of the training text")
    return text


def first_letter(vocab: Vocabulary) -> str:
    """A random capital letter of the text, or any letter where it has none."""
    letters = sorted(vocab.w2i)
    return random.choice([letter for letter in letters if letter.isupper()] or letters)


def add_sampling(parser: program.Parser, count: int) -> None:
    """Add the flags that only text generators have."""
    parser.add_argument(
        "--count", type=program.positive, default=count, metavar="N",
        help=f"number of characters to generate (default: {count})",
    )
    parser.add_argument("--skip-unknown", action="store_true", help="omit unknown characters from the seed")


def command(arguments: list[str]) -> None:
    parser = program.Parser("Continue a seed in the style of the training text.", prog="char_lm sample")
    parser.common(
        weights=WEIGHTS, device=None, plain=False, seed=None, samples=1, seed_text=None, temperature=0.8,
        top_k=None, top_p=None,
    )
    parser.add_argument(
        "--greedy", action="store_true", help="always choose the likeliest character, as with --temperature 0"
    )
    add_sampling(parser, count=500)
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    model, vocab, _ = load(flags.weights, "char_lm")
    model = model if flags.plain else fast(model)
    seed_text = first_letter(vocab) if flags.seed_text is None else flags.seed_text
    seed_text = known_part(seed_text, vocab, flags.skip_unknown)
    temperature = 0.0 if flags.greedy else flags.temperature
    write_on(
        model, vocab, seed_text, flags.count, flags.samples, temperature=temperature, top_k=flags.top_k,
        top_p=flags.top_p,
    )
