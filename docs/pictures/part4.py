"""The picture of part 4: attention."""

from typing import Any

import numpy
from bidaf.ask import PARAGRAPH, QUESTION
from gallery_classes import attention_of
from style import Ink, page, quiet


def attention(ink: Ink) -> Any:
    """weights/bidaf_fast.npz: `python examples/bidaf ask`. The words of the paragraph's last sentence, the attention of
    each to the words of the question, and the probabilities that the answer begins and ends there."""
    words, asked, weights, answer, begin, end = attention_of(PARAGRAPH, QUESTION)
    first = words.index("Wilhelm")
    words, weights, begin, end = words[first:], weights[first:], begin[first:], end[first:]
    figure, (left, right) = page(5.2, 6.2, 1, 2, sharey=True, width_ratios=(3, 1))
    left.imshow(weights, cmap=ink.tint(ink.blue), vmin=0, vmax=1, aspect="auto", interpolation="none")
    left.set_yticks(range(len(words)), words)
    left.set_xticks(range(len(asked)), asked, rotation=40, ha="left", rotation_mode="anchor")
    left.xaxis.tick_top()
    left.set_frame_on(False)
    left.tick_params(length=0, labelsize=10.5, labelcolor=ink.text)
    for row, label in enumerate(left.get_yticklabels(), first):
        if row in answer:
            label.set(color=ink.orange, weight="bold")
    for shift, chances, colour, name in ((-0.2, begin, ink.orange, "begins"), (0.2, end, ink.green, "ends")):
        right.barh(numpy.arange(len(words)) + shift, chances, height=0.36, color=colour)
        row = int(chances.argmax())
        right.text(0.04, row + 3.2 + 3 * shift, f"{name}:\n{words[row]} {chances[row]:.3f}", color=colour, size=10,
                   va="center")
    right.set(xlim=(0, 1))
    right.set_xticks([0, 1], ["0", "1"])
    right.xaxis.tick_top()
    quiet(right, ink, "left", "bottom")
    right.spines["top"].set_visible(True)
    right.tick_params(axis="y", length=0)
    return figure


ALL = {"attention": attention}
ALT = {
    "attention": "A heat map of the attention of each word of a sentence to each word of the question Who became the "
    "first world champion? Wilhelm and Steinitz attend to Who; became, first, world and champion each to the "
    "same word. Beside it, the answer begins at Wilhelm and ends at Steinitz with probabilities above 0.99.",
}
