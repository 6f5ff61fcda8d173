"""Wrong answers to the exercises of part 2, each with words that the verdict must hold."""

from itertools import pairwise

import numpy
import pytest
from pages import answers_to

from scratch.backend import xp
from scratch.exercises.checking import verdict
from scratch.initial import zeros
from scratch.recurrent import add_gradients

RIGHT = answers_to("recurrent")
Added = answers_to("bidirectional")["Added"]

P_1 = [2 / 9, 4 / 9, 3 / 9]
OF_3 = [P_1[0] / 4, P_1[1] / 4, (2 + P_1[2]) / 4]  # as if three ids followed an a


def divided(ids, p_1):
    """Counts without mixing."""
    table = numpy.zeros((len(p_1), len(p_1)))
    for first, second in pairwise(ids):
        table[first, second] += 1
    return table / numpy.maximum(table.sum(axis=1, keepdims=True), 1)


def no_followers_forgotten(ids, p_1):
    """The formula also where nothing follows: 0 / 0."""
    table = numpy.zeros((len(p_1), len(p_1)))
    numpy.add.at(table, (ids[:-1], ids[1:]), 1)
    total, kinds = table.sum(axis=1, keepdims=True), (table > 0).sum(axis=1, keepdims=True)
    with numpy.errstate(invalid="ignore"):
        return (table + kinds * p_1) / (total + kinds)


def one_kind(ids, p_1):
    """As if one kind of id followed each id."""
    table = divided(ids, p_1)
    total = numpy.bincount(ids[:-1], minlength=len(p_1))[:, None]
    return (table * total + p_1) / (total + 1)


def pad_by_ids(rows):
    """A mask from the ids instead of the lengths."""
    width = max(map(len, rows))
    ids = numpy.array([row + [0] * (width - len(row)) for row in rows])
    return ids, ids != 0


def pad_left(rows):
    width = max(map(len, rows))
    empty = [width - len(row) for row in rows]
    ids = numpy.array([[0] * n + row for n, row in zip(empty, rows, strict=True)])
    return ids, numpy.arange(width) >= numpy.array(empty)[:, None]


def one_gate(slope=1, direct=1, masks=True):
    """OneGate, with a mistake in z's gradient, in the carry, or at masked steps."""

    class OneGate(RIGHT["OneGate"]):
        def read_back(self, output_grads, last_grad, *memory):
            x, mask, before, steps = memory
            (N, T, _), H = x.shape, self.hidden_dim
            sum_grads, from_next = zeros(N, T, 2 * H), last_grad
            for t in reversed(range(T)):
                real, (z, n) = mask[:, t, None] | (not masks), steps[t]
                hidden_grad = xp.where(real, output_grads[:, t] + from_next, 0)
                sum_grads[:, t, :H] = slope * hidden_grad * (before[:, t] - n) * z * (1 - z)
                sum_grads[:, t, H:] = hidden_grad * (1 - z) * (1 - n**2)
                from_next = xp.where(real, sum_grads[:, t] @ self.u.data + direct * hidden_grad * z, from_next)
            add_gradients(self, x, before, sum_grads, sum_grads)
            return sum_grads @ self.w.data

    return OneGate


def added(read=-1, write=-1, mask_too=-1, back=-1):
    """Added, with a step of 1 where something should be reversed by a step of -1."""

    class Wrongly(Added):
        def forward(self, input, mask):
            second = self.second.forward(input[:, ::read], mask=mask[:, ::mask_too])
            output = self.first.forward(input, mask=mask) + second[:, ::write]
            self.remember(output.shape)
            return output

        def backward(self, gradient):
            self.recall(gradient)
            return self.first.backward(gradient) + self.second.backward(gradient[:, ::back])[:, ::-1]

    return Wrongly


