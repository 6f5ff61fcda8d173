"""Alice in Wonderland, learned a character at a time: the Keras tutorial's networks, and a better one.

  python examples/alice.py generate                    1,000 characters of a book that was never written
  python examples/alice.py train --recipe small        the tutorial's first network
  python examples/alice.py train --recipe large        its second, with two layers
  python examples/alice.py train                       ours, by the ideas that it ends with
  python examples/alice.py evaluate                    nats per character on the book it was learned from

The tutorial's networks see a window of 100 characters, each as the number id / 47, and learn the one that comes after
it. Ours has to say at every character what the next one is, keeps its state from piece to piece, and sees ids as what
they are, names: so it learns a hundred times as much from a window. Losses are in nats per character.

Source: Jason Brownlee, "Text generation with LSTM recurrent neural networks in Python with Keras", 2016,
https://machinelearningmastery.com/text-generation-lstm-recurrent-neural-networks-python-keras/
"""

import argparse
import hashlib
import math
import random
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
from characters.network import INPUTS, build, known_part, load, nats, reset, write_on
from characters.wonderland import lessons, num_lessons, read_book
from scratch.parallel import default_threads, in_threads, mine

from scratch.backend import to_device
from scratch.batching import windows
from scratch.checks import ScratchError
from scratch.layer import Layer, Sequential, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Adam
from scratch.schedules import cosine_decay
from scratch.text import Vocabulary
from scratch.tools import program
from scratch.tools.checkpoint import begin_run, save_checkpoint
from scratch.tools.history import History, progress, stop_unless_finite
from scratch.tools.plots import curve
from scratch.tools.weights import load_weights, save_weights

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "alice_lstm.npz"
TUTORIAL = {
    "layers": 1, "hidden": 256, "input": "id", "sequence": 100, "every_step": False, "stateful": False,
    "sentences": False, "dropout": 0.2, "input_dropout": 0.0, "epochs": 20, "batch_size": 128, "lr": 0.001,
    "decay": False, "punctuation": True,
}
RECIPES = {
    "small": TUTORIAL,
    "large": TUTORIAL | {"layers": 2, "epochs": 50, "batch_size": 64},
    "better": TUTORIAL | {
        "layers": 2, "input": "one-hot", "sequence": 50, "every_step": True, "stateful": True, "dropout": 0.1,
        "epochs": 40, "batch_size": 32, "lr": 0.004, "decay": True,
    },
}
NETWORK = ("hidden", "layers", "input", "input_dropout", "stateful", "every_step")
KEEP = 3  # files of improvements
NUM_SEEDS = 40  # windows of the book that are kept with the weights, to begin from


