"""Two ways to learn names: the tutorial's, and a better one. Each is a loop that yields the figures of its epochs."""

import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from names.letters import Example, as_batch, by_language, log_probabilities, predict
from names.networks import Committee, TutorialNetwork
from scratch.parallel import in_threads, mine

from scratch.backend import Array, to_device
from scratch.batching import batches
from scratch.layer import Layer
from scratch.losses import Loss, NegativeLogLikelihood
from scratch.optimizers import Optimizer
from scratch.schedules import cosine_decay
from scratch.tools.history import progress
from scratch.tools.program import one_line
from scratch.tools.scores import accuracy, count_confusions, mean_recall


def learn_name(model: TutorialNetwork, loss: Loss, optimizer: Optimizer, letters: Array, language: int) -> float:
    """One step of learning, from one name: its letters (1, T, letters). Returns the loss, in nats."""
    predicted = model.forward(letters)[0]
    value = loss.loss(predicted, language)
    gradient = loss.gradient(predicted, language)
    model.backward(gradient[None])
    optimizer.step(model)
    return value


def learn_batch(
    model: Committee, loss: Loss, optimizer: Optimizer, batch: Sequence[Example], parallel: Layer | None = None
) -> float:
    """One step of learning, from many names, by `parallel`, the model in threads. Returns the loss, in nats."""
    parallel = parallel or model
    letters, mask = as_batch([name for name, _ in batch], model.alphabet)
    languages = to_device([[language] * len(model.members) for _, language in batch])
    predicted = parallel.forward(mine(letters), mask=mine(mask))  # (N, members, languages)
    value = loss.loss(predicted, mine(languages))
    gradient = loss.gradient(predicted, mine(languages))
    parallel.backward(gradient)
    optimizer.step(model)
    return value


def as_in_the_tutorial(
    model: TutorialNetwork, optimizer: Optimizer, learn: Sequence[Example], epochs: range
) -> Iterator[dict[str, float]]:
    """A thousand names an epoch, one at a time: a language, each as often as the others, and then one of its names."""
    loss, started = NegativeLogLikelihood(), time.perf_counter()
    names_of = by_language(learn, len(model.labels))
    for epoch in epochs:
        total = 0.0
        for _ in progress(range(1000), f"epoch {epoch}"):
            name, language = random.choice(random.choice(names_of))
            letters, _ = as_batch([name], model.alphabet)
            error = learn_name(model, loss, optimizer, letters, language)
            total += error
        if epoch % 5 == 0:
            minutes, seconds = divmod(int(time.perf_counter() - started), 60)
            ((_, guess),) = predict(model, [name], 1)[0]
            verdict = "✓" if guess == model.labels[language] else f"✗ ({model.labels[language]})"
            share = 100 * epoch // (epochs.stop - 1)
            print(
                f"{1000 * epoch} {share}% ({minutes}m {seconds}s) {error:.4f} {one_line(name)} / {guess} {verdict}",
                flush=True,
            )
        yield {"loss": total / 1000}


def in_batches(
    model: Committee, optimizer: Optimizer, learn: Sequence[Example], choose: Sequence[Example], epochs: range,
    lr: float, batch_size: int, balance: float, threads: int = 1,
) -> Iterator[dict[str, float]]:
    """Every name once an epoch, in batches of like length; then the names to choose by are tried.

    The head start of a language is `balance` times the logarithm of its share of the names: at 0 a network says how
    likely a language is among names as they are here, at 1 among names that are as often of one language as of another.
    """
    loss, counts = NegativeLogLikelihood(), Counter(language for _, language in learn)
    for member in model.members:
        member.handicap = to_device([balance * math.log(counts[k] / len(learn)) for k in range(len(model.labels))])
    parallel = in_threads(model, threads)
    names, truth = [name for name, _ in choose], [language for _, language in choose]
    for epoch in epochs:
        optimizer.lr = lr * cosine_decay(epoch - 1, epochs.stop - 1)
        total, steps = 0.0, list(batches(learn, batch_size, length=lambda example: len(example[0])))
        for batch in progress(steps, f"epoch {epoch}"):
            total += learn_batch(model, loss, optimizer, batch, parallel)
        said = log_probabilities(model, names)
        confusion = count_confusions(truth, said.argmax(axis=1), len(model.labels))
        row = {
            "loss": total / len(steps), "validation": loss.loss(to_device(said), truth),
            "accuracy": accuracy(confusion), "mean_recall": mean_recall(confusion),
        }
        figures = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items())
        print(f"epoch {epoch:3}  {figures}", flush=True)
        yield row
