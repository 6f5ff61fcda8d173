"""A character language model: a stateful LSTM reads a text and learns what comes next, letter after letter.

  python examples/char_lm.py train                     Shakespeare
  python examples/char_lm.py train novel.txt           ... or any text in UTF-8
  python examples/char_lm.py sample --seed-text ROMEO: a page of it, by trained weights
  python examples/char_lm.py evaluate                  nats per character on the part held out from training

The text is read as streams side by side, a piece of each at a time, and the state is carried from piece to piece. Its
last tenth is held out, and the twentieth before it tells which epoch was the best. Losses are in nats per character;
bits are nats / log(2), and perplexity is exp(nats).
"""

import hashlib
import math
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from scratch import program
from scratch.backend import ScratchError, to_device
from scratch.batching import streams
from scratch.checkpoint import begin_run, save_checkpoint
from scratch.datasets import find
from scratch.dense import Linear
from scratch.files import read_shapes
from scratch.functions import sample_from, softmax
from scratch.history import History, progress, stop_unless_finite
from scratch.layer import Layer, Sequential, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam, cosine_decay
from scratch.parallel import in_threads
from scratch.plots import curve
from scratch.recurrent import LSTM
from scratch.regular import Dropout
from scratch.text import Vocabulary
from scratch.weights import load_weights, metadata_of, save_weights, vocabulary_of

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "loss.png")
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "shakespeare_lstm.npz"
SMOKE = "How much wood would a woodchuck chuck if a woodchuck could chuck wood? " * 20
SETTINGS = ("hidden", "layers", "dropout", "batch_size", "sequence", "lr", "epochs", "seed")


def main() -> None:
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": command_train, "sample": command_sample, "evaluate": command_evaluate,
    }
    parser = program.Parser(__doc__, usage="char_lm.py {train,sample,evaluate} [flags]")
    parser.add_argument("command", choices=commands, help="what to do; char_lm.py COMMAND --help tells more")
    commands[parser.parse_args(sys.argv[1:2]).command](sys.argv[2:])


# The network and the text ---------------------------------------------------------------------------------------


def build(vocab_size: int, hidden_dim: int, num_layers: int, dropout: float = 0.0) -> Sequential:
    """LSTMs on top of each other, Dropout after each, and a score for each character to come."""
    layers: list[Any] = []
    for k in range(num_layers):
        layers += [LSTM(hidden_dim if k else vocab_size, hidden_dim, stateful=True), Dropout(dropout)]
    return Sequential([*layers, Linear(hidden_dim, vocab_size)])


def reset(model: Layer) -> None:
    for layer in model.all_layers():
        if isinstance(layer, LSTM):
            layer.reset_hidden_state()


def read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScratchError(f"{path}: not UTF-8 (byte {error.start}); save the text as UTF-8") from None
    if len(text) < 40 or len(set(text)) < 2:
        raise ScratchError(f"{path}: expected a text of at least 40 characters, of two kinds or more")
    return text


def split(text: str) -> tuple[str, str, str]:
    """What is learned from, a twentieth by which the best epoch is chosen, and the last tenth, which is held out."""
    first, second = len(text) * 17 // 20, len(text) * 9 // 10
    return text[:first], text[first:second], text[second:]


def nats(model: Sequential, ids: numpy.ndarray, num_streams: int = 1, num_steps: int = 200) -> float:
    """The mean loss on a text, the state carried all through it."""
    loss, total, count = SoftmaxCrossEntropy(), 0.0, 0
    reset(model)
    with evaluating(model):
        for letters, next_letters in progress(list(streams(ids, num_streams, num_steps)), "held-out text"):
            predicted = model.forward(to_device(letters))
            total += loss.loss(predicted, to_device(next_letters)) * letters.size
            count += letters.size
    reset(model)
    return total / count


def generate(
    model: Sequential, vocab: Vocabulary, seed_text: str, count: int, temperature: float, top_k: int | None
) -> str:
    """`count` characters after `seed_text`, each printed as it comes."""
    reset(model)
    text = ""
    with evaluating(model):
        *known, letter = vocab.encode(seed_text)
        for past in known:
            model.forward(past)
        for _ in range(count):
            letter = sample_from(softmax(model.forward(letter)), temperature, top_k)
            text += vocab.i2w[letter]
            print(vocab.i2w[letter], end="", flush=True)
    print()
    reset(model)
    return text


