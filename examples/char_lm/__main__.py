"""A character language model: a stateful LSTM reads a text and learns to predict the next character.

  python examples/char_lm train                     Shakespeare; or alice, or aesop
  python examples/char_lm train novel.txt           ... or any UTF-8 text, of any size
  python examples/char_lm sample --seed-text ROMEO: text in its style, from trained weights
  python examples/char_lm evaluate                  nats per character on the held-out text
  python examples/char_lm compare                   comparison with n-grams: loss, time, memory, samples

The text is cut into parallel streams, which are read piece by piece; the state is carried from each piece to the next.
The last tenth is held out; the first twentieth is the validation set, which selects the best epoch. Losses are in nats
per character; bits are nats / log(2), and perplexity is exp(nats).
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
