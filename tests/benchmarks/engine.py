"""Measure what each file of the engine gains: plain layers and their fast twins, on one thread.

    python tests/benchmarks/engine.py
    python tests/benchmarks/engine.py --threads 2        # two LSTMs of 256 in 2 parts; with 1, BLAS has all cores
    python tests/benchmarks/engine.py --workers 2        # training steps on 2 threads, and by 2 worker processes

Every row is a forward and a backward (or a step of an optimizer), the median of alternating runs in one process, with
nothing else running. The sizes are those of the models. With --workers, the ratio is taken over pairs of steps, one by
each side, with its 95 % interval, as in compare.py.
"""

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy
from slices import in_words, with_interval
from threadpoolctl import threadpool_limits

from scratch import (
    GRU,
    LSTM,
    Adam,
    BatchNorm,
    Bidirectional,
    Conv1d,
    Conv2d,
    Dropout,
    Embedding,
    Gelu,
    LayerNorm,
    Linear,
    MaxPool1d,
    MaxPool2d,
    SelfAttention,
    Sequential,
    SoftmaxCrossEntropy,
    Transformer,
    to_device,
)
from scratch.fast import fast
from scratch.fast.arrays import add_at
from scratch.tools.history import progress
from scratch.tools.program import Parser, positive, run

draw = numpy.random.default_rng(0)


def floats(*shape: int) -> Any:
    return to_device(draw.standard_normal(shape, dtype=numpy.float32))


def ids(high: int, *shape: int) -> Any:
    return to_device(draw.integers(0, high, shape))


LAYERS: dict[str, tuple[str, Callable[[], Any], Callable[[], Any]]] = {
    "LSTM 256, batch 64, 50 steps, ids": ("sequences.py", lambda: LSTM(65, 256), lambda: ids(65, 64, 50)),
    "LSTM 256, batch 64, 50 steps": ("sequences.py", lambda: LSTM(256, 256), lambda: floats(64, 50, 256)),
    "LSTM 32, one step of an id": ("through_time.py", lambda: LSTM(52, 32), lambda: 7),
    "GRU 128, batch 64, 10 steps": ("sequences.py", lambda: GRU(57, 128), lambda: floats(64, 10, 57)),
    "both ends, LSTM 100, batch 32, 200 steps": (
        "bidirectional.py", lambda: Bidirectional(LSTM(200, 100), LSTM(200, 100)), lambda: floats(32, 200, 200),
    ),
    "Conv1d 256 to 256, 7 wide, batch 128, 48 steps": (
        "winograd1d.py", lambda: Conv1d(256, 256, 7), lambda: floats(128, 48, 256),
    ),
    "Conv1d 256 to 256, 3 wide, batch 128, 110 steps": (
        "winograd1d.py", lambda: Conv1d(256, 256, 3), lambda: floats(128, 110, 256),
    ),
    "Conv1d 256 to 256, 5 wide, batch 128, 48 steps": (
        "windows.py", lambda: Conv1d(256, 256, 5), lambda: floats(128, 48, 256),
    ),
    "Conv1d 70 to 256, 7 wide, batch 128, 150 ids": (
        "convolution.py", lambda: Conv1d(70, 256, 7), lambda: ids(70, 128, 150),
    ),
    "Conv2d 64 to 128, 3x3, batch 64, 16 by 16": (
        "winograd.py", lambda: Conv2d(64, 128, 3, "same"), lambda: floats(64, 16, 16, 64),
    ),
    "Conv2d 3 to 64, 3x3, batch 64, 32 by 32": (
        "windows.py", lambda: Conv2d(3, 64, 3, "same"), lambda: floats(64, 32, 32, 3),
    ),
    "MaxPool1d 3, batch 128, 144 steps of 256": ("pooling.py", lambda: MaxPool1d(3), lambda: floats(128, 144, 256)),
    "MaxPool2d 2, batch 64, 32 by 32 of 64": ("pooling.py", lambda: MaxPool2d(2), lambda: floats(64, 32, 32, 64)),
    "BatchNorm of 64, batch 64, 32 by 32": ("regular.py", lambda: BatchNorm(64), lambda: floats(64, 32, 32, 64)),
    "Dropout, 64 by 50 by 256": ("regular.py", lambda: Dropout(0.3), lambda: floats(64, 50, 256)),
    "Gelu, 64 by 16 by 16 by 256": ("activations.py", Gelu, lambda: floats(64, 16, 16, 256)),
    "Gelu, tanh form, 12 by 64 by 512": ("activations.py", lambda: Gelu("tanh"), lambda: floats(12, 64, 512)),
    "LayerNorm of 128, 12 by 64": ("regular.py", lambda: LayerNorm(128), lambda: floats(12, 64, 128)),
    "SelfAttention of 128, 4 heads, 12 texts of 64": (
        "self_attention.py", lambda: SelfAttention(128, 4), lambda: floats(12, 64, 128),
    ),
    "SelfAttention of 192, 6 heads, 64 texts of 128": (
        "self_attention.py", lambda: SelfAttention(192, 6), lambda: floats(64, 128, 192),
    ),
    "Transformer, 4 layers of 128, 12 texts of 64": (
        "transformer.py", lambda: Transformer(65, 128, 4, 4, 64), lambda: ids(65, 12, 64),
    ),
    "Linear 256 to 65, 64 by 50 rows": ("dense.py", lambda: Linear(256, 65), lambda: floats(64, 50, 256)),
    "Embedding of 20,000, 64 by 20 ids": ("dense.py", lambda: Embedding(20_000, 100), lambda: ids(20_000, 64, 20)),
}

