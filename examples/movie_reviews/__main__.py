"""The sentiment of movie-review phrases, on a five-point scale: from characters, a bag of words, or an LSTM.

  python examples/movie_reviews train --model glove               or characters, or lstm
  python examples/movie_reviews train --split sentence            hold out whole sentences, not phrases
  python examples/movie_reviews predict "A quiet , moving film"   with trained weights
  python examples/movie_reviews evaluate --model characters       accuracy, errors by length, confusion matrix

The phrases are those of Kaggle's "Sentiment analysis on movie reviews": the parse trees of 8,529 sentences, with a
label for every subtree. `characters` is a network of two convolutions; `glove` averages word vectors, which start as
GloVe's and are fine-tuned, and classifies the mean with a small network; `lstm` reads the same vectors in order, from
both ends. Losses are in nats: chance is log(5) = 1.609.
"""

import os
import sys

# So that `movie_reviews` can be imported by its name.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from movie_reviews import evaluate, predict, train

from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "movie_reviews", {
        "train": train.command, "predict": predict.command, "evaluate": evaluate.command,
    })


if __name__ == "__main__":
    program.run(main)
