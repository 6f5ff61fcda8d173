"""Names to languages: a recurrent network reads a surname letter by letter and predicts its language.

  python examples/name_languages predict Hinton Schmidhuber     three guesses each, with the trained weights
  python examples/name_languages serve                          a web page and a JSON service on port 5533
  python examples/name_languages train                          train by the best recipe, in a few minutes
  python examples/name_languages train --recipe tutorial        train as the PyTorch tutorial does
  python examples/name_languages evaluate                       accuracy, recall and confusion matrix on held-out names

After Sean Robertson, "Classifying names with a character-level RNN", a PyTorch tutorial. Losses are in nats per name;
chance, a uniform guess among 18 languages, is log(18) = 2.890.
"""

import os
import sys

# So that `name_languages` can be imported by its name.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import ctrl_c  # before the slow imports

from name_languages import evaluate, predict, train

from scratch.checks import ScratchError
from scratch.tools import program


def main() -> None:
    program.choose(__doc__, "name_languages", {
        "train": train.command, "predict": predict.command, "evaluate": evaluate.command, "serve": serve,
    })


def serve(arguments: list[str]) -> None:
    try:
        from name_languages import serve
    except ImportError as error:  # only this command needs a web framework
        raise ScratchError(f"serve needs pip install -e '.[serve]' ({error})") from None
    serve.command(arguments)


if __name__ == "__main__":
    program.run(main)
