"""`python examples/char_lm evaluate`: the loss of trained weights on the last tenth of the text."""

import math

from char_lm.network import WEIGHTS, load, nats
from char_lm.texts import add_text, corpus_of, read, split
from char_lm.train import perplexity

from scratch.fast import fast
from scratch.tools import program


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on the last tenth of the text.", prog="char_lm evaluate")
    add_text(parser, default=None)
    parser.common(data=None, weights=WEIGHTS, device=None, plain=False, report=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, vocab, metadata = load(flags.weights, "char_lm")
    path, origin = corpus_of(flags.weights, flags.text, flags.data)
    program.writable_file(flags.report, flags.weights, path)
    model = model if flags.plain else fast(model)
    corpus = read(path, 1, vocab)
    origin.expect(corpus.digest)
    *_, held_out = split(corpus.ids)
    value = nats(model, held_out)
    print(f"{len(held_out)} held-out characters: {value:.4f} nats each ({value / math.log(2):.4f} bits), "
          f"perplexity {perplexity(value):.3f}; chance is {math.log(vocab.size):.3f} nats")
    figures = {"nats_per_character": value, "train_loss": metadata.get("train_loss"), "num_characters": len(held_out)}
    program.write_report(flags.report, figures)
