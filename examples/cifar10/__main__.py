"""Image classification: two networks for CIFAR-10, which has 60,000 images of 32×32 pixels in ten classes.

  python examples/cifar10 train                       94 % accuracy: patch whitening, alternating flips, Lookahead
  python examples/cifar10 train --recipe document     a plainer network: flips, brightness, contrast, gradient descent
  python examples/cifar10 evaluate                    accuracy of trained weights on the 10,000 test images
  python examples/cifar10 show                        a PNG of random test images with their likeliest classes
  python examples/cifar10 show --images cat.jpg       your own images

Losses are in nats: a uniform guess among ten classes costs ln 10 = 2.303. The modern recipe uses label smoothing of
0.2, so its loss cannot fall below 0.867.
"""

import os
import sys

# So that `cifar10` can be imported by its name.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from cifar10 import evaluate, show, train

from scratch.tools import program


def main() -> None:
    commands = {"train": train.command, "evaluate": evaluate.command, "show": show.command}
    program.choose(__doc__, "cifar10", commands)


if __name__ == "__main__":
    program.run(main)
