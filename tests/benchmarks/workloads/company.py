"""Company names, for the two workloads that use them: the data, and our network."""

import random

import company_names as program
from workloads.training import of_side

from scratch.losses import SoftmaxCrossEntropy
from scratch.optimizers import Momentum
from scratch.text import Vocabulary

HIDDEN = 32
LR = 0.01
NAMES = [name.strip() for name in program.COMPANIES.split(",")]
VOCAB = Vocabulary(character for name in NAMES for character in name + program.START + program.STOP)
IDS = [VOCAB.encode(program.START + name + program.STOP) for name in NAMES]


def ours(side="ours"):
    """Our model, loss and optimizer."""
    random.seed(0)
    return of_side(side, program.build("rnn", VOCAB.size, HIDDEN), SoftmaxCrossEntropy(), Momentum(LR))
