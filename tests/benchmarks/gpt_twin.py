"""The network of `gpt train --recipe nanogpt-cpu` in PyTorch: python tests/benchmarks/gpt_twin.py --threads 2

It begins with the same weights and sees the same windows as `gpt train` with the same --seed, and prints its losses on
the validation set and the held-out set, and its seconds. With `--fused`, AdamW is PyTorch's fused one. Give
--report FILE the report of that run, to print its figures beside them.
"""

import json
import random
import sys
import time
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(Path(__file__).resolve().parent)]

from char_lm.texts import corpus_file, read, split  # noqa: E402
from gpt.network import RECIPES, SIZES, build, windows  # noqa: E402
from gpt.train import flags_of, learning_rate, random_windows  # noqa: E402

from scratch.regular import Dropout  # noqa: E402
from scratch.tools import program  # noqa: E402
from scratch.tools.extras import extra  # noqa: E402
from scratch.tools.history import progress  # noqa: E402


def main() -> None:
    parser = program.Parser(__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="nanogpt-cpu")
    parser.add_argument("--fused", action="store_true", help="with PyTorch's fused AdamW")
    parser.common(epochs=None, seed=0, data=None, threads=None, report=None)
    flags = parser.parse_args()
    extra("torch", "the twin")
    given = flags_of(["--recipe", flags.recipe, "--seed", str(flags.seed)])
    given.epochs = flags.epochs or given.epochs
    corpus = read(corpus_file(given.text, flags.data), 1)
    training, validation, held_out = split(corpus.ids)
    random.seed(flags.seed)
    model = build(corpus.vocab.size, **{name: getattr(given, name) for name in SIZES}, dropout=given.dropout)
    started = time.perf_counter()
    network = Twin(model, flags.threads)
    for epoch, loss in enumerate(network.train(training, given, flags.fused), 1):
        print(f"epoch {epoch:3}  loss {loss:.4f}  validation {network.nats(validation, given.context):.4f}", flush=True)
    seconds = time.perf_counter() - started
    print(f"PyTorch: held out {network.nats(held_out, given.context):.4f}, {seconds:.0f} seconds")
    if flags.report:
        ours = json.loads(flags.report.read_text())
        print(f"ours:    held out {ours['nats_per_character']:.4f}, {ours['seconds']:.0f} seconds")


class Twin:
    """A PyTorch network with the weights of a Transformer, whose attention is `scaled_dot_product_attention`."""

    def __init__(self, model, threads):
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.torch, self.sizes = torch, (model.num_heads, model.features)
        self.dropout = model.dropout
        self.p = {
            name: torch.nn.Parameter(torch.from_numpy(p.data.copy())) for name, p in model.named_parameters().items()
        }
        self.num_dropouts = sum(isinstance(layer, Dropout) for layer in model.all_layers())
        self.names = [f"blocks.{k}" for k in range(model.num_layers)]

    def linear(self, x, name):
        return self.torch.nn.functional.linear(x, self.p[f"{name}.w"], self.p.get(f"{name}.b"))

    def norm(self, x, name):
        gain, bias = (self.p.get(f"{name}.{part}") for part in ("w", "b"))
        return self.torch.nn.functional.layer_norm(x, gain.shape, gain, bias)

    def drop(self, x, training):
        return self.torch.nn.functional.dropout(x, self.dropout, training)

    def forward(self, ids, training=False):
        functional, (num_heads, features) = self.torch.nn.functional, self.sizes
        N, T = ids.shape
        x = self.drop(self.p["embedding.w"][ids] + self.p["positions.w"][:T], training)
        for name in self.names:
            y = self.linear(self.norm(x, f"{name}.norm1"), f"{name}.attention.in_projection")
            q, k, v = y.view(N, T, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
            rate = self.dropout if training else 0.0
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=rate)
            y = y.transpose(1, 2).reshape(N, T, features)
            x = x + self.drop(self.linear(y, f"{name}.attention.out_projection"), training)
            y = self.linear(self.norm(x, f"{name}.norm2"), f"{name}.feed_forward.up")
            y = self.linear(functional.gelu(y, approximate="tanh"), f"{name}.feed_forward.down")
            x = x + self.drop(y, training)
        return self.norm(x, "norm") @ self.p["embedding.w"].T

    def train(self, ids, flags, fused):
        """Yield the mean loss of each epoch."""
        torch, values = self.torch, list(self.p.values())
        groups = [
            {"params": [p for p in values if p.ndim > 1], "weight_decay": flags.weight_decay},
            {"params": [p for p in values if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=flags.lr, betas=(0.9, flags.beta2), fused=fused)
        for epoch in range(flags.epochs):
            total = 0.0
            pieces = random_windows(ids, flags.context, flags.batch_size, flags.steps)
            for k, (now, following) in enumerate(progress(pieces, "epoch", flags.steps)):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(epoch * flags.steps + k, flags)
                now, following = (torch.from_numpy(part.astype(numpy.int64)) for part in (now, following))
                loss = torch.nn.functional.cross_entropy(self.forward(now, True).flatten(0, 1), following.flatten())
                total += loss.item()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(values, 1.0)
                optimizer.step()
                for _ in range(self.num_dropouts):  # each of ours draws a number in a step, and then come the windows
                    random.getrandbits(64)
            yield total / flags.steps

    def nats(self, ids, context):
        """As `gpt.network.nats` of characters, in windows side by side."""
        torch, total = self.torch, 0.0
        parts = list(windows(ids, context, 0))
        with torch.no_grad():
            for group in (*(parts[k : min(k + 32, len(parts) - 1)] for k in range(0, len(parts) - 1, 32)), parts[-1:]):
                both = numpy.array([part[:2] for part in group], numpy.int64)
                now, following = torch.from_numpy(both).unbind(1)
                loss = torch.nn.functional.cross_entropy(self.forward(now).flatten(0, 1), following.flatten())
                total += loss.item() * following.numel()
        return total / (len(ids) - 1)


if __name__ == "__main__":
    program.run(main)
