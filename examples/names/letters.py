"""Names as what a network reads, and what a network says as guesses."""

import hashlib
import string
from collections.abc import Sequence

import numpy
from names.networks import NameReader

from scratch.backend import Array, to_device, to_host
from scratch.batching import padded
from scratch.checks import ScratchError
from scratch.functions import one_hot
from scratch.layer import evaluating
from scratch.text import without_accents
from scratch.tools.program import one_line

ALPHABET = string.ascii_letters + " .,;'"  # the tutorial's
MAX_LENGTH = 200
Example = tuple[str, int]  # a name, and the number of its language


def encode(name: str, alphabet: str) -> list[int]:
    """The number of each letter, its accent left out; -1 for one that is not in the alphabet."""
    return [alphabet.find(letter) for letter in without_accents(name.strip())]


def as_batch(names: Sequence[str], alphabet: str) -> tuple[Array, Array | None]:
    """One-hot rows (N, T, len(alphabet)), and their mask (N, T), or None where all names are of one length.

    An unknown letter is a row of zeros. (In the tutorial, names to learn from lose such letters; and when it predicts,
    it takes the -1 of `find` for an index, and so lights the last letter of the alphabet.)
    """
    ids, mask = padded([encode(name, alphabet) for name in names])
    return one_hot(ids, len(alphabet)), None if mask.all() else to_device(mask)


def split(data: dict[str, list[str]]) -> tuple[list[Example], list[Example], list[Example]]:
    """Examples to learn from, to choose by, and held out (a fifth), by a hash of the line: the same everywhere."""
    parts: tuple[list[Example], list[Example], list[Example]] = ([], [], [])
    for k, (label, names) in enumerate(data.items()):
        for name in names:
            if not 0 < len(without_accents(name.strip())) <= MAX_LENGTH:
                raise ScratchError(f"{label}: {name[:20]!r}... has {len(name)} characters; expected 1 to {MAX_LENGTH}")
            number = int(hashlib.sha256(f"{label}/{name}".encode()).hexdigest(), 16)
            parts[2 if number % 5 == 0 else 1 if number // 5 % 15 == 0 else 0].append((name, k))
        if not parts[0] or parts[0][-1][1] != k:
            raise ScratchError(f"{label}: of its {len(names)} names none is left to learn from, with some held out")
    if not all(parts):
        raise ScratchError("too few names: one in five is held out, and one in fifteen is there to choose by")
    return parts


def by_language(examples: Sequence[Example], num_languages: int) -> list[list[Example]]:
    """The examples of each language."""
    return [[example for example in examples if example[1] == k] for k in range(num_languages)]


def check(name: str, alphabet: str) -> str:
    """`name` itself. Raises: ScratchError when a network could only guess blindly, or would be busy for long."""
    if len(name) > MAX_LENGTH:
        raise ScratchError(f"a name of {len(name)} characters; expected at most {MAX_LENGTH}")
    if not any(letter.isalpha() and letter in alphabet for letter in without_accents(name)):
        raise ScratchError(f"{one_line(name)!r} has no letter that the network knows; it knows {alphabet}")
    return name


def log_probabilities(model: NameReader, names: Sequence[str], batch_size: int = 256) -> numpy.ndarray:
    """What the network says of each name, on the host: (number of names, number of languages)."""
    order = sorted(range(len(names)), key=lambda k: len(names[k]))  # like lengths together: less padding
    said = numpy.zeros((len(names), len(model.labels)), dtype=numpy.float32)
    with evaluating(model):
        for start in range(0, len(names), batch_size):
            rows = order[start : start + batch_size]
            letters, mask = as_batch([names[k] for k in rows], model.alphabet)
            said[rows] = to_host(model.forward(letters, mask=mask))
    return said


def predict(model: NameReader, names: Sequence[str], top: int) -> list[list[tuple[float, str]]]:
    """The `top` likeliest languages of each name, each with its log-probability, the likeliest first."""
    said = log_probabilities(model, names)
    best = (-said).argsort(axis=1, kind="stable")[:, :top]
    return [[(float(row[k]), model.labels[k]) for k in ks] for row, ks in zip(said, best, strict=True)]