TRAINED: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "2 Linear of 64, batch 64": (
        lambda: Sequential([Linear(32, 64), Gelu(), Linear(64, 65)]), lambda: floats(64, 32),
    ),
    "LSTM of 128, batch 64, 10 steps": (
        lambda: Sequential([LSTM(57, 128), Linear(128, 65)]), lambda: ids(57, 64, 10),
    ),
    "2 LSTM of 256, batch 64, 50 steps": (
        lambda: Sequential([LSTM(65, 256), Dropout(0.3), LSTM(256, 256), Linear(256, 65)]), lambda: ids(65, 64, 50),
    ),
    "2 LSTM of 512, batch 64, 50 steps": (
        lambda: Sequential([LSTM(65, 512), Dropout(0.3), LSTM(512, 512), Linear(512, 65)]), lambda: ids(65, 64, 50),
    ),
    "Transformer, 4 layers of 128, 12 texts of 64": (
        lambda: Transformer(65, 128, 4, 4, 64), lambda: ids(65, 12, 64),
    ),
    "Conv1d 70 to 256 to 256, batch 128, 150 ids": (
        lambda: Sequential([Conv1d(70, 256, 7), MaxPool1d(3), Conv1d(256, 256, 3), MaxPool1d(3), Linear(256, 65)]),
        lambda: ids(70, 128, 150),
    ),
    "Conv2d 3 to 32 to 64, BatchNorm, batch 64, 32 by 32": (
        lambda: Sequential([
            Conv2d(3, 32, 3, "same"), BatchNorm(32), MaxPool2d(2), Conv2d(32, 64, 3, "same"), MaxPool2d(2),
            Linear(64, 65),
        ]),
        lambda: floats(64, 32, 32, 3),
    ),
}


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("--rounds", type=positive, default=15, help="number of runs per side (default: 15)")
    parser.common(threads=None)
    flags = parser.parse_args()
    if flags.threads:  # in a process of its own: BLAS's threads go on waiting for a while after a product
        deep, x = Sequential([LSTM(65, 256), LSTM(256, 256), Linear(256, 65)]), ids(65, 64, 50)
        layer = both_ways(fast(deep, threads=flags.threads), x)
        print(f"{statistics.median(times_of([layer], 2 * flags.rounds)[0]):.4g} ms")
        return
    if flags.processes:
        compare_workers(flags.processes, flags.rounds)
        return
    print("| what | file | plain, ms | fast, ms | ratio |\n|---|---|---|---|---|")
    with threadpool_limits(1, user_api="blas"):
        for what, (file, make, input) in LAYERS.items():
            random.seed(0)
            plain, x = make(), input()
            show(what, file, both_ways(plain, x), both_ways(fast(plain, threads=1), x), flags.rounds)
        plain, scores, truth = SoftmaxCrossEntropy(), floats(64, 50, 65), ids(65, 64, 50)
        show("SoftmaxCrossEntropy, 64 by 50 rows of 65", "losses.py", *(
            lambda loss=loss: loss.gradient(scores, truth) is loss.loss(scores, truth) for loss in (plain, fast(plain))
        ), flags.rounds)
        small = Sequential([Linear(52, 32), Linear(32, 32), Linear(32, 52)])
        large = Sequential([LSTM(65, 512), LSTM(512, 512), Linear(512, 65)])
        for what, model in (("6 small Parameters", small), ("2 LSTM of 512", large)):
            quick, optimizers = fast(model, threads=1), (Adam(1e-3), fast(Adam(1e-3)))
            show(f"a step of Adam, {what}", "vector.py", *(
                lambda o=o, m=m: o.step(m) for o, m in zip(optimizers, (model, quick), strict=True)
            ), flags.rounds)
        table, places, rows = floats(20_000, 100), ids(20_000, 20_000), floats(20_000, 100)
        show("20,000 rows added by id to 20,000", "arrays.py", lambda: numpy.add.at(table, places, rows),
             lambda: add_at(table, places, rows), flags.rounds)


def compare_workers(count: int, rounds: int) -> None:
    print("| training step | threads, ms | workers, ms | ratio |\n|---|---|---|---|")
    for what, (make, input) in TRAINED.items():
        random.seed(0)
        model, x = make(), input()
        steps = [training_step(fast(model, **{how: count}), x) for how in ("threads", "workers")]
        a, b = map(numpy.array, times_of(steps, rounds))
        ratio = in_words(with_interval(a / b))
        print(f"| {what} | {numpy.median(a):.4g} | {numpy.median(b):.4g} | {ratio} |", flush=True)


def training_step(model: Any, x: Any) -> Callable[[], Any]:
    loss, optimizer, truth = fast(SoftmaxCrossEntropy()), fast(Adam(1e-4)), ids(65, *model.forward(x).shape[:-1])

    def step() -> None:
        predicted = model.forward(x)
        loss.loss(predicted, truth)
        model.backward(loss.gradient(predicted, truth))
        optimizer.step(model)

    return step


def both_ways(layer: Any, x: Any) -> Callable[[], Any]:
    gradient = layer.forward(x)
    return lambda: (layer.forward(x), layer.backward(gradient))


def times_of(functions: list[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Milliseconds of each function, called in turn; the first round does not count."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in progress(range(rounds + 1), "measuring"):
        for some, function in zip(times, functions, strict=True):
            started = time.perf_counter()
            function()
            some.append(1000 * (time.perf_counter() - started))
    return [some[1:] for some in times]


def show(what: str, file: str, plain: Callable[[], Any], quick: Callable[[], Any], rounds: int) -> None:
    a, b = map(statistics.median, times_of([plain, quick], rounds))
    print(f"| {what} | `{file}` | {a:.4g} | {b:.4g} | {a / b:.2f} |", flush=True)


if __name__ == "__main__":
    run(main)
