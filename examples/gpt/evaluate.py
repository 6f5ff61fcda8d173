"""`python examples/gpt evaluate`: the loss of trained weights on the last tenth of the text."""

import math

from char_lm.texts import add_text, corpus_of, read, split
from char_lm.train import perplexity
from gpt.network import WEIGHTS, load, nats

from scratch.fast import fast
from scratch.tools import program


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on the last tenth of the text.", prog="gpt evaluate")
    add_text(parser, default=None)
    parser.add_argument(
        "--context", type=program.positive, metavar="N", help="read windows of N tokens (default: as in training)"
    )
    parser.common(data=None, weights=WEIGHTS, device=None, plain=False, report=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, tokens, metadata = load(flags.weights, flags.context)
    context = flags.context or metadata["context"]
    path, origin = corpus_of(flags.weights, flags.text, flags.data)
    program.writable_file(flags.report, flags.weights, path)
    model = model if flags.plain else fast(model)
    corpus = read(path, 1, tokens.vocab)
    origin.expect(corpus.digest)
    *_, held_out = split(corpus.ids)
    ids = tokens.of(held_out)
    found, overlapping = (nats(model, tokens, ids, context, overlap) for overlap in (0, context // 2))
    print(
        f"{len(held_out)} held-out characters, read in windows of {context} tokens; nats each "
        f"(chance is {math.log(tokens.size) * len(ids) / len(held_out):.3f}), bits, and perplexity:\n"
        f"windows side by side           {line(found)}\n"
        f"overlapping by half            {line(overlapping)}   (each token has at least {context // 2} before it)"
    )
    program.write_report(flags.report, {
        "nats_per_character": found, "overlapping": overlapping, "train_loss": metadata.get("train_loss"),
        "seconds": metadata.get("seconds"), "num_characters": len(held_out),
    })


def line(value: float) -> str:
    return f"{value:.4f}  {value / math.log(2):.4f}  {perplexity(value):.3f}"
