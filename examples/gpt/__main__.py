"""A small GPT: a transformer reads a piece of text and predicts the next letter at each position.

  python examples/gpt train                         Shakespeare; or alice, or aesop, or novel.txt
  python examples/gpt train --recipe nanogpt-cpu    the small network of nanoGPT, in minutes
  python examples/gpt sample --seed-text ROMEO:     a page in the style of the training text
  python examples/gpt evaluate                      nats per character on the part held out from training
  python examples/gpt attention                     a picture of which letters each head looks at

The texts and the split are those of `char_lm`: the last tenth is held out, and the first twentieth is the validation
set, which chooses the best epoch. An epoch is a fixed number of training steps, each on a batch of random windows of
the training set. Losses are in nats per character, even with `--tokens bpe`, so they can be compared with those of
`char_lm`.
"""

import os
import sys

# So that `gpt` and `char_lm` can be imported by their names.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from gpt import attention, evaluate, sample, train

from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "gpt", {
        "train": train.command, "sample": sample.command, "evaluate": evaluate.command, "attention": attention.command,
    })


if __name__ == "__main__":
    program.run(main)
