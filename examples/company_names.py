"""Company names: a recurrent network learns a list of names, letter by letter, and invents new ones.

  python examples/company_names.py                       train on the embedded list
  python examples/company_names.py --names towns.txt     ... or on your own, one name a line
  python examples/company_names.py generate --count 10   names from trained weights
  python examples/company_names.py evaluate              how many of 1,000 names are new, and how many garbage

After Joel Grus, Data Science from Scratch, 2nd edition, chapter 21. `generate --help` and `evaluate --help` have
flags of their own. Losses are in nats: a blind guess among 52 characters costs log(52) = 3.95 of them. The learning
rate is 0.01, or 0.2 with --whole-names, unless --lr says otherwise.
"""

import math
import random
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from scratch.backend import to_device
from scratch.checks import ScratchError
from scratch.dense import Linear
from scratch.functions import sample_from, softmax
from scratch.layer import Sequential, evaluating
from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Momentum
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.schedules import step_decay
from scratch.text import Vocabulary
from scratch.tools import program
from scratch.tools.checkpoint import begin_run, save_checkpoint
from scratch.tools.files import read_shapes
from scratch.tools.history import History, progress, stop_unless_finite
from scratch.tools.plots import curve
from scratch.tools.weights import load_weights, metadata_of, save_vocab, save_weights, vocabulary_of

# Y Combinator's top companies of 2018 (https://www.ycombinator.com/topcompanies/), 100 of the 101 the book had.
COMPANIES = """
Airbnb, Stripe, Cruise, Dropbox, Coinbase, Instacart, Machine Zone, DoorDash, Zenefits, Gusto, Reddit, PagerDuty,
Docker, Ginkgo Bioworks, Rappi, Brex, GitLab, Twitch, Flexport, Mixpanel, Checkr, Optimizely, LendUp, Segment, uBiome,
Memebox, Zapier, Rigetti Computing, North, Podium, Equipment Share, Soylent, PlanGrid, Sift Science, Algolia, EasyPost,
Amplitude, Meta, WePay, MemSQL, Weebly, CoreOS, Vidyard, Clever, MessageBird, Heroku, GOAT, Ridecell, Matterport,
Fivestars, Faire, Atrium, Rescale, Lever, Front, ShipBob, Le Tote, OMGPOP, Axoni, Scribd, Lob, Atomwise, Heap, Hush,
FutureAdvisor, SFOX, BitMovin, Boom Supersonic, Zerocater, RainForest, SmartAsset, Embark, Razorpay, Qventus, Cloudant,
GrubMarket, Codecademy, Automatic, Ironclad, FarmLogs, Caviar, HackerRank, Nurx, Function of Beauty, Gigster,
Goldbelly, Buildzoom, People.ai, inDinero, Firebase, Genius, ScienceExchange, Thread, The Muse, Second Measure,
Scale Labs, Strikingly, The Athletic, HelloSign, GoCardless
"""
START, STOP = "^", "$"
MAX_LENGTH = 160
FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "weights.json", "vocab.json")
LAYERS = {"rnn": SimpleRnn, "gru": GRU, "lstm": LSTM}
CUT_AFTER = 200  # the learning rate falls to a tenth after this epoch, as in the book
WEIGHTS = Path(__file__).resolve().parent.parent / "weights"


def main() -> None:
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": command_train, "generate": command_generate, "evaluate": command_evaluate,
    }
    arguments = sys.argv[1:]
    if arguments and arguments[0] in commands:
        commands[arguments[0]](arguments[1:])
    else:
        command_train(arguments)


# The network ----------------------------------------------------------------------------------------------------


def build(layer: str, vocab_size: int, hidden_dim: int) -> Sequential:
    """Two recurrent layers, and a score for each character to come."""
    first, second = LAYERS[layer](vocab_size, hidden_dim), LAYERS[layer](hidden_dim, hidden_dim)
    return Sequential([first, second, Linear(hidden_dim, vocab_size)])


