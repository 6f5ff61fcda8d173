"""`python examples/gpt sample`: text in the style of the training text, printed letter by letter."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy
from char_lm.sample import add_sampling, first_letter, known_part
from gpt.network import WEIGHTS, load
from gpt.tokens import Tokens

from scratch.backend import to_device
from scratch.fast import fast
from scratch.functions import sample_from, softmax
from scratch.layer import evaluating
from scratch.tools import program
from scratch.tools.history import progress


def generate(
    model: Any, seed: Sequence[int], count: int, context: int, num_texts: int = 1, temperature: float = 1.0,
    top_k: int | None = None, top_p: float | None = None,
) -> Iterator[list[int]]:
    """`count` times the next id of each of `num_texts` texts that begin with `seed`, as one batch.

    A stateful network reads the seed once, and then each id as it is drawn: its state holds the keys and values of the
    ids before. One without a state reads the whole window again for each id, with the same results.
    """
    window, read = numpy.tile(numpy.array(seed[-context:], dtype=numpy.int64), (num_texts, 1)), 0
    model.reset_hidden_state()
    with evaluating(model):
        for _ in range(count):
            scores = model.forward(to_device(window[:, read:]))[:, -1]
            drawn = [sample_from(row, temperature, top_k, top_p) for row in softmax(scores)]
            yield drawn
            read = window.shape[1] if model.stateful else 0
            window = numpy.concatenate([window, numpy.array(drawn)[:, None]], axis=1)
            if window.shape[1] > context:
                # The state is full: no later position has a vector, and all keys and values in it depend on their
                # positions. So the last half of the window is read again, from position 0 on. That is once in
                # context / 2 ids, so an id costs the same however long the text is.
                window, read = window[:, -max(context // 2, 1) :], 0
                model.reset_hidden_state()
    model.reset_hidden_state()


def write_on(
    model: Any, tokens: Tokens, seed_text: str, count: int, context: int, num_texts: int = 1, **options: Any
) -> list[str]:
    """Print and return the texts of `generate` after `seed_text`; a single one is printed letter by letter."""
    steps: Iterable[list[int]] = generate(model, tokens.encode(seed_text), count, context, num_texts, **options)
    if num_texts == 1:
        text = seed_text
        print(text.replace("\r", ""), end="", flush=True)
        for piece in tokens.decoded(step[0] for step in steps):
            text += piece
            print(piece.replace("\r", ""), end="", flush=True)  # a terminal would overwrite the line
        print()
        return [text]
    rows = zip(*progress(steps, "writing", count), strict=True)
    texts = [seed_text + "".join(tokens.decoded(row)) for row in rows]
    for number, text in enumerate(texts, 1):
        print(f"--- {number} ---\n" + text.replace("\r", ""))
    return texts


def command(arguments: list[str]) -> None:
    parser = program.Parser("Continue a seed in the style of the training text.", prog="gpt sample")
    parser.common(
        weights=WEIGHTS, device=None, plain=False, seed=None, samples=1, seed_text=None, temperature=0.8,
        top_k=None, top_p=None,
    )
    parser.add_argument(
        "--greedy", action="store_true", help="always choose the likeliest token, as with --temperature 0"
    )
    add_sampling(parser, count=500)
    parser.add_argument(
        "--context", type=program.positive, metavar="N", help="look at most N tokens back (default: as in training)"
    )
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    model, tokens, metadata = load(flags.weights, flags.context, stateful=True)
    model = model if flags.plain else fast(model)
    seed_text = first_letter(tokens.vocab) if flags.seed_text is None else flags.seed_text
    seed_text = known_part(seed_text, tokens.vocab, flags.skip_unknown)
    write_on(
        model, tokens, seed_text, flags.count, flags.context or metadata["context"], flags.samples,
        temperature=0.0 if flags.greedy else flags.temperature, top_k=flags.top_k, top_p=flags.top_p,
    )
