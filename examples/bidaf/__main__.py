"""BiDAF: a network that answers questions about a paragraph, trained on SQuAD.

  python examples/bidaf ask                  answer a question about a paragraph, yours or the one in ask.py
  python examples/bidaf evaluate             exact match and F1 on the held-out questions, by question word
  python examples/bidaf train                train on SQuAD, starting from GloVe's vectors
  python examples/bidaf prepare              print statistics, and write all that `train` needs to one file
  python examples/bidaf char2vec             train character vectors; similar contexts give similar vectors

A quarter of the development set's articles, chosen by the SHA-256 of their titles, is held out; the others join the
training set. With --whole, the official files are used as they are. A loss is the sum of the losses of an answer's
start and end, in nats.
"""

import os
import sys

# So that `bidaf` can be imported by its name.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from bidaf import ask, char2vec, evaluate, prepare, train

from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "bidaf", {
        "ask": ask.command, "evaluate": evaluate.command, "train": train.command, "prepare": prepare.command,
        "char2vec": char2vec.command,
    })


if __name__ == "__main__":
    program.run(main)
