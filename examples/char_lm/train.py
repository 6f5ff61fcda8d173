"""`python examples/char_lm train`: from a text to a network that predicts its next letter."""

import math
import random
import tempfile
from argparse import Namespace
from pathlib import Path

from char_lm.network import build, nats, reset
from char_lm.sample import first_letter, write_on
from char_lm.texts import CORPORA, add_text, corpus_file, read, split

from scratch.backend import to_device
from scratch.batching import num_pieces, streams
from scratch.fast import fast
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam
from scratch.schedules import cosine_decay
from scratch.tools import program
from scratch.tools.corpus import Corpus
from scratch.tools.datasets import recorded
from scratch.tools.files import remove_when_stopped
from scratch.tools.run import Run, check_paths

SMOKE = "How much wood would a woodchuck chuck if a woodchuck could chuck wood? " * 20
SETTINGS = ("hidden", "layers", "dropout", "batch_size", "sequence", "lr", "epochs", "seed")


def command(arguments: list[str]) -> None:
    flags = flags_of(arguments)
    program.begin(flags, shared=True)
    path = None if flags.smoke else corpus_file(flags.text, flags.data)
    check_paths(flags, [path])
    corpus = read_text(path, flags)
    vocab, (training, validation, held_out) = corpus.vocab, split(corpus.ids)
    next(streams(training, flags.batch_size, flags.sequence))  # refuses a text that is too short

    model = build(vocab.size, flags.hidden, flags.layers, flags.dropout)
    loss, optimizer = SoftmaxCrossEntropy(), Adam(flags.lr, clip_norm=1.0)
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    chance = math.log(vocab.size)
    settings = {name: getattr(flags, name) for name in SETTINGS} | {"text": corpus.digest}
    known = {"vocabulary": vocab.w2i, "hidden": flags.hidden, "layers": flags.layers}
    if path is not None:
        own = flags.data is not None or flags.text not in CORPORA or Path(flags.text).is_file()
        known |= recorded(flags.text, path if own else None, corpus.digest)
    num_steps = num_pieces(len(training), flags.batch_size, flags.sequence)
    print(
        f"{len(training)} characters ({vocab.size} distinct) in the training set, {len(validation)} in the validation "
        f"set, {len(held_out)} held out; chance is {chance:.3f} nats"
    )
    with Run(
        flags, model, optimizer, settings, "char_lm", known, best="validation", chance=chance,
        unit="nats per character", inputs=[path],
    ) as run:
        for epoch in run.epochs():
            total = 0.0
            reset(model)
            pieces = streams(training, flags.batch_size, flags.sequence)
            for k, (letters, next_letters) in enumerate(run.progress(pieces, num_steps)):
                optimizer.lr = flags.lr * cosine_decay((epoch - 1) * num_steps + k, flags.epochs * num_steps)
                letters, next_letters = to_device(letters), to_device(next_letters)
                predicted = model.forward(letters)
                total += loss.loss(predicted, next_letters) * letters.size
                gradient = loss.gradient(predicted, next_letters)
                model.backward(gradient)
                optimizer.step(model)
            found = nats(model, validation, num_streams=min(64, len(validation) - 1))
            run.record(
                loss=total / (len(training) - 1), validation=found, bits=found / math.log(2),
                perplexity=perplexity(found),
            )
            if epoch in flags.sample_after:
                state = random.getstate()  # a sample more or less must not change the training
                write_on(model, vocab, first_letter(vocab), 300, temperature=0.8)
                random.setstate(state)

    run.load_best()
    found = nats(model, held_out)
    run.finish("Character language model", nats_per_character=found, chance=chance, num_learned=len(training))
    write_on(model, vocab, first_letter(vocab), 300, temperature=0.8)
    print(f"\nHeld out: {found:.4f} nats per character, with the state carried throughout")
    print(f"Weights:  {run.weights}, curve: {run.plot}")


def read_text(path: Path | None, flags: Namespace) -> Corpus:
    """The text at `path` as ids; without one, the text of a smoke run."""
    if path is not None:
        return read(path, flags.sequence, folder=flags.out)
    with tempfile.NamedTemporaryFile(dir=flags.out) as file:
        remove_when_stopped(file.name)
        Path(file.name).write_text(SMOKE, encoding="utf-8")
        return read(Path(file.name), flags.sequence, folder=flags.out)


def perplexity(loss: float) -> float:
    """exp(loss), the number of equally likely letters that are as hard to guess."""
    return math.exp(min(loss, 700))  # exp of more overflows


def flags_of(arguments: list[str]) -> Namespace:
    parser = program.Parser("Train a network on a text.", prog="char_lm train")
    add_text(parser)
    size = {"type": program.positive, "metavar": "N"}
    parser.add_argument("--layers", **size, default=2, help="number of LSTM layers (default: 2)")
    parser.add_argument("--hidden", **size, default=256, help="size of each LSTM (default: 256)")
    parser.add_argument("--sequence", **size, default=30, help="characters in each piece of text (default: 30)")
    parser.add_argument(
        "--dropout", type=program.rate, default=0.3, metavar="P", help="dropout after each LSTM (default: 0.3)"
    )
    parser.add_argument(
        "--sample-after", type=epochs_of, default=[1, 5, 60], metavar="N,N",
        help="epochs after which a sample is printed (default: 1,5,60)",
    )
    parser.common(
        data=None, out=Path("runs/char_lm"), epochs=10, batch_size=32, lr=0.003, seed=0, device=None, threads=None,
        plain=False, resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.smoke:
        flags.epochs, flags.hidden, flags.batch_size = min(flags.epochs, 5), 32, 4
    return flags


def epochs_of(text: str) -> list[int]:
    return [program.positive(number) for number in text.split(",")]
