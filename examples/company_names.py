"""Company names: a recurrent network learns a list of names, letter by letter, and invents new ones.

  python examples/company_names.py                       train on the 100 company names in this file
  python examples/company_names.py --names towns.txt     ... or on your own list, one name per line
  python examples/company_names.py generate --new-only   names from trained weights, none of them on the list
  python examples/company_names.py evaluate              how many of 1,000 names are new, and how many garbage

After Grus, Data Science from Scratch, 2nd edition, chapter 21. Losses are in nats; chance is ln 52 = 3.95 a letter.
"""

if __name__ == "__main__":
    import ctrl_c  # before the slow imports

import math
import random
from argparse import Namespace
from itertools import islice, pairwise
from pathlib import Path
from sys import argv
from typing import Any

from scratch import ScratchError, evaluating, step_decay, to_device
from scratch.deep_learning import Linear, Loss, Momentum, Optimizer, Sequential, SoftmaxCrossEntropy, softmax
from scratch.fast import fast
from scratch.nlp import GRU, LSTM, SimpleRnn, Vocabulary, sample_from
from scratch.tools import history, program, schema, weights
from scratch.tools.files import read_lines
from scratch.tools.run import Run
from scratch.tools.scores import listed, novelty, only_new

# Y Combinator's top companies of 2018 (https://www.ycombinator.com/topcompanies/), 100 of the 101 in Grus's book.
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
# Each letter's target is the next letter: for "Lob" the network reads ^ L o b and should predict L o b $.
START, STOP, MAX_LENGTH = "^", "$", 160
WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "companies_32.npz"
LAYERS = {"rnn": SimpleRnn, "gru": GRU, "lstm": LSTM}


def build(layer: str, vocab_size: int, hidden_dim: int) -> Sequential:
    """Two recurrent layers, and a score for each possible next character."""
    first, second = LAYERS[layer](vocab_size, hidden_dim), LAYERS[layer](hidden_dim, hidden_dim)
    return Sequential([first, second, Linear(hidden_dim, vocab_size)])


def reset(model: Any) -> None:
    for layer in model.layers[:2]:
        layer.reset_hidden_state()


def update(model: Any, loss: Loss, optimizer: Optimizer, x: Any, y: Any) -> float:
    """One training step. Returns the mean loss of the letters in y, in nats."""
    predicted = model.forward(x)
    value = loss.loss(predicted, y)
    model.backward(loss.gradient(predicted, y))
    optimizer.step(model)
    return value


# With one update per letter, as in Grus's book, the gradient goes back one step: nothing teaches the network what to
# keep for later letters. With one per name, it goes back through all letters, and is clipped in case it explodes.
def letter_by_letter(model: Any, loss: Loss, optimizer: Optimizer, ids: list[int]) -> float:
    reset(model)
    return sum(update(model, loss, optimizer, letter, next_letter) for letter, next_letter in pairwise(ids))


def whole_name(model: Any, loss: Loss, optimizer: Optimizer, ids: list[int]) -> float:
    row = to_device([ids])  # a batch of one name
    return update(model, loss, optimizer, row[:, :-1], row[:, 1:]) * (len(ids) - 1)


def generate(model: Any, vocab: Vocabulary, seed: str = "", temperature: float = 1.0, top_k: int | None = None) -> str:
    """Generate a name that begins with `seed`, one character at a time, until STOP or MAX_LENGTH."""
    reset(model)
    *known, letter = vocab.encode(START + seed)
    with evaluating(model):
        for past in known:
            model.forward(past)
        while len(seed) < MAX_LENGTH:
            letter = sample_from(softmax(model.forward(letter)), temperature, top_k)
            if vocab.i2w[letter] in (START, STOP):
                break
            seed += vocab.i2w[letter]
    return seed


