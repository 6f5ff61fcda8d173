"""`python examples/bidaf char2vec`: a vector for each character, trained to predict the characters near it in a word.

This is word2vec's skip-gram with negative sampling, applied to characters. The vectors of two characters that are near
each other in a word are trained to have a large product; those of a character and one drawn at random, a small one. So
characters that occur in similar contexts get similar vectors: the digits, the lower-case letters, the punctuation.

    loss = -log sigmoid(v . u)  - sum over the drawn u': log sigmoid(-v . u')

Source: Mikolov et al. 2013, https://arxiv.org/abs/1310.4546, sections 2 and 2.2.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from bidaf.examples import load_squad
from bidaf.trained import lexicon_of, texts_of, vectors_of
from bidaf.words import REPLACEMENT, Lexicon, WordVectors

from scratch.backend import Array, as_floats, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.dense import Embedding
from scratch.fast import fast
from scratch.functions import sigmoid
from scratch.initial import generator
from scratch.layer import Layer
from scratch.losses import Loss
from scratch.optimizers import Adam
from scratch.tools import program
from scratch.tools.extras import extra
from scratch.tools.files import read_arrays, write_arrays
from scratch.tools.history import progress
from scratch.tools.locks import claim
from scratch.tools.plots import labelled_points
from scratch.tools.schema import alphabet
from scratch.tools.weights import metadata_of

DIM, REACH, NUM_DRAWN = 50, 3, 5
WORD_LENGTH = 37  # longer words are cut
SHOWN = "ae9AE(-é"


class SkipGram(Layer):
    """How likely each character is near others: the products of their vectors.

        score[n, k] = v[center n] . u[other n, k]

    Each character has two vectors: v as the one in the centre, and u as one near it. After training only v is kept.

    Shapes: ids centers (N,), others (N, K) -> (N, K).
    """

    def __init__(self, num_ids: int, dim: int) -> None:
        self.center, self.other = Embedding(num_ids, dim), Embedding(num_ids, dim)
        for table in (self.center, self.other):
            table.w.data *= 1 / dim  # so that all products start near 0, where the sigmoid is 0.5

    def forward(self, centers: Array, others: Array) -> Array:
        v, u = self.center.forward(centers), self.other.forward(others)  # (N, dim), (N, K, dim)
        scores = (u @ v[:, :, None])[:, :, 0]
        self.remember(scores.shape, v, u)
        return scores

    def backward(self, gradient: Array) -> None:
        v, u = self.recall(gradient)
        # In a product the gradient of each factor is the other factor: v met u[k] for every k, and u[k] met v once.
        self.center.backward((gradient[:, None, :] @ u)[:, 0])
        self.other.backward(gradient[:, :, None] * v[:, None, :])


class NegativeSampling(Loss):
    """The cross-entropy of whether each of the others is real or drawn; summed over them, the mean over rows, in nats.

        loss = -log sigmoid(score) where real, -log sigmoid(-score) where drawn
        gradient = sigmoid(score) - real

    Shapes: predicted scores and actual (True where real), both (N, K).
    """

    def loss(self, predicted: Any, actual: Any, mask: Array | None = None) -> float:
        scores = as_floats(predicted)
        right = xp.where(actual, scores, -scores)
        return float(xp.logaddexp(0, -right).sum()) / len(scores)

    def gradient(self, predicted: Any, actual: Any, mask: Array | None = None) -> Array:
        scores = as_floats(predicted)
        return (sigmoid(scores) - actual) / len(scores)


def pairs(spelling: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Each character with each one at most REACH positions away: ids (P,) and (P,), from words (N, length)."""
    found = []
    for far in range(1, REACH + 1):
        before, after = spelling[:, :-far], spelling[:, far:]
        both = (before > 0) & (after > 0)  # 0 is padding after the end of a word
        found += [(before[both], after[both]), (after[both], before[both])]
    centers, others = zip(*found, strict=True)
    return numpy.concatenate(centers), numpy.concatenate(others)


def batches_of_pairs(spelling: numpy.ndarray, batch_size: int, shares: numpy.ndarray) -> Iterator[tuple[Array, Array]]:
    """The pairs of all words, in random order: centers (P,) and others (P, 1 + NUM_DRAWN), the real one first."""
    draw = generator()
    order = draw.permutation(len(spelling))
    for start in range(0, len(order), batch_size):
        centers, near = pairs(spelling[order[start : start + batch_size]])
        drawn = draw.choice(len(shares), size=(len(centers), NUM_DRAWN), p=shares)
        yield to_device(centers), to_device(numpy.column_stack([near, drawn]))