# Training -------------------------------------------------------------------------------------------------------


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags)
    path = None if flags.smoke else flags.text or find("shakespeare", flags.data) / "input.txt"
    text = read_text(path) if path else SMOKE
    program.writable(flags.out)
    files = [flags.out / name for name in FILES]
    flags.plot = flags.plot or files[-1]
    program.writable_file(flags.plot, path, *files[:-1])
    program.writable_file(flags.report, path, flags.plot, *files)

    vocab = Vocabulary(sorted(set(text)))
    learn, choose, held_out = (numpy.array(vocab.encode(part), dtype=numpy.int32) for part in split(text))
    model, loss = build(vocab.size, flags.hidden, flags.layers, flags.dropout), SoftmaxCrossEntropy()
    optimizer, parallel = Adam(flags.lr, clip_norm=1.0), in_threads(model, flags.threads, flags.batch_size)
    settings = {name: getattr(flags, name) for name in SETTINGS}
    settings["text"] = hashlib.sha256(text.encode()).hexdigest()
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0}
    done = begin_run(files, flags.resume, model, optimizer, settings, done)
    checkpoint, history_file, weights, _ = files
    history, chance = History(history_file, done["rows"]), math.log(vocab.size)
    known = {"program": "char_lm", "vocabulary": vocab.w2i, "hidden": flags.hidden, "layers": flags.layers}
    print(
        f"{len(learn)} characters of {vocab.size} kinds to learn from, {len(choose)} to choose by, {len(held_out)} "
        f"held out; chance is {chance:.3f} nats"
    )

    started = time.perf_counter() - done["seconds"]
    steps = list(streams(learn, flags.batch_size, flags.sequence))
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            total = 0.0
            reset(parallel)
            for k, (letters, next_letters) in enumerate(progress(steps, f"epoch {epoch}")):
                optimizer.lr = flags.lr * cosine_decay((epoch - 1) * len(steps) + k, flags.epochs * len(steps))
                letters, next_letters = to_device(letters), to_device(next_letters)
                predicted = parallel.forward(letters)
                total += loss.loss(predicted, next_letters)
                gradient = loss.gradient(predicted, next_letters)
                parallel.backward(gradient)
                optimizer.step(model)
            mean = stop_unless_finite(total / len(steps), model, f"epoch {epoch}")
            validation = nats(model, choose, num_streams=min(16, len(choose) - 1))
            history.add(epoch=epoch, loss=mean, validation=validation)
            print(
                f"epoch {epoch:3}  loss {mean:.3f}  validation {validation:.3f} nats = {validation / math.log(2):.3f} "
                f"bits, perplexity {math.exp(validation):.2f} (chance {chance:.3f}, {vocab.size})", flush=True,
            )
            if validation == min(history.column("validation")):
                save_weights(model, weights, known | {"best_epoch": epoch})
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    metadata = load_weights(model, weights)  # of the best epoch, which need not be the last
    figures = {
        "nats_per_character": nats(model, held_out), "train_loss": history.column("loss")[-1], "chance": chance,
        "epochs": done["epoch"], "best_epoch": metadata["best_epoch"], "seed": flags.seed, "seconds": done["seconds"],
        "command": program.command_line("examples/char_lm.py", ["train", *arguments]),
    }
    save_weights(model, weights, known | figures)
    program.write_report(flags.report, figures)
    lines = {"training": history.column("loss"), "validation": history.column("validation")}
    curve(flags.plot, lines, "epoch", "loss (nats per character)", "Learning a text", {"chance": chance})
    generate(model, vocab, text[0], 300, 0.8, None)
    print(f"\nHeld out: {figures['nats_per_character']:.4f} nats per character, the state carried all through")
    print(f"Weights:  {weights}, curve: {flags.plot}")


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser("Learn a text.", prog="char_lm.py train")
    parser.add_argument("text", nargs="?", type=Path, metavar="TEXT", help="a file in UTF-8 (default: Shakespeare)")
    size = {"type": program.positive, "metavar": "N"}
    parser.add_argument("--layers", **size, default=2, help="how many LSTMs (default: 2)")
    parser.add_argument("--hidden", **size, default=256, help="their size (default: 256)")
    parser.add_argument("--sequence", **size, default=50, help="how many steps a piece of text has (default: 50)")
    parser.add_argument("--dropout", type=program.rate, default=0.2, metavar="P", help="after each LSTM (default: 0.2)")
    parser.common(
        data=None, out=Path("runs/char_lm"), epochs=10, batch_size=64, lr=0.004, seed=0, device=None, threads=None,
        resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    if flags.smoke:
        flags.epochs, flags.hidden, flags.batch_size = min(flags.epochs, 5), 32, 4
    return flags


# Trained weights ------------------------------------------------------------------------------------------------


def load(path: Path) -> tuple[Sequential, Vocabulary]:
    metadata = metadata_of(path, "char_lm", hidden=int, layers=int)
    vocab, shapes = vocabulary_of(metadata.get("vocabulary"), path), read_shapes(path)
    # A network of a size that the file only claims is not even made.
    hidden, layers = metadata["hidden"], metadata["layers"]
    if shapes.get("layers.0.u") != (4 * hidden, hidden) or not 0 < layers <= len(shapes) or vocab.size < 2:
        raise ScratchError(f"{path}: its metadata do not fit its network")
    model = build(vocab.size, hidden, layers)
    load_weights(model, path)
    return model, vocab


def command_sample(arguments: list[str]) -> None:
    parser = program.Parser("Write on in the manner of the text.", prog="char_lm.py sample")
    parser.common(weights=WEIGHTS, device=None, seed=None, count=500, seed_text="\n", temperature=0.8, top_k=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, vocab = load(flags.weights)
    if unknown := sorted(set(flags.seed_text) - vocab.w2i.keys()):
        raise ScratchError(f"--seed-text: {unknown[0]!r} is not in the text that these weights have learned")
    if not flags.seed_text:
        raise ScratchError("--seed-text: expected at least one character")
    print(flags.seed_text, end="")
    generate(model, vocab, flags.seed_text, flags.count, flags.temperature, flags.top_k)


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try weights on the last tenth of the text.", prog="char_lm.py evaluate")
    parser.add_argument("text", nargs="?", type=Path, metavar="TEXT", help="a file in UTF-8 (default: Shakespeare)")
    parser.common(data=None, weights=WEIGHTS, device=None, report=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    path = flags.text or find("shakespeare", flags.data) / "input.txt"
    program.writable_file(flags.report, flags.weights, path)
    model, vocab = load(flags.weights)
    *_, held_out = split(read_text(path))
    value = nats(model, numpy.array(vocab.encode(held_out), dtype=numpy.int32))
    print(f"{len(held_out)} held-out characters: {value:.4f} nats each = {value / math.log(2):.4f} bits, "
          f"perplexity {math.exp(value):.3f}; chance is {math.log(vocab.size):.3f} nats")
    program.write_report(flags.report, {"nats_per_character": value, "num_characters": len(held_out)})


if __name__ == "__main__":
    program.run(main)
