"""Likely wrong answers to the exercises on windows, attention and plain arrays: each is told what is wrong with it."""

import numpy
import pytest
from pages import answers_to

from scratch.exercises.checking import verdict
from scratch.functions import softmax
from scratch.initial import uniform

RIGHT = {
    chapter: answers_to(chapter)
    for chapter in ("convolution", "pooling", "over_time", "regular", "attention", "plain_arrays")
}


class DepthwiseOfOneWindow(RIGHT["convolution"]["Depthwise"]):
    def backward(self, gradient):
        (input,) = self.recall(gradient)
        T, input_grad = gradient.shape[1], numpy.zeros_like(input)
        for k in range(len(self.w.data)):
            self.w.grad[k] += (gradient * input[:, k : k + T]).sum(axis=(0, 1))
            input_grad[:, k : k + T] = gradient * self.w.data[k]  # overwrites what other windows gave
        return input_grad


class DepthwiseAtTheFirstStep(RIGHT["convolution"]["Depthwise"]):
    def backward(self, gradient):
        (input,) = self.recall(gradient)
        T, input_grad = gradient.shape[1], numpy.zeros_like(input)
        for k in range(len(self.w.data)):
            self.w.grad[k] += (gradient * input[:, k : k + T]).sum(axis=(0, 1))
            input_grad[:, :T] += gradient * self.w.data[k]
        return input_grad


class MinOfNegatives(RIGHT["pooling"]["MinPool1d"]):
    def backward(self, gradient):
        self.recall(gradient)
        return self.pool.backward(-gradient)


class MaxForMin(RIGHT["pooling"]["MinPool1d"]):
    def forward(self, input):
        output = self.pool.forward(input)
        self.remember(output.shape)
        return output


class OverflowingMax(RIGHT["over_time"]["SmoothMaxOverTime"]):
    def forward(self, input):
        output = numpy.log(numpy.exp(input).sum(axis=1))
        self.remember(output.shape, softmax(input.swapaxes(1, 2)).swapaxes(1, 2))
        return output


class SoftmaxOverChannels(RIGHT["over_time"]["SmoothMaxOverTime"]):
    def forward(self, input):
        output = super().forward(input)
        self.remember(output.shape, softmax(input))
        return output


class ElementDropout(RIGHT["regular"]["ChannelDropout"]):
    def draw(self, shape):
        return uniform(*shape)


class OneDropoutForAll(RIGHT["regular"]["ChannelDropout"]):
    def draw(self, shape):
        return uniform(1, 1, shape[2])


class RowNormOfConstants(RIGHT["regular"]["RowNorm"]):
    def backward(self, gradient):
        _, scale = self.recall(gradient)
        return scale * gradient


class RowNormOverRows(RIGHT["regular"]["RowNorm"]):
    def forward(self, input):
        return super().forward(input.T).T


class GatedByConstants(RIGHT["attention"]["Gated"]):
    def backward(self, gradient):
        _, a = self.recall(gradient)
        return gradient * a


class GateWithoutInput(RIGHT["attention"]["Gated"]):
    def backward(self, gradient):
        _, a = self.recall(gradient)
        return gradient * a + self.inner.backward(gradient)


class AttentionWithoutScores(RIGHT["attention"]["AttentionOverTime"]):
    def backward(self, gradient):
        _, a = self.recall(gradient)
        return a[:, :, None] * gradient[:, None]


class AttentionWithoutSoftmaxGradient(RIGHT["attention"]["AttentionOverTime"]):
    def backward(self, gradient):
        input, a = self.recall(gradient)
        scores_grad = (input @ gradient[:, :, None])[:, :, 0]
        self.w.grad += (scores_grad[:, :, None] * input).sum(axis=(0, 1))
        return a[:, :, None] * gradient[:, None] + scores_grad[:, :, None] * self.w.data


class ParabolaInTheWrongOrder(RIGHT["plain_arrays"]["Parabola"]):
    def grads(self):
        return [self.b_grad, self.w_grad]


class ParabolaWithoutTwo(RIGHT["plain_arrays"]["Parabola"]):
    def backward(self, gradient):
        super().backward(gradient)
        return gradient * self.w * self.input


def but(chapter, **changes):
    """The right answer to an exercise by hand, with some numbers changed."""
    return RIGHT[chapter]["by_hand"] | {name.replace("u_mean", "u~"): value for name, value in changes.items()}


@pytest.mark.parametrize(("name", "answer", "words"), [
    ("convolution.by_hand", but("convolution", x=[20, 2, 3]), "x[1] is in both windows"),
    ("convolution.by_hand", but("convolution", w=[45, 14]), "the gradient of w is [45, 14], expected [14, 45]"),
    ("convolution.kernel", [[1 / 3] * 3, [0] * 3, [-1 / 3] * 3], "upside down"),
    ("convolution.kernel", [[-1 / 3, 0, 1 / 3]] * 3, "the first index is the row"),
    ("convolution.kernel", [[-1] * 3, [0] * 3, [1] * 3], "the output is"),
    ("convolution.Depthwise", DepthwiseOfOneWindow, "reaches the input's steps [3]; its window is steps 1, 2 and 3"),
    ("convolution.Depthwise", DepthwiseAtTheFirstStep, "reaches the input's steps [1]"),
    ("pooling.by_hand", but("pooling", y=[4, 9, 6]), "it is dropped"),
    ("pooling.by_hand", but("pooling", x=[5, 5, 0, 20, 0]), "the layer takes the first"),
    ("pooling.seen", 17, "3 steps apart"),
    ("pooling.seen", 441, "do not multiply"),
    ("pooling.MinPool1d", MinOfNegatives, "wrong sign"),
    ("pooling.MinPool1d", MaxForMin, "the output is"),
    ("over_time.by_hand", but("over_time", y=2.4), "divide by 3"),
    ("over_time.by_hand", but("over_time", x=[1.8] * 5), "its gradient is 0"),
    ("over_time.SmoothMaxOverTime", OverflowingMax, "subtract the largest first"),
    ("over_time.SmoothMaxOverTime", SoftmaxOverChannels, "the gradient of input 0 differs"),
    ("regular.by_hand", but("regular", x=[2, 0, 0, 0]), "as if mean and variance were constants"),
    ("regular.by_hand", but("regular", x=[1.5, -0.5, -0.5, -0.5]), "the term through the variance is missing"),
    ("regular.ChannelDropout", ElementDropout, "draw once for all steps"),
    ("regular.ChannelDropout", OneDropoutForAll, "draw for each sequence"),
    ("regular.RowNorm", RowNormOfConstants, "they depend on the whole row"),
    ("regular.RowNorm", RowNormOverRows, "along axis 1"),
    ("attention.by_hand", but("attention", S_grad=[4, 0]), "does not sum to 0"),
    ("attention.by_hand", but("attention", u_mean=2), "u~ is 2, expected 3"),
    ("attention.Gated", GatedByConstants, "also used in step 1"),
    ("attention.Gated", GateWithoutInput, "the gradient of input 0 differs"),
    ("attention.AttentionOverTime", AttentionWithoutScores, "also used in step 1"),
    ("attention.AttentionOverTime", AttentionWithoutSoftmaxGradient, "the gradient of input 0 differs"),
    ("plain_arrays.Parabola", ParabolaInTheWrongOrder, "the order of params()"),
    ("plain_arrays.Parabola", ParabolaWithoutTwo, "the gradient of input 0 differs"),
])  # fmt: skip
def test_a_wrong_answer_is_told_what_is_wrong(name, answer, words):
    assert words in verdict(name, answer)