def reset(model: Sequential) -> None:
    for layer in model.layers[:2]:
        layer.reset_hidden_state()


def letter_by_letter(model: Sequential, loss: SoftmaxCrossEntropy, optimizer: Momentum, ids: list[int]) -> float:
    """The book's way: a step of learning after every character. Returns the summed loss, in nats."""
    reset(model)
    total = 0.0
    for letter, next_letter in pairwise(ids):
        predicted = model.forward(letter)
        total += loss.loss(predicted, next_letter)
        gradient = loss.gradient(predicted, next_letter)
        model.backward(gradient)
        optimizer.step(model)
    return total


def whole_name(model: Sequential, loss: SoftmaxCrossEntropy, optimizer: Momentum, ids: list[int]) -> float:
    """One step of learning for each name, back through all of its characters. Returns the summed loss, in nats."""
    row = to_device([ids])
    letters, next_letters = row[:, :-1], row[:, 1:]  # (1, T): a batch of one name
    predicted = model.forward(letters)
    mean = loss.loss(predicted, next_letters)
    gradient = loss.gradient(predicted, next_letters)
    model.backward(gradient)
    optimizer.step(model)
    return mean * (len(ids) - 1)


def generate(
    model: Sequential, vocab: Vocabulary, seed_text: str = "", temperature: float = 1.0, top_k: int | None = None
) -> str:
    """A name that begins with `seed_text`, one character at a time, until STOP or MAX_LENGTH."""
    reset(model)
    name = seed_text
    *known, letter = vocab.encode(START + seed_text)
    with evaluating(model):
        for past in known:
            model.forward(past)
        while len(name) < MAX_LENGTH:
            probabilities = softmax(model.forward(letter))
            letter = sample_from(probabilities, temperature, top_k)
            character = vocab.get_word(letter) or STOP
            if character == STOP:
                break
            name += character
    return name


# Training -------------------------------------------------------------------------------------------------------


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments)
    program.begin(flags)
    names = read_names(flags.names) if flags.names else [name.strip() for name in COMPANIES.split(",")]
    if flags.smoke:
        names, flags.epochs, flags.hidden = names[:5], min(flags.epochs, 20), 8
    program.writable(flags.out)
    flags.plot = flags.plot or flags.out / "loss.png"
    files = [flags.out / name for name in FILES]
    program.writable_file(flags.plot, flags.names, *files)
    program.writable_file(flags.report, flags.names, flags.plot, *files)

    vocab = Vocabulary(character for name in names for character in name)
    vocab.add(START)
    vocab.add(STOP)
    num_characters = sum(len(name) + 1 for name in names)  # STOP is predicted too
    chance = math.log(vocab.size)
    model = build(flags.layer, vocab.size, flags.hidden)
    loss = SoftmaxCrossEntropy()
    learn = whole_name if flags.whole_names else letter_by_letter
    lr = flags.lr if flags.lr is not None else 0.2 if flags.whole_names else 0.01
    # A gradient through a whole name now and then explodes, so it is clipped.
    optimizer = Momentum(lr, clip_norm=1.0 if flags.whole_names else None)

    settings = {
        "smoke": flags.smoke, "layer": flags.layer, "hidden": flags.hidden, "whole_names": flags.whole_names, "lr": lr,
        "seed": flags.seed, "names": list(names),
    }
    checkpoint, history_file, *_ = files
    done: dict[str, Any] = {"epoch": 0, "names": names, "rows": [], "seconds": 0.0}
    done = begin_run([*files, flags.out / "loss.png"], flags.resume, model, optimizer, settings, done)
    names = done["names"]
    history = History(history_file, done["rows"])
    print(f"{len(names)} names, {num_characters} characters of {vocab.size} kinds; chance is {chance:.3f} nats each")

    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            optimizer.lr = lr * step_decay(epoch, at=[CUT_AFTER + 1])
            random.shuffle(names)
            epoch_loss = 0.0
            for name in progress(names, f"epoch {epoch}"):
                epoch_loss += learn(model, loss, optimizer, vocab.encode(START + name + STOP))
            epoch_loss = stop_unless_finite(epoch_loss / num_characters, model, f"epoch {epoch}")
            name = program.one_line(generate(model, vocab))
            print(f"epoch {epoch:3}  loss {epoch_loss:.3f} (chance {chance:.3f})  {name}", flush=True)
            history.add(epoch=epoch, loss=epoch_loss, name=name)
            if epoch % 5 == 0 or epoch == flags.epochs:
                seconds = time.perf_counter() - started
                done |= {"epoch": epoch, "names": names, "rows": history.rows, "seconds": seconds}
                save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}") from None

    show(model, vocab, names, history, flags, {
        "loss": history.column("loss")[-1], "chance": chance, "seed": flags.seed, "layer": flags.layer,
        "hidden": flags.hidden, "whole_names": flags.whole_names, "epochs": done["epoch"], "num_names": len(names),
        "num_characters": num_characters, "seconds": done["seconds"],
        "command": program.command_line("examples/company_names.py", arguments),
    })