def main() -> None:
    program.choose(__doc__, "alice.py", {
        "train": command_train, "generate": command_generate, "evaluate": command_evaluate,
    })


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags, shared=True)
    program.writable(flags.out)
    files = [flags.out / name for name in ("checkpoint.npz", "history.jsonl", "weights.npz", "loss.png")]
    flags.plot = flags.plot or files[-1]
    program.writable_file(flags.plot, flags.text, *files[:-1])
    program.writable_file(flags.report, flags.text, flags.plot, *files)

    text = read_book(flags)
    vocab = Vocabulary(sorted(set(text)))
    ids = numpy.array(vocab.encode(text), dtype=numpy.int32)
    network = {name: getattr(flags, name) for name in NETWORK}
    model = build(
        vocab.size, flags.hidden, flags.layers, flags.dropout, flags.input, flags.input_dropout, flags.stateful,
        flags.every_step,
    )
    next(lessons(ids, text, flags))  # refuses a text that is too short, before anything is done
    loss, optimizer = SoftmaxCrossEntropy(), Adam(flags.lr, clip_norm=1.0 if flags.decay else None)
    settings = {name: getattr(flags, name) for name in (*TUTORIAL, "seed")}
    settings["text"] = hashlib.sha256(text.encode()).hexdigest()
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": default_threads(flags.batch_size)}
    earlier = [] if flags.resume else sorted(flags.out.glob("improvement-*.npz"))
    done = begin_run([*files, *earlier], flags.resume, model, optimizer, settings, done, flags.threads)
    checkpoint, history_file, weights, _ = files
    history, chance = History(history_file, done["rows"]), math.log(vocab.size)
    parallel = in_threads(model, done["threads"])
    if history.rows and not improvement(flags.out, history).exists():
        raise ScratchError(f"{improvement(flags.out, history)}: is gone; the run cannot go on without its best weights")
    known = network | {
        "program": "alice", "vocabulary": vocab.w2i, "window": None if flags.stateful else flags.sequence,
        "settings": settings, "seeds": seeds_of(text, flags.sequence),
    }
    num_steps = num_lessons(ids, text, flags)
    print(f"{len(text)} characters of {vocab.size} kinds, {num_steps} batches an epoch; chance is {chance:.3f} nats")

    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            total = count = 0.0
            reset(parallel)
            batches = progress(lessons(ids, text, flags), f"epoch {epoch}", num_steps)
            for k, (letters, following, mask) in enumerate(batches):
                if flags.decay:
                    optimizer.lr = flags.lr * cosine_decay((epoch - 1) * num_steps + k, flags.epochs * num_steps)
                size = following.size if mask is None else int(mask.sum())
                letters, following = to_device(mine(letters)), to_device(mine(following))
                mask = None if mask is None else to_device(mine(mask))
                predicted = parallel.forward(letters)
                total += loss.loss(predicted, following, mask) * size
                count += size
                gradient = loss.gradient(predicted, following, mask)
                parallel.backward(gradient)
                optimizer.step(model)
            mean = stop_unless_finite(total / count, model, f"epoch {epoch}")
            history.add(epoch=epoch, loss=mean)
            best = mean == min(history.column("loss"))
            print(f"epoch {epoch:3}  loss {mean:.4f} (chance {chance:.3f}){'  the best so far' * best}", flush=True)
            if best:
                save_weights(model, improvement(flags.out, history), known | {"epoch": epoch, "train_loss": mean})
                for old in improvements(flags.out)[:-KEEP]:
                    old.unlink(missing_ok=True)  # another process may have been faster
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    load_weights(model, improvement(flags.out, history))
    figures = {
        "train_loss": min(history.column("loss")), "chance": chance, "epochs": done["epoch"], "recipe": flags.recipe,
        "seed": flags.seed, "seconds": done["seconds"],
        "command": program.command_line("examples/alice.py", ["train", *arguments]),
    }
    save_weights(model, weights, known | figures)
    program.write_report(flags.report, figures | {"losses": history.column("loss")})
    curve(flags.plot, {"training": history.column("loss")}, "epoch", "loss (nats per character)", "Learning Alice",
          {"chance": chance})
    write_on(model, vocab, random.choice(known["seeds"]), 300, temperature=0.6, window=known["window"])
    print(f"\nTraining loss: {figures['train_loss']:.4f} nats per character. Weights: {weights}, curve: {flags.plot}")


def improvement(out: Path, history: History) -> Path:
    """The file of the best epoch so far."""
    best = min(history.rows, key=lambda row: row["loss"])
    return out / f"improvement-{best['epoch']:02d}-{best['loss']:.4f}.npz"


def improvements(out: Path) -> list[Path]:
    """The files of all improvements that are there, the oldest first."""
    return sorted(out.glob("improvement-*-*.npz"), key=lambda path: int(path.stem.split("-")[1]))


