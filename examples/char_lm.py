"""A character language model: a stateful LSTM reads a text and learns what comes next, letter after letter.

  python examples/char_lm.py train                     Shakespeare; or alice, or aesop
  python examples/char_lm.py train novel.txt           ... or any text in UTF-8, of any size
  python examples/char_lm.py sample --seed-text ROMEO: a page of it, by trained weights
  python examples/char_lm.py evaluate                  nats per character on the part held out from training
  python examples/char_lm.py compare                   beside n-grams: loss, time, memory, samples

The text is read as streams side by side, a piece of each at a time, and the state is carried from piece to piece. Its
last tenth is held out, and the first twentieth tells which epoch was the best. Losses are in nats per character;
bits are nats / log(2), and perplexity is exp(nats).
"""

import math
import random
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from characters.comparing import compare
from characters.network import build, known_part, load, nats, reset, write_on
from characters.texts import CORPORA, corpus_file, read, split

from scratch.tools import program
from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.batching import num_pieces, streams
from scratch.tools.checkpoint import begin_run, check_weights, save_checkpoint
from scratch.tools.history import History, progress, stop_unless_finite
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam
from scratch.parallel import default_threads, in_threads, mine
from scratch.tools.plots import curve
from scratch.schedules import cosine_decay
from scratch.text import Vocabulary
from scratch.tools.weights import load_weights, save_weights

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "loss.png")
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "shakespeare_lstm.npz"
SMOKE = "How much wood would a woodchuck chuck if a woodchuck could chuck wood? " * 20
SETTINGS = ("hidden", "layers", "dropout", "batch_size", "sequence", "lr", "epochs", "seed")


def main() -> None:
    program.choose(__doc__, "char_lm.py", {
        "train": command_train, "sample": command_sample, "evaluate": command_evaluate, "compare": command_compare,
    })


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags, shared=True)
    program.writable(flags.out)
    files = [flags.out / name for name in FILES]
    flags.plot = flags.plot or files[-1]
    path = None if flags.smoke else corpus_file(flags.text, flags.data)
    program.writable_file(flags.plot, path, *files[:-1])
    program.writable_file(flags.report, path, flags.plot, *files)
    with tempfile.NamedTemporaryFile(dir=flags.out) as smoke:
        if path is None:
            path = Path(smoke.name)
            path.write_text(SMOKE, encoding="utf-8")
        corpus = read(path, flags.sequence, folder=flags.out)

    vocab, (learn, choose, held_out) = corpus.vocab, split(corpus.ids)
    model, loss = build(vocab.size, flags.hidden, flags.layers, flags.dropout), SoftmaxCrossEntropy()
    optimizer = Adam(flags.lr, clip_norm=1.0)
    next(streams(learn, flags.batch_size, flags.sequence))  # refuses a text that is too short, before anything is done
    settings = {name: getattr(flags, name) for name in SETTINGS} | {"text": corpus.digest}
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": default_threads(flags.batch_size)}
    done = begin_run(files, flags.resume, model, optimizer, settings, done, flags.threads)
    checkpoint, history_file, weights, _ = files
    history, chance = History(history_file, done["rows"]), math.log(vocab.size)
    parallel = in_threads(model, done["threads"])
    if history.rows:
        check_weights(weights, "char_lm", settings, (history.best("validation"), done["epoch"] + 1))
    known = {
        "program": "char_lm", "vocabulary": vocab.w2i, "hidden": flags.hidden, "layers": flags.layers,
        "settings": settings,
    }
    num_steps = num_pieces(len(learn), flags.batch_size, flags.sequence)
    print(
        f"{len(learn)} characters of {vocab.size} kinds to learn from, {len(choose)} to choose by, {len(held_out)} "
        f"held out; chance is {chance:.3f} nats"
    )

    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            total = 0.0
            reset(parallel)
            pieces = progress(streams(learn, flags.batch_size, flags.sequence), f"epoch {epoch}", num_steps)
            for k, (letters, next_letters) in enumerate(pieces):
                optimizer.lr = flags.lr * cosine_decay((epoch - 1) * num_steps + k, flags.epochs * num_steps)
                size = letters.size  # of all processes, as the loss is
                letters, next_letters = to_device(mine(letters)), to_device(mine(next_letters))
                predicted = parallel.forward(letters)
                total += loss.loss(predicted, next_letters) * size
                gradient = loss.gradient(predicted, next_letters)
                parallel.backward(gradient)
                optimizer.step(model)
            mean = stop_unless_finite(total / (len(learn) - 1), model, f"epoch {epoch}")
            validation = nats(parallel, choose, num_streams=min(64, len(choose) - 1))
            history.add(epoch=epoch, loss=mean, validation=validation)
            print(
                f"epoch {epoch:3}  loss {mean:.3f}  validation {validation:.3f} nats = {validation / math.log(2):.3f} "
                f"bits, perplexity {perplexity(validation):.2f} (chance {chance:.3f}, {vocab.size})", flush=True,
            )
            if history.best("validation") == epoch:
                save_weights(model, weights, known | {"best_epoch": epoch})
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            save_checkpoint(checkpoint, model, optimizer, settings, done)
            if epoch in flags.sample_after:
                with_own_chance(lambda: write_on(model, vocab, first_letter(vocab), 300, temperature=0.8))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    load_weights(model, weights)  # of the best epoch, which need not be the last
    figures = {
        "nats_per_character": nats(model, held_out), "train_loss": history.column("loss")[-1], "chance": chance,
        "epochs": done["epoch"], "best_epoch": history.best("validation"), "seed": flags.seed,
        "seconds": done["seconds"], "num_learned": len(learn),
        "command": program.command_line("examples/char_lm.py", ["train", *arguments]),
    }
    save_weights(model, weights, known | figures)
    program.write_report(flags.report, figures)
    lines = {"training": history.column("loss"), "validation": history.column("validation")}
    curve(flags.plot, lines, "epoch", "loss (nats per character)", "Learning a text", {"chance": chance})
    write_on(model, vocab, first_letter(vocab), 300, temperature=0.8)
    print(f"\nHeld out: {figures['nats_per_character']:.4f} nats per character, the state carried all through")
    print(f"Weights:  {weights}, curve: {flags.plot}")


