"""A character language model: a stateful LSTM reads a text and learns to predict the next letter.

  python examples/char_lm train                     Shakespeare; or alice, or aesop
  python examples/char_lm train novel.txt           ... or any text in UTF-8, of any size
  python examples/char_lm sample --seed-text ROMEO: a page in its manner, by trained weights
  python examples/char_lm evaluate                  nats per character on the part held out from training
  python examples/char_lm compare                   beside n-grams: loss, time, memory, samples

The text is read as streams side by side, a piece of each at a time, and the state is carried from piece to piece. Its
last tenth is held out; the first twentieth is the validation set, which chooses the best epoch. Losses are in nats per
character; bits are nats / log(2), and perplexity is exp(nats).
"""

import os
import sys

# So that `char_lm` can be imported by its name.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from char_lm import compare, evaluate, sample, train

from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "char_lm", {
        "train": train.command, "sample": sample.command, "evaluate": evaluate.command, "compare": compare.command,
    })


if __name__ == "__main__":
    program.run(main)