ONE_STEP = RIGHT["one_step"]
WRONG = [
    ("text.banana", {"p_1": [1 / 6, 3 / 6, 2 / 6], "p_2 after a": [0, 0, 1]}, "p_1 is"),
    ("text.banana", {"p_1": P_1, "p_2 after a": OF_3}, "nothing follows the last"),
    ("text.banana", {"p_1": P_1, "p_2 after a": [0, 0, 1]}, "p_2 after a is [0., 0., 1.], expected"),
    ("text.pairs", divided, "the row of 'a' is [0. , 0.5, 0.5], expected"),
    ("text.pairs", no_followers_forgotten, "in 'abac', the row of 'c' has nan, from 0 / 0"),
    ("text.pairs", one_kind, "in 'abac', the row of 'a' is"),
    ("text.pairs", lambda ids, p_1: numpy.outer(p_1, p_1), "adds up to"),
    ("batching.pad", pad_by_ids, "the mask is False at the real id 0"),
    ("batching.pad", pad_left, "for the rows [[3, 1, 2], [4]], the array of ids is"),
    ("batching.pad", lambda rows: pad_left(rows)[0], "expected two arrays"),
    ("batching.mean_loss", lambda losses, mask: (losses.mean(), mask), "it averages padding too"),
    ("batching.mean_loss", lambda losses, mask: ((losses * mask).mean(), mask), "only 9 are real"),
    ("batching.mean_loss", lambda losses, mask: ((losses * mask).sum() / mask.sum(), mask), "the gradient is"),
    ("batching.mean_loss", lambda losses, mask: (losses * mask).sum() / mask.sum(), "must return two things"),
    ("batching.pieces", [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 0]]], "each row must continue in the next piece"),
    ("batching.pieces", [[[0, 1, 2], [6, 7, 8]], [[3, 4, 5], [9, 10, 11]]], "the last id of the text has no next id"),
    ("batching.pieces", [[[0, 1, 2], [4, 5, 6]], [[3], [7]]], "piece 0 is"),
    ("batching.pieces", [[[0, 1, 2], [5, 6, 7]]], "there are 1 pieces, expected 2"),
    ("recurrent.one_step", ONE_STEP | {"cell": 0.25}, "the new cell is 0.25, expected 0."),
    ("recurrent.one_step", ONE_STEP | {"i": -0.0625}, "the gradient of the new cell is 1 * o + 0.5, not 1 * o"),
    ("recurrent.one_step", ONE_STEP | {"f": 1.0}, "this is the gradient of f itself"),
    ("recurrent.one_step", ONE_STEP | {"cell before": 1.0}, "the gradient of the cell before is 1., expected 0.25"),
    ("recurrent.half_life", lambda steps: 0.5 ** (1 / steps), "is the forget gate f itself"),
    ("recurrent.half_life", lambda steps: numpy.log(steps), "the bias for 10 steps is 2.3"),
    ("recurrent.OneGate", one_gate(slope=-1), "of a single step is wrong"),
    ("recurrent.OneGate", one_gate(direct=0), "right for one step, but not for four: look at the carry"),
    ("recurrent.OneGate", one_gate(masks=False), "right without a mask, but not with one"),
    ("recurrent.OneGate", RIGHT["OneGate"](3, 2), "not a subclass of Recurrent"),
    ("bidirectional.changed", [[0, 0], [0, 0], [0, 0], [1, 1]], "the second layer reads the last letter first"),
    ("bidirectional.changed", [[1, 1], [1, 1], [1, 1], [1, 1]], "the first layer has not read the last letter"),
    ("bidirectional.changed", [[0, 1], [0, 1], [0, 1], [0, 1]], "the table is"),
    ("bidirectional.Added", added(write=1), "in its reading order: reverse them first"),
    ("bidirectional.Added", added(read=1, write=1, mask_too=1), "reads from the beginning too: reverse its input"),
    ("bidirectional.Added", added(mask_too=1), "with padding, the output is"),
    ("bidirectional.Added", added(back=1), "the gradient of input 0 differs"),
]


def test_without_a_mistake_they_are_right():
    assert verdict("recurrent.OneGate", one_gate()) == ""
    assert verdict("bidirectional.Added", added()) == ""


@pytest.mark.parametrize(("name", "answer", "words"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, answer, words):
    assert words in verdict(name, answer)
