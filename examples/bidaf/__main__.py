"""Questions about a paragraph, answered by BiDAF, which learned from SQuAD.

  python examples/bidaf ask                  an answer to a question about a paragraph, yours or the one that is here
  python examples/bidaf evaluate             exact match and F1 on the questions held out, by the kind of question
  python examples/bidaf train                learn from the questions of SQuAD and GloVe's vectors
  python examples/bidaf prepare              what the questions are like; words, vectors and spans in one file
  python examples/bidaf char2vec             vectors of characters, from which other characters come near

Held out are the articles of the development set whose SHA-256 of the title says so, a quarter of them; with --whole the
official files are used as they are meant. Losses are in nats, of the begin and the end of an answer together.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a folder that is run is not found by its name

from bidaf import ask, char2vec, evaluate, prepare, train

from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "bidaf", {
        "ask": ask.command, "evaluate": evaluate.command, "train": train.command, "prepare": prepare.command,
        "char2vec": char2vec.command,
    })


if __name__ == "__main__":
    program.run(main)