def seeds_of(text: str, length: int) -> list[str]:
    """Windows of the book, spread over it evenly: what `generate` begins with, where there is no book."""
    step = max((len(text) - length) // NUM_SEEDS, 1)
    return [text[start : start + length] for start in range(0, len(text) - length + 1, step)][:NUM_SEEDS]


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser(
        "Learn the book. What a recipe sets can be set otherwise.", prog="alice.py train",
        epilog="\n".join(f"{name}: {values}" for name, values in RECIPES.items()),
    )
    parser.add_argument("text", nargs="?", type=Path, metavar="TEXT", help="another text in UTF-8")
    parser.add_argument("--recipe", choices=RECIPES, default="better", help="what to begin from (default: better)")
    size, chance, either = (
        {"type": program.positive, "metavar": "N"}, {"type": program.rate, "metavar": "P"},
        {"action": argparse.BooleanOptionalAction},
    )
    parser.add_argument("--layers", **size, help="how many LSTMs")
    parser.add_argument("--hidden", **size, help="their size")
    parser.add_argument("--sequence", **size, help="how many characters a window, or a piece, has")
    parser.add_argument("--input", choices=INPUTS, help="how a character goes in")
    parser.add_argument("--dropout", **chance, help="after each LSTM")
    parser.add_argument("--input-dropout", **chance, help="on the input")
    parser.add_argument("--every-step", **either, help="learn what comes after each character, not after the last")
    parser.add_argument("--stateful", **either, help="carry the state from piece to piece")
    parser.add_argument("--sentences", **either, help="padded sentences in place of pieces of equal length")
    parser.add_argument("--punctuation", **either, help="leave it in the text")
    parser.add_argument("--decay", **either, help="lower the rate along half a cosine, and clip the gradient")
    parser.common(
        data=None, out=Path("runs/alice"), epochs=None, batch_size=None, lr=None, seed=0, device=None, threads=None,
        resume=False, report=None, plot=None, smoke=False,
    )
    flags = parser.parse_args(arguments)
    for name, value in RECIPES[flags.recipe].items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    if flags.smoke:
        flags.epochs, flags.hidden = min(flags.epochs, 4), min(flags.hidden, 32)
        flags.sequence = min(flags.sequence, 20)
        flags.batch_size = min(flags.batch_size, 64 if not flags.every_step else 4)
    if flags.sentences and flags.stateful:
        raise ScratchError("--sentences: each begins anew; add --no-stateful")
    if flags.sentences and not flags.punctuation:
        raise ScratchError("--sentences: without punctuation nobody knows where they end")
    if (flags.sentences or flags.stateful) and not flags.every_step:
        raise ScratchError(f"--{'sentences' if flags.sentences else 'stateful'} needs --every-step")
    return flags


# Trained weights ------------------------------------------------------------------------------------------------


def load_alice(path: Path) -> tuple[Sequential, Vocabulary, dict[str, Any]]:
    """Network, vocabulary and metadata. Raises: ScratchError when they do not fit."""
    model, vocab, metadata = load(path, "alice")
    window, seeds, settings = (metadata.get(name) for name in ("window", "seeds", "settings"))
    if not (
        (window is None or (type(window) is int and window > 0)) and isinstance(settings, dict)
        and isinstance(seeds, list) and seeds and all(isinstance(seed, str) for seed in seeds)
        and isinstance(metadata.get("train_loss"), float)
    ):
        raise ScratchError(f"{path}: its metadata do not fit its network")
    return model, vocab, metadata


def command_generate(arguments: list[str]) -> None:
    parser = program.Parser(
        "Write on from a window of the book, or from --seed-text (- reads it from standard input).",
        prog="alice.py generate",
    )
    parser.common(
        weights=WEIGHTS, device=None, seed=None, count=1000, samples=1, seed_text=None, temperature=0.6, top_k=None,
    )
    parser.add_argument("--skip-unknown", action="store_true", help="leave unknown characters out of the seed")
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, vocab, metadata = load_alice(flags.weights)
    window, seed = metadata["window"], flags.seed_text
    if seed is None:
        seed = random.choice(metadata["seeds"])
    elif seed == "-":
        seed = sys.stdin.buffer.read().decode("utf-8", "backslashreplace").rstrip("\r\n")
    seed = known_part(seed.lower(), vocab, flags.skip_unknown)
    write_on(
        model, vocab, seed, flags.count, flags.samples, temperature=flags.temperature, top_k=flags.top_k, window=window,
    )


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try weights on the book that they have learned.", prog="alice.py evaluate")
    parser.add_argument("text", nargs="?", type=Path, metavar="TEXT", help="the text they have learned, if another")
    parser.common(data=None, weights=WEIGHTS, device=None, report=None, smoke=False)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    program.writable_file(flags.report, flags.weights, flags.text)
    model, vocab, metadata = load_alice(flags.weights)
    window, learning = metadata["window"], metadata["train_loss"]
    flags.sequence, flags.punctuation = window or 1, metadata["settings"].get("punctuation", True)
    text = read_book(flags)
    ids = numpy.array(vocab.encode(text), dtype=numpy.int32)
    value = nats(model, ids, min(16, len(ids) - 1)) if window is None else window_nats(model, ids, window)
    print(f"{len(text)} characters of the book: {value:.4f} nats each = {value / math.log(2):.4f} bits; chance is "
          f"{math.log(vocab.size):.3f}; in training, with dropout, it was {learning:.4f}")
    program.write_report(flags.report, {"nats_per_character": value, "train_loss": learning})


def window_nats(model: Layer, ids: numpy.ndarray, window: int) -> float:
    """The mean loss of what follows each full window; of a network that says more, the last step is taken."""
    inputs, following = windows(ids, window)
    loss, total, count = SoftmaxCrossEntropy(), 0.0, 0
    parallel = in_threads(model, default_threads(256))
    with evaluating(parallel):
        for start in progress(range(0, len(following), 256), "reading"):
            predicted = parallel.forward(to_device(numpy.array(inputs[start : start + 256])))
            actual = following[start : start + 256]
            predicted = predicted if predicted.ndim == 2 else predicted[:, -1]
            total += loss.loss(predicted, to_device(actual)) * len(actual)
            count += len(actual)
    return total / count


if __name__ == "__main__":
    program.run(main)
