"""`python examples/char_lm compare`: the network beside n-grams: held-out loss, training time, memory, samples.

The argument for the network is that there are V^n runs of n characters, too many to count: 98^10 is 8 * 10^19. But a
text contains few of them, and only those are stored; about the others an n-gram model learns nothing.
"""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
from char_lm.network import WEIGHTS, load, nats
from char_lm.sample import generate
from char_lm.texts import add_text, corpus_of, read, split

from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.functions import sample_from
from scratch.layer import Layer
from scratch.text import NgramModel, Vocabulary
from scratch.tools import program
from scratch.tools.plots import curve
from scratch.tools.program import one_line

SAMPLE = 76  # characters


def compare(
    model: Layer, vocab: Vocabulary, metadata: dict[str, Any], training: numpy.ndarray, held_out: numpy.ndarray,
    flags: Namespace,
) -> list[dict[str, Any]]:
    """Print and draw the comparison; a row for each n, and one for the network."""
    rows, orders = [], range(1, flags.order + 1)
    print(
        f"{len(training)} training characters, {len(held_out)} held out. Unseen n-grams back off to shorter ones "
        "(Witten-Bell)\n"
    )
    print(f"{'model':>8} {'nats':>8} {'seconds':>8} {'MB':>8} {'n-grams':>12} {'possible':>9}")
    for n in orders:
        started = time.perf_counter()
        ngrams = NgramModel(training, vocab.size, n)
        seconds = time.perf_counter() - started
        loss = 0.0 - float(ngrams.log_probabilities(held_out)[-1].mean())
        rows.append({
            "model": f"{n}-gram", "nats_per_character": loss, "seconds": seconds, "bytes": ngrams.num_bytes(n),
            "stored": sum(len(level.keys) for level in ngrams.levels), "possible": float(vocab.size) ** n,
        })
        show(rows[-1])
    num_bytes = sum(value.nbytes for value in model.params())
    loss = nats(model, held_out)
    rows.append({
        "model": "LSTM", "nats_per_character": loss, "seconds": metadata.get("seconds"), "bytes": num_bytes,
    })
    show(rows[-1])

    print(f"\nSamples at temperature {flags.temperature:g} that begin with the first held-out character:\n")
    seed = [int(held_out[0])]
    for n in orders:
        ids = list(seed)
        while len(ids) < SAMPLE:
            p = ngrams.following(ids[-(n - 1) :] if n > 1 else [])
            ids.append(sample_from(p, flags.temperature))
        rows[n - 1]["sample"] = "".join(vocab.i2w[id] for id in ids)
    drawn = [step[0] for step in generate(model, seed, SAMPLE - 1, temperature=flags.temperature)]
    rows[-1]["sample"] = "".join(vocab.i2w[id] for id in (*seed, *drawn))
    for row in rows:
        print(f"{row['model']:>8} {one_line(row['sample'])}")

    lines = {"n-grams": [row["nats_per_character"] for row in rows[:-1]], "LSTM": [loss] * len(orders)}
    curve(flags.plot, lines, "n", "held-out loss (nats per character)", "n-grams of length n, and an LSTM", {})
    best = min(rows[:-1], key=lambda row: row["nats_per_character"])
    print(f"\nThe best n-gram model, {best['model']}: {best['nats_per_character']:.4f}; LSTM: {loss:.4f}. "
          f"Plot: {flags.plot}")
    return rows


def show(row: dict[str, Any]) -> None:
    seconds = f"{row['seconds']:.1f}" if isinstance(row["seconds"], float) else "-"
    stored, possible = row.get("stored", ""), f"{row['possible']:.0e}" if "possible" in row else ""
    print(
        f"{row['model']:>8} {row['nats_per_character']:8.4f} {seconds:>8} {row['bytes'] / 1e6:8.2f} {stored:>12} "
        f"{possible:>9}", flush=True,
    )


def command(arguments: list[str]) -> None:
    parser = program.Parser("Compare the network with n-grams, on the held-out text.", prog="char_lm compare")
    add_text(parser, default=None)
    parser.add_argument(
        "--order", type=program.positive, default=10, metavar="N", help="largest n of the n-grams (default: 10)"
    )
    parser.common(
        data=None, weights=WEIGHTS, device=None, plain=False, seed=0, report=None,
        plot=Path("runs/char_lm/compare.png"), temperature=0.8,
    )
    flags = parser.parse_args(arguments)
    program.begin(flags)
    if flags.order > 20:
        raise ScratchError(f"--order: expected a number from 1 to 20, got {flags.order}")
    model, vocab, metadata = load(flags.weights, "char_lm")
    path, origin = corpus_of(flags.weights, flags.text, flags.data)
    program.writable_file(flags.plot, flags.weights, path)
    program.writable_file(flags.report, flags.weights, path, flags.plot)
    model = model if flags.plain else fast(model)
    corpus = read(path, 1, vocab)
    origin.expect(corpus.digest)
    *_, held_out = split(corpus.ids)
    rows = compare(model, vocab, metadata, corpus.ids[: -len(held_out)], held_out, flags)
    program.write_report(flags.report, {"rows": rows})
