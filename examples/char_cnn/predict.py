"""`python examples/char_cnn predict`: the class of each text."""

import json
from collections.abc import Sequence

import numpy
from char_cnn.flags import add_model
from char_cnn.network import load, log_probabilities, summary
from char_cnn.texts import Quantiser, cleaned

from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.tools import program


def command(arguments: list[str]) -> None:
    parser = program.Parser("Classify texts.", prog="char_cnn predict")
    parser.add_argument(
        "--text", action="append", default=[],
        help="text to classify; may be repeated (default: lines of standard input)",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON per text")
    add_model(parser)
    flags = parser.parse_args(arguments)
    program.begin(flags, small=True)
    model, known = load(flags.model)
    if flags.summary:
        print("\n".join(summary(model, known["max_length"])))
        return
    model = model if flags.plain else fast(model)
    quantise = Quantiser(known["alphabet"], known["max_length"])

    def reply(texts: Sequence[str]) -> None:
        ids = quantise([cleaned(text, known["steps"]) for text in texts])
        unreadable = []
        for text, row, log_p in zip(texts, ids, log_probabilities(model, ids), strict=True):
            if row.max() < 0:
                unreadable.append(text)
                continue
            p = dict(zip(known["names"], numpy.exp(log_p).tolist(), strict=True))
            best = max(p, key=p.__getitem__)
            if flags.json:
                print(json.dumps({"text": text, "class": best, "probabilities": p}, ensure_ascii=False))
            else:
                others = program.one_line(", ".join(f"{name} {value:.3f}" for name, value in p.items()))
                print(f"{program.one_line(text)[:100]}\n  {program.one_line(best)} ({others})")
        if unreadable:  # after the answers for the other texts
            raise ScratchError(f"{unreadable[0][:40]!r}: has no character of the network's alphabet")

    program.answer(flags.text, "texts", reply)