def show(
    model: Sequential, vocab: Vocabulary, names: list[str], history: History, flags: Namespace, figures: dict[str, Any]
) -> None:
    """The end of a run: twenty names, the curve, the weights and the report."""
    print("\nTwenty names:")
    invented = [generate(model, vocab) for _ in range(20)]
    for name in invented:
        print(f"  {'from the list' if name in names else 'not in the list':15}  {program.one_line(name)}")
    known = {"program": "company_names", "vocabulary": vocab.w2i, "names": sorted(names)}
    weights = flags.out / "weights.npz"
    save_weights(model, weights, known | figures)
    save_weights(model, flags.out / "weights.json")
    save_vocab(vocab, flags.out / "vocab.json")
    program.write_report(flags.report, figures | {"names": invented})
    lines, levels = {"training": history.column("loss")}, {"chance": figures["chance"]}
    curve(flags.plot, lines, "epoch", "loss (nats per character)", "Learning names", levels)
    loss, epochs, seconds = figures["loss"], figures["epochs"], figures["seconds"]
    print(f"\nLoss:    {loss:.3f} nats per character, after {seconds:.0f} seconds; epochs: {epochs}")
    print(f"Curve:   {flags.plot}")
    print(f"Weights: {weights}, and in the book's form weights.json and vocab.json beside it")
    print(f"More:    {program.command_line('examples/company_names.py', ['generate', '--weights', str(weights)])}")


def train_flags(arguments: list[str]) -> Namespace:
    parser = program.Parser(__doc__, usage="company_names.py [train | generate | evaluate] [flags]")
    parser.add_argument("--names", "--data", type=Path, metavar="FILE", help="a list of names, one a line, in UTF-8")
    parser.add_argument("--layer", choices=LAYERS, default="rnn", help="the recurrent layers (default: rnn)")
    parser.add_argument("--hidden", type=program.positive, default=32, metavar="N", help="their size (default: 32)")
    parser.add_argument("--whole-names", action="store_true", help="learn a name at a time, back through all of it")
    parser.common(
        out=Path("runs/company_names"), epochs=300, lr=None, seed=0, device=None, resume=False, report=None,
        plot=None, smoke=False,
    )
    return parser.parse_args(arguments)