def perplexity(loss: float) -> float:
    return math.exp(min(loss, 700))  # what is beyond that is too large for a float


def first_letter(vocab: Vocabulary) -> str:
    """A capital letter of the text, where it has one."""
    letters = sorted(vocab.w2i)
    return random.choice([letter for letter in letters if letter.isupper()] or letters)


def with_own_chance(function: Callable[[], Any]) -> None:
    """Call it without a trace in the run's chance: a sample more or less changes no weights."""
    state = random.getstate()
    function()
    random.setstate(state)


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Learn a text.", prog="char_lm.py train")
    add_text(parser)
    size = {"type": program.positive, "metavar": "N"}
    parser.add_argument("--layers", **size, default=2, help="how many LSTMs (default: 2)")
    parser.add_argument("--hidden", **size, default=256, help="their size (default: 256)")
    parser.add_argument("--sequence", **size, default=30, help="how many steps a piece of text has (default: 30)")
    parser.add_argument("--dropout", type=program.rate, default=0.3, metavar="P", help="after each LSTM (default: 0.3)")
    parser.add_argument(
        "--sample-after", type=epochs_of, default=[1, 5, 60], metavar="N,N", help="the epochs that end with a sample "
        "(default: 1,5,60)",
    )
    parser.common(
        data=None, out=Path("runs/char_lm"), epochs=10, batch_size=32, lr=0.003, seed=0, device=None, threads=None,
        resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.smoke:
        flags.epochs, flags.hidden, flags.batch_size = min(flags.epochs, 5), 32, 4
    return flags


def epochs_of(text: str) -> list[int]:
    return [program.positive(number) for number in text.split(",")]


def add_text(parser: program.Parser) -> None:
    parser.add_argument(
        "text", nargs="?", default="shakespeare", metavar="TEXT",
        help=f"a file in UTF-8, or one of: {', '.join(CORPORA)} (default: shakespeare)",
    )


# Trained weights ------------------------------------------------------------------------------------------------


def command_sample(arguments: list[str]) -> None:
    parser = program.Parser("Write on in the manner of the text.", prog="char_lm.py sample")
    parser.common(
        weights=WEIGHTS, device=None, seed=None, count=500, samples=1, seed_text=None, temperature=0.8, top_k=None,
    )
    parser.add_argument("--greedy", action="store_true", help="always the likeliest character, as --temperature 0")
    parser.add_argument("--skip-unknown", action="store_true", help="leave unknown characters out of the seed")
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, vocab, _ = load(flags.weights, "char_lm")
    seed_text = first_letter(vocab) if flags.seed_text is None else flags.seed_text
    seed_text = known_part(seed_text, vocab, flags.skip_unknown)
    temperature = 0.0 if flags.greedy else flags.temperature
    write_on(model, vocab, seed_text, flags.count, flags.samples, temperature=temperature, top_k=flags.top_k)


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try weights on the last tenth of the text.", prog="char_lm.py evaluate")
    add_text(parser)
    parser.common(data=None, weights=WEIGHTS, device=None, report=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    path = corpus_file(flags.text, flags.data)
    program.writable_file(flags.report, flags.weights, path)
    model, vocab, metadata = load(flags.weights, "char_lm")
    *_, held_out = split(read(path, 1, vocab).ids)
    value = nats(model, held_out)
    print(f"{len(held_out)} held-out characters: {value:.4f} nats each = {value / math.log(2):.4f} bits, "
          f"perplexity {perplexity(value):.3f}; chance is {math.log(vocab.size):.3f} nats")
    figures = {"nats_per_character": value, "train_loss": metadata.get("train_loss"), "num_characters": len(held_out)}
    program.write_report(flags.report, figures)


def command_compare(arguments: list[str]) -> None:
    parser = program.Parser("The network beside n-grams, on the last tenth of the text.", prog="char_lm.py compare")
    add_text(parser)
    parser.add_argument("--order", type=program.positive, default=10, metavar="N", help="up to N-grams (default: 10)")
    parser.common(
        data=None, weights=WEIGHTS, device=None, seed=0, report=None, plot=Path("runs/char_lm/compare.png"),
        temperature=0.8,
    )
    flags = parser.parse_args(arguments)
    program.begin(flags)
    if flags.order > 20:
        raise ScratchError(f"--order: expected a number from 1 to 20, got {flags.order}")
    path = corpus_file(flags.text, flags.data)
    program.writable_file(flags.plot, flags.weights, path)
    program.writable_file(flags.report, flags.weights, path, flags.plot)
    model, vocab, metadata = load(flags.weights, "char_lm")
    ids = read(path, 1, vocab).ids
    *_, held_out = split(ids)
    rows = compare(model, vocab, metadata, ids[: -len(held_out)], held_out, flags)
    program.write_report(flags.report, {"rows": rows})


if __name__ == "__main__":
    program.run(main)