def command(arguments: list[str]) -> None:
    parser = program.Parser("Train character vectors by skip-gram with negative sampling.", prog="bidaf char2vec")
    parser.add_argument(
        "--whole", action="store_true", help="use SQuAD's official training and development files unchanged"
    )
    parser.common(data=None, out=Path("runs/bidaf"), epochs=3, batch_size=1024, lr=0.003, seed=0, device=None,
                  threads=None, plain=False, report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    tsne = extra("sklearn.manifold", "the plot of the vectors").TSNE
    program.writable(flags.out)
    claim(flags.out, ["char2vec.npz", "char2vec.png"])
    file, flags.plot = flags.out / "char2vec.npz", flags.plot or flags.out / "char2vec.png"
    program.writable_file(flags.plot, flags.data, file)
    program.writable_file(flags.report, flags.data, file, flags.plot)
    learn = load_squad(flags.data, flags.whole).learn
    lexicon = lexicon_of(learn, glove=None, word_length=WORD_LENGTH)
    spelling = lexicon.spelling[[lexicon.ids[word] for text in texts_of(learn) for word in text.words]]
    counts = numpy.bincount(spelling[spelling > 0], minlength=len(lexicon.alphabet) + 1)
    # Negatives are drawn by frequency to the power 0.75, which Mikolov et al. found best: more often rare ones.
    shares = counts**0.75 / (counts**0.75).sum()

    model, loss, optimizer = SkipGram(len(counts), DIM), NegativeSampling(), Adam(flags.lr)
    if not flags.plain:
        model, loss, optimizer = fast(model, flags.threads), fast(loss), fast(optimizer)
    losses, chance = [], (1 + NUM_DRAWN) * math.log(2)
    for epoch in range(1, flags.epochs + 1):
        total, seen = 0.0, 0
        for centers, others in progress(batches_of_pairs(spelling, flags.batch_size, shares), f"epoch {epoch}",
                                        -(-len(spelling) // flags.batch_size)):
            if not len(centers):
                continue
            real = xp.arange(others.shape[1]) == 0
            scores = model.forward(centers, others)
            total += loss.loss(scores, real) * len(centers)
            gradient = loss.gradient(scores, real)
            model.backward(gradient)
            optimizer.step(model)
            seen += len(centers)
        losses.append(total / max(seen, 1))
        print(f"epoch {epoch}  loss {losses[-1]:.4f} (chance {chance:.3f})", flush=True)

    vectors = to_host(model.center.w.data)[1:]
    write_arrays(file, {"vectors": vectors}, {"program": "bidaf char2vec", "alphabet": lexicon.alphabet})
    near = {letter: nearest(letter, lexicon.alphabet, vectors) for letter in SHOWN if letter in lexicon.alphabet}
    for letter, others in near.items():
        print(f"{letter}  is most like  {'  '.join(others)}")
    draw_map(flags.plot, lexicon, vectors, tsne)
    program.write_report(flags.report, {"losses": losses, "nearest": near})
    print(f"Vectors: {file}, plot: {flags.plot}")


def nearest(letter: str, alphabet: str, vectors: numpy.ndarray, count: int = 5) -> list[str]:
    """The characters whose vectors have the largest cosine with that of `letter`."""
    directions = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = directions @ directions[alphabet.index(letter)]
    return [alphabet[k] for k in numpy.argsort(-cosines) if alphabet[k] not in (letter, REPLACEMENT)][:count]


def draw_map(path: Path, lexicon: Lexicon, vectors: numpy.ndarray, tsne: Any) -> None:
    """Draw the characters in the plane by scikit-learn's t-SNE, which puts similar vectors near each other."""
    points = tsne(perplexity=min(10, len(vectors) - 1), metric="cosine", init="random", random_state=0)
    labels = [letter if letter != REPLACEMENT else "(other)" for letter in lexicon.alphabet]
    labelled_points(path, points.fit_transform(vectors), labels, "Character vectors in two dimensions (t-SNE)")


def set_characters(words: WordVectors, lexicon: Lexicon, path: Path) -> None:
    """Start from the vectors in `path`, for its characters. Raises: ScratchError when they do not fit."""
    known = metadata_of(path, "bidaf char2vec", alphabet=alphabet)["alphabet"]
    vectors = vectors_of(path, read_arrays(path)[0], "vectors", known)
    if words.characters is None:
        raise ScratchError("--characters without --features: this network uses no characters")
    w = words.characters.w.data
    if vectors.shape[1] != w.shape[1]:
        raise ScratchError(f"{path}: expected vectors of {w.shape[1]} numbers, got {vectors.shape[1]}")
    for k, letter in enumerate(lexicon.alphabet, start=1):
        if letter in known:
            w[k] = to_device(vectors[known.index(letter)].astype(w.dtype))
