"""`python examples/gpt attention`: a picture of which letters each head looks at, and what the network expects next."""

from pathlib import Path

import numpy
from char_lm.sample import known_part
from gpt.network import WEIGHTS, load

from scratch.backend import Array, to_device, to_host, xp
from scratch.functions import softmax
from scratch.layer import evaluating
from scratch.tools import program
from scratch.tools.plots import heads
from scratch.tools.program import one_line
from scratch.transformer import Transformer

TEXT = "ROMEO:\nBut, soft! what light through yonder window break"


def attention_of(model: Transformer, ids: Array) -> tuple[Array, Array]:
    """The attention (layers, heads, T, T) of one text (T,) of ids, and the probabilities (vocab_size,) of the next id.

    The steps are those of the forward of a Transformer; in each block, the weights are computed once more.
    """
    weights, real = [], xp.ones((1, len(ids)), dtype=bool)
    with evaluating(model):
        x = model.positions.forward(model.embedding.forward(ids[None]))
        for block in model.blocks:
            attention = block.attention
            q, k, _ = attention.split(attention.in_projection.forward(block.norm1.forward(x)), 3)
            weights.append(attention.weights(q, k, real)[0])
            x = block.forward(x)
        scores = model.norm.forward(x)[0, -1] @ model.embedding.w.data.T
    return xp.stack(weights), softmax(scores)


def command(arguments: list[str]) -> None:
    parser = program.Parser("Plot which letters each head looks at.", prog="gpt attention")
    parser.common(weights=WEIGHTS, device=None, seed_text=TEXT, plot=Path("runs/gpt/attention.png"), report=None)
    parser.add_argument("--skip-unknown", action="store_true", help="omit unknown characters from the text")
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    model, tokens, metadata = load(flags.weights)
    program.writable_file(flags.plot, flags.weights)
    program.writable_file(flags.report, flags.weights, flags.plot)
    text = known_part(flags.seed_text, tokens.vocab, flags.skip_unknown)
    ids = tokens.encode(text)[-metadata["context"] :]
    weights, p = map(to_host, attention_of(model, to_device(numpy.array(ids))))
    letters = [tokens.texts[id].decode(errors="replace") for id in ids]
    heads(flags.plot, weights, letters, f"{flags.weights.stem}: attention in {one_line(''.join(letters))}")
    print(f"{one_line(text)}\nThe likeliest to come next:")
    for id in numpy.argsort(-p)[:5]:
        print(f"{p[id]:6.1%}  {one_line(tokens.texts[id].decode(errors='replace'))}")
    print(f"Plot: {flags.plot}")
    program.write_report(flags.report, {"text": text, "attention": weights.tolist(), "next": p.tolist()})
