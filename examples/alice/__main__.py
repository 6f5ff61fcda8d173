"""Alice in Wonderland, character by character: the Keras tutorial's two networks, and a better one.

  python examples/alice generate                    1,000 characters that continue a passage of the book
  python examples/alice train --recipe small        the tutorial's first network
  python examples/alice train --recipe large        its second, with two layers
  python examples/alice train                       our network, which follows the tutorial's closing suggestions
  python examples/alice evaluate                    nats per character on the training text

The tutorial's networks read a window of 100 characters, each as the number id / 47, and predict the next character.
Ours predicts the next character at every step, carries its state from one piece of text to the next, and reads one-hot
characters: so each window gives it a hundred times as many targets. Losses are in nats per character; chance, a uniform
guess among 47 characters, is 3.85.

Source: Jason Brownlee, "Text generation with LSTM recurrent neural networks in Python with Keras", 2016,
https://machinelearningmastery.com/text-generation-lstm-recurrent-neural-networks-python-keras/
"""

import os
import sys

# So that `alice` can be imported by its name.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from alice import evaluate, generate, train

from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "alice", {
        "train": train.command, "generate": generate.command, "evaluate": evaluate.command,
    })


if __name__ == "__main__":
    program.run(main)
