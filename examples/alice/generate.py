"""`python examples/alice generate`: text that continues a passage of the book, or your own seed."""

import random

from alice.network import WEIGHTS, load
from char_lm.sample import add_sampling, known_part, write_on

from scratch.fast import fast
from scratch.tools import program
from scratch.tools.incoming import standard_input


def command(arguments: list[str]) -> None:
    parser = program.Parser(
        "Continue a passage of the book, or --seed-text (- reads it from standard input).", prog="alice generate",
    )
    parser.common(
        weights=WEIGHTS, device=None, plain=False, seed=None, samples=1, seed_text=None, temperature=0.6,
        top_k=None,
    )
    add_sampling(parser, count=1000)
    flags = parser.parse_args(arguments)
    program.invite(flags.seed_text, "the seed")
    program.begin(flags, small=True)
    model, vocab, metadata = load(flags.weights)
    model = model if flags.plain else fast(model)
    seed = flags.seed_text
    if seed is None:
        seed = random.choice(metadata["seeds"])
    elif seed == "-":
        seed = standard_input().rstrip("\n")
    seed = known_part(seed.lower(), vocab, flags.skip_unknown)
    write_on(
        model, vocab, seed, flags.count, flags.samples, temperature=flags.temperature, top_k=flags.top_k,
        window=metadata["window"],
    )