def read_names(path: Path) -> list[str]:
    """The distinct names in a file of one a line. Raises: ScratchError that says which line cannot be used."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ScratchError(f"{path}: not UTF-8 (byte {error.start}); save the list as UTF-8") from None
    names = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    for name in names:
        if START in name or STOP in name:
            raise ScratchError(f"{path}: {name!r} holds {START} or {STOP}, which mark where a name starts and stops")
        if len(name) > MAX_LENGTH:
            raise ScratchError(f"{path}: a name of {len(name)} characters, more than {MAX_LENGTH}; one name a line")
    if not names:
        raise ScratchError(f"{path}: no names in it; expected one a line")
    return names


# Trained weights ------------------------------------------------------------------------------------------------


def load(path: Path) -> tuple[Sequential, Vocabulary, dict[str, Any]]:
    """The network, vocabulary and metadata in a file of weights."""
    metadata = metadata_of(path, "company_names", layer=str, hidden=int, loss=float, names=list)
    vocab, shapes = vocabulary_of(metadata.get("vocabulary"), path), read_shapes(path)
    # A network of a size that the file only claims is not even made.
    sizes = shapes.get("layers.1.u", ())[-1:] + shapes.get("layers.2.b", ())
    known = metadata["layer"] in LAYERS and all(isinstance(name, str) for name in metadata["names"])
    if not known or sizes != (metadata["hidden"], vocab.size) or not {START, STOP} <= vocab.w2i.keys():
        raise ScratchError(f"{path}: its metadata do not fit its network")
    model = build(metadata["layer"], vocab.size, metadata["hidden"])
    load_weights(model, path)
    return model, vocab, metadata


def weights_flags(command: str, arguments: list[str], **defaults: Any) -> Namespace:
    parser = program.Parser(f"{command} names with trained weights.", prog=f"company_names.py {command}")
    parser.common(weights=WEIGHTS / "companies_32.npz", device=None, temperature=1.0, top_k=None, **defaults)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    return flags


def command_generate(arguments: list[str]) -> None:
    flags = weights_flags("generate", arguments, seed=None, count=20, seed_text="")
    model, vocab, metadata = load(flags.weights)
    for character in flags.seed_text:
        if vocab.get_id(character) is None or character in START + STOP:
            raise ScratchError(f"--seed-text: {character!r} is in none of the names that these weights have learned")
    if len(flags.seed_text) > MAX_LENGTH:
        raise ScratchError(f"--seed-text: longer than {MAX_LENGTH} characters, which no name is")
    for _ in range(flags.count):
        name = generate(model, vocab, flags.seed_text, flags.temperature, flags.top_k)
        print(f"{'from the list' if name in metadata['names'] else 'not in the list':15}  {program.one_line(name)}")


def command_evaluate(arguments: list[str]) -> None:
    flags = weights_flags("evaluate", arguments, seed=0, count=1000, report=None)
    program.writable_file(flags.report, flags.weights)
    model, vocab, metadata = load(flags.weights)
    kinds = Counter(
        kind(generate(model, vocab, "", flags.temperature, flags.top_k), metadata["names"])
        for _ in progress(range(flags.count), "names")
    )
    shares = {name: kinds[name] / flags.count for name in ("verbatim", "new", "garbage")}
    print(f"{flags.weights}: {metadata['layer']} {metadata['hidden']}, loss {metadata['loss']:.3f} nats per character")
    print(", ".join(f"{share:.1%} {name}" for name, share in shares.items()))
    program.write_report(flags.report, {"count": flags.count, "loss": metadata["loss"], **shares})


def kind(name: str, names: list[str]) -> str:
    """`verbatim` (in the list), `garbage`, or `new`.

    Garbage is a name of one character or none, or one in which more than a third of the runs of three characters
    occur in no name of the list. START and STOP count as characters, and letter case is set aside.
    """
    if name in names:
        return "verbatim"
    known = {three for other in names for three in runs_of_three(other)}
    threes = runs_of_three(name)
    return "garbage" if len(name) < 2 or sum(three not in known for three in threes) > len(threes) / 3 else "new"


def runs_of_three(name: str) -> list[str]:
    marked = START + name.lower() + STOP
    return [marked[i : i + 3] for i in range(len(marked) - 2)]


if __name__ == "__main__":
    program.run(main)
