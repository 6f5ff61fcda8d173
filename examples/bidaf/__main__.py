"""BiDAF: a network that answers questions about a paragraph, trained on SQuAD.

  python examples/bidaf ask                  answer a question about a paragraph, yours or the one in ask.py
  python examples/bidaf evaluate             exact match and F1 on the held-out questions, by the kind of question
  python examples/bidaf train                train on SQuAD's questions and GloVe's vectors
  python examples/bidaf prepare              statistics of the questions; all that `train` needs, in one file
  python examples/bidaf char2vec             train character vectors: characters in similar contexts get similar vectors

A quarter of the articles of the development set, chosen by the SHA-256 of their titles, is held out, and the others are
added to the training set; --whole uses the official files as they are. Losses are in nats, the sum of those of the
begin and of the end of an answer.
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
