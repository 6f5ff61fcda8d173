"""The Keras tutorial's first network in PyTorch, on the same windows: python tests/benchmarks/alice_twin.py --epochs 3

Prints the training loss of each epoch, beside that of `examples/alice train --recipe small --report FILE` if
--report names that file. Both start from the same weights and see each window once per epoch; their dropout masks
differ.
"""

import json
import random
import sys
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(Path(__file__).resolve().parent)]

from alice.book import num_batches, read_book, training_batches  # noqa: E402
from alice.network import build  # noqa: E402
from alice.train import flags_of  # noqa: E402

from scratch.text import Vocabulary  # noqa: E402
from scratch.tools import program  # noqa: E402
from scratch.tools.extras import extra  # noqa: E402
from scratch.tools.history import progress  # noqa: E402


def main() -> None:
    parser = program.Parser(__doc__)
    parser.common(epochs=3, seed=0, data=None, report=None)
    flags = parser.parse_args()
    extra("torch", "this benchmark")
    ours = json.loads(flags.report.read_text())["losses"] if flags.report else []
    small = flags_of(["--recipe", "small"])
    small.data, small.smoke, small.text = flags.data, False, None
    random.seed(flags.seed)
    text = read_book(small)
    vocab = Vocabulary(sorted(set(text)))
    ids = numpy.array(vocab.encode(text))
    model = build(vocab.size, small)
    for epoch, loss in enumerate(train(model, ids, text, vocab.size, small, flags.epochs), 1):
        beside = f"  ours {ours[epoch - 1]:.4f}, ratio {ours[epoch - 1] / loss:.4f}" if epoch <= len(ours) else ""
        print(f"epoch {epoch}  PyTorch {loss:.4f}{beside}", flush=True)


def train(model, ids, text, vocab_size, flags, epochs):
    """The mean loss of each epoch of the same network in PyTorch."""
    import torch

    H = flags.hidden
    lstm, linear = torch.nn.LSTM(1, H, batch_first=True), torch.nn.Linear(H, vocab_size)
    order = [k * H + j for k in (0, 1, 3, 2) for j in range(H)]  # ours is i, f, o, g, PyTorch's i, f, g, o
    theirs = [lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, linear.weight, linear.bias]
    with torch.no_grad():
        lstm.bias_hh_l0.zero_()
        for p, q in zip(model.parameters(), theirs, strict=True):
            q.copy_(torch.from_numpy(p.data[order] if len(p.data) == 4 * H else p.data))
    lstm.bias_hh_l0.requires_grad_(False)  # ours has one bias
    optimizer, dropout = torch.optim.Adam(theirs, lr=flags.lr), torch.nn.Dropout(flags.dropout)
    for _ in range(epochs):
        total = count = 0
        steps = progress(training_batches(ids, text, flags), "epoch", num_batches(ids, text, flags))
        for windows, following, _ in steps:
            x = torch.from_numpy((windows[..., None] / vocab_size).astype("float32"))
            error = torch.nn.functional.cross_entropy(
                linear(dropout(lstm(x)[0][:, -1])), torch.from_numpy(numpy.array(following))
            )
            total, count = total + error.item() * len(x), count + len(x)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        yield total / count


if __name__ == "__main__":
    program.run(main)