def train(flags: Namespace) -> None:
    names = [name.strip() for name in COMPANIES.split(",")] if flags.names is None else read_lines(flags.names)
    if bad := [name for name in names if len(name) > MAX_LENGTH or START in name or STOP in name]:
        raise ScratchError(f"{flags.names}: {bad[0][:40]!r} ({len(bad[0])} characters) is too long, or contains ^ or $")
    if flags.smoke:
        names, flags.epochs, flags.hidden = names[:5], min(flags.epochs, 20), 8
    vocab = Vocabulary([*(character for name in names for character in name), START, STOP])
    num_characters, chance = sum(len(name) + 1 for name in names), math.log(vocab.size)  # STOP is predicted too
    learn, rate, clip_norm = (whole_name, 0.2, 1.0) if flags.whole_names else (letter_by_letter, 0.01, None)
    rate = rate if flags.lr is None else flags.lr
    model, loss = build(flags.layer, vocab.size, flags.hidden), SoftmaxCrossEntropy()
    optimizer = Momentum(rate, clip_norm=clip_norm)
    if not flags.plain:
        model, loss, optimizer = fast(model, threads=1), fast(loss), fast(optimizer)
    print(f"{len(names)} names, {num_characters} characters, {vocab.size} distinct; chance is {chance:.3f} nats each")
    known = {"layer": flags.layer, "hidden": flags.hidden, "whole_names": flags.whole_names, "names": sorted(names)}
    settings, known = known | {"names": names, "lr": rate, "seed": flags.seed}, known | {"vocabulary": vocab.w2i}
    with Run(flags, model, optimizer, settings, "company_names", known, chance=chance, unit="nats per character",
             every=5, inputs=[flags.names], files=["weights.json", "vocab.json"]) as run:
        for epoch in run.epochs():
            optimizer.lr = rate * step_decay(epoch, at=[201])  # a tenth after 200 epochs, as in Grus's book
            order = run.progress(random.sample(names, len(names)))
            total = sum(learn(model, loss, optimizer, vocab.encode(START + name + STOP)) for name in order)
            run.record(loss=run.finite(total / num_characters), name=generate(model, vocab))
    print("\nTwenty names:", *listed([generate(model, vocab) for _ in range(20)], names), sep="\n")
    run.finish("Company names", chance=chance, num_names=len(names), num_characters=num_characters)
    weights.save_weights(model, flags.out / "weights.json")  # in Grus's format
    weights.save_vocab(vocab, flags.out / "vocab.json")
    print(f"\nCurve:   {run.plot}\nWeights: {run.weights}; in Grus's format: weights.json and vocab.json, beside it")


def generate_or_evaluate(flags: Namespace) -> None:
    program.writable_file(flags.report, flags.weights)
    known = weights.metadata_of(flags.weights, "company_names", layer=tuple(LAYERS), hidden=schema.SIZE, loss=float,
                                names=[str], vocabulary=schema.letters)
    vocab = weights.vocabulary_of(known["vocabulary"], flags.weights)
    if not {START, STOP} <= vocab.w2i.keys():
        raise ScratchError(f"{flags.weights}: its vocabulary lacks {START} or {STOP}")
    model = weights.load_model(flags.weights, lambda: build(known["layer"], vocab.size, known["hidden"]))
    model = model if flags.plain else fast(model, threads=1)
    unknown = set(flags.seed_text) - (vocab.w2i.keys() - {START, STOP})
    if unknown or len(flags.seed_text) > MAX_LENGTH:
        raise ScratchError(f"--seed-text: {''.join(unknown)[:40]!r} is in no training name, or is too long")
    count = flags.count or (20 if flags.command == "generate" else 1000)
    drawn = (generate(model, vocab, flags.seed_text, flags.temperature, flags.top_k) for _ in range(100 * count))
    wanted = only_new(drawn, known["names"]) if flags.new_only else drawn
    invented = list(islice(history.progress(wanted, "inventing", count), count))
    if flags.command == "generate":
        few = [f"(Only {len(invented)} of {100 * count} names are new; a higher --temperature gives more.)"]
        return print(*listed(invented, known["names"]), *few * (len(invented) < count), sep="\n")
    shares = novelty(invented, known["names"])
    print(f"{flags.weights}: {known['layer']} {known['hidden']}, loss {known['loss']:.3f} nats per character",
          ", ".join(f"{share:.1%} {name}" for name, share in shares.items()), sep="\n")
    return program.write_report(flags.report, {"count": count, "loss": known["loss"], **shares})


def main() -> None:
    parser = program.Parser(__doc__, usage="company_names.py [train | generate | evaluate] [flags]")
    parser.add_argument("--names", "--data", type=Path, metavar="FILE", help="a UTF-8 file with one name per line")
    parser.add_argument("--layer", choices=LAYERS, default="rnn", help="type of the recurrent layers (default: rnn)")
    parser.add_argument("--hidden", type=program.positive, default=32, metavar="N", help="layer size (default: 32)")
    parser.add_argument("--new-only", action="store_true", help="generate: only names that are new and not garbage")
    parser.add_argument("--whole-names", action="store_true", help="make one update per name instead of per letter")
    command, *rest = argv[1:] if argv[1:2] in (["train"], ["generate"], ["evaluate"]) else ["train", *argv[1:]]
    parser.common(out=Path("runs/company_names"), epochs=300, lr=None, seed=None if command == "generate" else 0,
                  device=None, plain=False, resume=False, report=None, plot=None, smoke=False, weights=WEIGHTS,
                  seed_text="", temperature=1.0, top_k=None)
    parser.add_argument("--count", type=program.positive, metavar="N", help="names drawn (default: 20; evaluate: 1000)")
    flags = parser.parse_args(rest, Namespace(command=command))
    program.begin(flags, small=True)
    (train if flags.command == "train" else generate_or_evaluate)(flags)


if __name__ == "__main__":
    program.run(main)
