"""Names as one-hot letters, and their split into training, validation and held-out sets."""

import hashlib
import string
from collections.abc import Sequence

from scratch.backend import Array, to_device
from scratch.batching import padded
from scratch.checks import ScratchError
from scratch.functions import one_hot
from scratch.text import without_accents
from scratch.tools.program import one_line

ALPHABET = string.ascii_letters + " .,;'"  # the PyTorch tutorial's
MAX_LENGTH = 200
Example = tuple[str, int]  # a name, and the number of its language


def encode(name: str, alphabet: str) -> list[int]:
    """The number of each letter, without its accent; -1 for a letter that is not in the alphabet.

    "O’Neal" is read as "O'Neal", unless the alphabet contains "’".
    """
    name = without_accents(name.strip())
    name = name if "\u2019" in alphabet else name.replace("\u2019", "'")
    return [alphabet.find(letter) for letter in name]


def as_batch(names: Sequence[str], alphabet: str) -> tuple[Array, Array | None]:
    """One-hot rows (N, T, len(alphabet)), and their mask (N, T), or None where all names have the same length.

    An unknown letter is a row of zeros. (The PyTorch tutorial removes such letters from its training set; at
    prediction it uses the -1 of `find` as an index, so an unknown letter becomes the last letter of the alphabet.)
    """
    ids, mask = padded([encode(name, alphabet) for name in names])
    return one_hot(ids, len(alphabet)), None if mask.all() else to_device(mask)


def split(data: dict[str, list[str]]) -> tuple[list[Example], list[Example], list[Example]]:
    """The training, validation and held-out sets.

    A hash of language and name decides, so the split is the same everywhere: a fifth is held out, and a fifteenth of
    the rest is the validation set.
    """
    training: list[Example] = []
    validation: list[Example] = []
    held_out: list[Example] = []
    for k, (label, names) in enumerate(data.items()):
        for name in names:
            if not 0 < len(without_accents(name.strip())) <= MAX_LENGTH:
                raise ScratchError(f"{label}: {name[:20]!r}... has {len(name)} characters; expected 1 to {MAX_LENGTH}")
            number = int(hashlib.sha256(f"{label}/{name}".encode()).hexdigest(), 16)
            part = held_out if number % 5 == 0 else validation if number // 5 % 15 == 0 else training
            part.append((name, k))
        if not training or training[-1][1] != k:
            raise ScratchError(f"{label}: none of its {len(names)} names is in the training set; add more")
    if not (validation and held_out):
        raise ScratchError("too few names: a fifth is held out, and a fifteenth of the rest is the validation set")
    return training, validation, held_out


def digest_of(data: dict[str, list[str]]) -> str:
    return hashlib.sha256(repr(data).encode()).hexdigest()


def by_language(examples: Sequence[Example], num_languages: int) -> list[list[Example]]:
    """The examples of each language."""
    return [[example for example in examples if example[1] == k] for k in range(num_languages)]


def check(name: str, alphabet: str) -> str:
    """`name` itself. Raises: ScratchError when it is too long, or has no letter of the alphabet."""
    if len(name) > MAX_LENGTH:
        raise ScratchError(f"the name has {len(name)} characters; expected at most {MAX_LENGTH}")
    if not any(letter.isalpha() and letter in alphabet for letter in without_accents(name)):
        raise ScratchError(f"{one_line(name)!r} has no letter that the network knows; it knows {alphabet}")
    return name
