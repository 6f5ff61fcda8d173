"""`python examples/gpt train`: from a text to a transformer that predicts its next letter."""

import argparse
import math
import random
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy
from char_lm.sample import first_letter
from char_lm.texts import CORPORA, add_text, corpus_file, split
from char_lm.train import perplexity, read_text
from gpt.network import RECIPES, SIZES, build, load, nats
from gpt.sample import write_on
from gpt.tokens import BYTES, learned

from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import AdamW
from scratch.schedules import cosine_decay
from scratch.tools import program
from scratch.tools.datasets import recorded
from scratch.tools.run import Run, check_paths


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=True)
    path = None if flags.smoke else corpus_file(flags.text, flags.data)
    check_paths(flags, [path])
    corpus = read_text(path, flags)
    parts = split(corpus.ids)
    tokens = learned(corpus.vocab, parts[0], flags.tokens, flags.vocab_size)
    training, validation, held_out = (tokens.of(part) for part in parts)
    if len(training) <= flags.context or min(len(validation), len(held_out)) < 2:
        raise ScratchError(
            f"{path or 'the text'}: a training set of {len(training)} tokens is too short for --context {flags.context}"
        )

    model = build(tokens.size, **{name: getattr(flags, name) for name in SIZES}, dropout=flags.dropout)
    loss = SoftmaxCrossEntropy()
    optimizer = AdamW(flags.lr, weight_decay=flags.weight_decay, beta2=flags.beta2, clip_norm=1.0)
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    chance = math.log(tokens.size) * len(training) / tokens.num_characters(training)
    names = (*RECIPES[flags.recipe], "tokens", "vocab_size", "seed")
    settings = {name: getattr(flags, name) for name in names} | {"text": corpus.digest}
    known = tokens.metadata() | {name: getattr(flags, name) for name in SIZES}
    if path is not None:
        own = flags.data is not None or flags.text not in CORPORA or Path(flags.text).is_file()
        known |= recorded(flags.text, path if own else None, corpus.digest)
    print(
        f"{len(parts[0])} characters of {corpus.vocab.size} kinds in the training set, {len(parts[1])} in the "
        f"validation set, {len(parts[2])} held out; chance is {chance:.3f} nats\n"
        f"{sum(p.data.size for p in model.parameters())} weights, {flags.epochs * flags.steps} steps"
    )
    with Run(
        flags, model, optimizer, settings, "gpt", known, best="validation", chance=chance, unit="nats per character",
        inputs=[path],
    ) as run:
        for epoch in run.epochs():
            total = count = 0.0
            pieces = random_windows(training, flags.context, flags.batch_size, flags.steps)
            for k, (ids, next_ids) in enumerate(run.progress(pieces, flags.steps)):
                optimizer.lr = learning_rate((epoch - 1) * flags.steps + k, flags)
                predicted = model.forward(to_device(ids))
                total += loss.loss(predicted, to_device(next_ids)) * ids.size
                count += tokens.num_characters(next_ids)
                gradient = loss.gradient(predicted, to_device(next_ids))
                model.backward(gradient)
                optimizer.step(model)
            found = nats(model, tokens, validation, flags.context)
            run.record(loss=total / count, validation=found, bits=found / math.log(2), perplexity=perplexity(found))

    run.load_best()
    found, overlapping = (nats(model, tokens, held_out, flags.context, overlap) for overlap in (0, flags.context // 2))
    run.finish(
        "Learning a text", "training step", flags.steps, nats_per_character=found, overlapping=overlapping,
        chance=chance, num_learned=len(parts[0]), recipe=flags.recipe,
    )
    writer, *_ = load(run.weights, stateful=True)
    writer = writer if flags.plain else fast(writer)
    write_on(writer, tokens, first_letter(corpus.vocab), 300, flags.context, temperature=0.8)
    print(f"\nHeld out: {overlapping:.4f} nats per character, each token with at least {flags.context // 2} before it")
    print(f"          {found:.4f} in windows of {flags.context} tokens side by side, as nanoGPT reads")
    print(f"Weights:  {run.weights}, curve: {run.plot}")


def random_windows(
    ids: numpy.ndarray, context: int, batch_size: int, count: int
) -> Iterator[tuple[numpy.ndarray, numpy.ndarray]]:
    """`count` batches of windows from anywhere in a text, and each window one id later: both (batch_size, context)."""
    for _ in range(count):
        starts = numpy.array([random.randrange(len(ids) - context) for _ in range(batch_size)])
        drawn = ids[starts[:, None] + numpy.arange(context + 1)]
        yield drawn[:, :-1], drawn[:, 1:]


def learning_rate(step: int, flags: Namespace) -> float:
    """A linear warm-up to --lr, then half a cosine down to --end-lr."""
    end = 0.0 if step < flags.warmup else min(flags.end_lr, flags.lr)
    return end + (flags.lr - end) * cosine_decay(step, flags.epochs * flags.steps, flags.warmup)


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser(
        "Train a transformer on a text. A flag overrides the recipe's value.", prog="gpt train",
        epilog="\n".join(f"{name}: {values}" for name, values in RECIPES.items()),
    )
    add_text(parser)
    parser.add_argument("--recipe", choices=RECIPES, default="better", help="which defaults to use (default: better)")
    size, number = {"type": program.positive, "metavar": "N"}, {"type": program.rate, "metavar": "RATE"}
    parser.add_argument("--layers", **size, help="number of blocks")
    parser.add_argument("--heads", **size, help="attention heads per block; must divide --features")
    parser.add_argument("--features", **size, help="size of the vector at each position")
    parser.add_argument("--context", **size, help="tokens per window")
    parser.add_argument("--dropout", **(number | {"metavar": "P"}), help="in each block and after the embedding")
    parser.add_argument("--bias", action=argparse.BooleanOptionalAction, help="biases in Linear and LayerNorm")
    parser.add_argument("--steps", **size, help="training steps per epoch, each on a batch of random windows")
    parser.add_argument("--warmup", **size, help="number of steps in which the learning rate rises")
    parser.add_argument("--end-lr", **number, help="final learning rate, reached along half a cosine")
    parser.add_argument("--beta2", **number, help="decay rate of AdamW's mean squared gradient")
    parser.add_argument("--weight-decay", **number, help="AdamW's weight decay, of matrices only")
    parser.add_argument(
        "--tokens", choices=("characters", "bpe"), default="characters",
        help="what an id is: a character, or bytes joined by byte-pair encoding (default: characters)",
    )
    parser.add_argument("--vocab-size", **size, help="with --tokens bpe: the number of ids (default: 512)")
    parser.common(
        data=None, out=Path("runs/gpt"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        plain=False, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.smoke:
        small = {"layers": 2, "heads": 2, "features": 32, "context": 16, "epochs": 5, "steps": 40, "batch_size": 8,
                 "warmup": 10, "lr": 0.005}
        for name, value in small.items():
            if getattr(flags, name) is None:
                setattr(flags, name, value)
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    if flags.vocab_size is not None and flags.tokens != "bpe":
        raise ScratchError("--vocab-size: the characters of a text are as many as they are; add --tokens bpe")
    flags.vocab_size = flags.vocab_size or 512
    if flags.vocab_size < BYTES:
        raise ScratchError(f"--vocab-size: expected at least {BYTES}, one for each byte, got {flags.vocab_size}")
    if flags.features % flags.heads:
        raise ScratchError(f"--heads: expected a number that divides the {flags.features} features, got {flags.heads}")
    flags.sequence = 1  # for `read_text`: the length that a text must exceed; --context is checked after the split
    return flags
