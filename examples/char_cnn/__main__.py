"""Text classification from characters: the convolutional network of Zhang et al., for any table of texts and labels.

  python examples/char_cnn train                          AG's news; or french_reviews with --data_path
  python examples/char_cnn train --data_path tweets.csv --text_column SentimentText --label_column Sentiment
  python examples/char_cnn predict --text "Oil prices fell"     with weights trained on AG's news
  python examples/char_cnn evaluate                       accuracy and F1 on the official test rows

The flags are named as in Ahmed Besbes's repository character-based-cnn; hyphens may replace the underscores. The
weights file records the alphabet, the text length, the preprocessing steps and the classes. Losses are in nats: a
uniform guess among K classes costs log(K).

Source: Zhang, Zhao and LeCun 2015, https://arxiv.org/abs/1509.01626
"""

import os
import sys

# So that `char_cnn` can be imported by its name.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from char_cnn import evaluate, predict, train

from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "char_cnn", {
        "train": train.command, "predict": predict.command, "evaluate": evaluate.command,
    })


if __name__ == "__main__":
    program.run(main)
