"""Likely wrong answers to the exercises on optimizer_state to functions, except gradient_check, in reading order."""

import numpy
import pytest
from pages import answers_to

from scratch import Optimizer
from scratch.exercises import exercises
from scratch.exercises.checking import verdict
from scratch.initial import random_tensor

RIGHT = {
    chapter: answers_to(chapter)
    for chapter in (
        "optimizer_state", "optimizers", "averages", "schedules", "checks", "backend", "initial", "functions",
    )
}


def but(exercise, **changes):
    """The right answer, a dict, with some values replaced."""
    chapter, name = exercise.split(".")
    return RIGHT[chapter][name] | changes


def only_steps(saved):
    return saved | {"steps": RIGHT["optimizer_state"]["grown"](saved)["steps"]}


def before_the_slot(saved):
    arrays = {f"layers.0.{name}": array for name, array in saved["arrays"].items()}
    return RIGHT["optimizer_state"]["grown"](saved) | {"arrays": arrays}


def in_place(saved):
    found = RIGHT["optimizer_state"]["grown"](saved)
    saved.update(found)
    return saved


class Averaging(RIGHT["optimizers"]["Heavy"]):
    def update(self, data, grad, t, u):
        u[...] = self.momentum * u + (1 - self.momentum) * grad
        data -= self.lr * u


class Rebinding(RIGHT["optimizers"]["Heavy"]):
    def update(self, data, grad, t, u):
        u = self.momentum * u + grad
        data -= self.lr * u


class Motionless(RIGHT["optimizers"]["Heavy"]):
    def update(self, data, grad, t, u):
        u[...] = self.momentum * u + grad
        data = data - self.lr * u


class Plain(RIGHT["optimizers"]["Heavy"]):
    def update(self, data, grad, t, u):
        u[...] = grad
        data -= self.lr * u


class Terse(RIGHT["checks"]["Last"]):
    def forward(self, input):
        if numpy.ndim(input) != 3 or numpy.shape(input)[-1] != self.features:
            from scratch import ScratchError

            raise ScratchError("wrong shape")
        return super().forward(input)


class Unchecked(RIGHT["checks"]["Last"]):
    def forward(self, input):
        output = input[:, -1]
        self.remember(output.shape, input.shape)
        return output


def variance_as_deviation(fan_out, fan_in, slope):
    return random_tensor(fan_out, fan_in) * 2 / ((1 + slope**2) * fan_in)


def other_fan(fan_out, fan_in, slope):
    return random_tensor(fan_out, fan_in) * numpy.sqrt(2 / ((1 + slope**2) * fan_out))


def slopeless(fan_out, fan_in, slope):
    return random_tensor(fan_out, fan_in, init="he")


def doubled(fan_out, fan_in, slope):
    return RIGHT["initial"]["leaky"](fan_out, fan_in, slope) * 2


def first_only(model):
    model.layers[0].w.data[:] = model.layers[0].w.data[0]


def last_only(model):
    model.layers[2].w.data[:] = 1


def all_zero(model):
    model.layers[0].w.data[:] = 0
    model.layers[2].w.data[:] = 0


def overflowing(z):
    return numpy.log(numpy.exp(z).sum(axis=-1))


def not_added_again(z):
    return numpy.log(numpy.exp(z - z.max(axis=-1, keepdims=True)).sum(axis=-1))


def kept_dims(z):
    largest = z.max(axis=-1, keepdims=True)
    return largest + numpy.log(numpy.exp(z - largest).sum(axis=-1, keepdims=True))


def absolute(probabilities, p):
    return probabilities * (probabilities >= p)


def without_ties(probabilities, p):
    return probabilities * (probabilities > p * probabilities.max())


def normalised(probabilities, p):
    kept = RIGHT["functions"]["min_p"](probabilities, p)
    return kept / kept.sum()


WRONG = [
    ("optimizer_state.grown", only_steps, "the names in 'arrays' are ['m/b', 'm/w', 'v/b', 'v/w'], expected ['m/l"),
    ("optimizer_state.grown", before_the_slot, "['layers.0.m/b', 'layers.0.m/w', 'layers.0.v/b', 'layers.0.v/w']"),
    ("optimizer_state.grown", in_place, "the argument was changed"),
    ("optimizers.by_hand", but("optimizers.by_hand", Momentum=0.22), "PyTorch's u = mo * u + g"),
    ("optimizers.by_hand", but("optimizers.by_hand", Momentum=0.98), "after the first step"),
    ("optimizers.by_hand", but("optimizers.by_hand", GradientDescent=0.8), "after the first step"),
    ("optimizers.by_hand", but("optimizers.by_hand", Adam=0.684), "must be divided by 1 - beta1^t"),
    ("optimizers.by_hand", but("optimizers.by_hand", Adam=0.5), "the weight of Adam is 0.5, expected 0.9"),
    ("optimizers.rate", 2 / 3, "a moves away from 0: too large"),
    ("optimizers.rate", 2, "a moves away from 0: too large"),
    ("optimizers.rate", 1 / 6, "both weights still approach 0: too small"),
    ("optimizers.rate", 0, "positive"),
    ("optimizers.Heavy", Averaging, "1 - mo times as long as PyTorch's"),
    ("optimizers.Heavy", Rebinding, "u is still zero after a step"),
    ("optimizers.Heavy", Motionless, "a step changes no weight"),
    ("optimizers.Heavy", Plain, "the weights after step 2 is"),
    ("optimizers.Heavy", Optimizer(0.1), "not a subclass of Optimizer"),
    ("averages.by_hand", [1, 2, 3, 4], "of GradientDescent alone"),
    ("averages.by_hand", [1, 1, 2, 1.5], "the slow weight persists"),
    ("averages.by_hand", [1, 1, 2, 3], "expected [1., 1., 2., 2.]"),
    ("schedules.square_root", lambda step, warmup: min(step / warmup, 1), "the first step would change nothing"),
    ("schedules.square_root", lambda step, warmup: min((step + 1) / warmup, warmup / (step + 1)), "its square root"),
    ("schedules.square_root", lambda step, warmup: min((step + 1) / warmup, 1), "at step 10 is 1, expected 0.9535"),
    ("schedules.square_root", lambda step, warmup: None, "is there a `return`?"),
    ("initial.by_hand", but("initial.by_hand", output=4**10), "multiplies the variance by 4"),
    ("initial.by_hand", but("initial.by_hand", output=20), "don't add up"),
    ("initial.by_hand", but("initial.by_hand", output=2), "after one layer"),
    ("initial.by_hand", but("initial.by_hand", weights=1 / 400), "is the variance of such weights"),
    ("initial.leaky", variance_as_deviation, "that is the variance"),
    ("initial.leaky", other_fan, "fan_out instead of fan_in"),
    ("initial.leaky", slopeless, "takes no account of the slope"),
    ("initial.leaky", doubled, "multiplies the mean of the squares by 4"),
    ("initial.leaky", lambda fan_out, fan_in, slope: random_tensor(fan_in, fan_out), "the shape of leaky"),
    ("initial.tied", first_only, "the hidden units differ after step 1"),
    ("initial.tied", last_only, "the rows of first.w differ from the start"),
    ("initial.tied", all_zero, "no gradient reaches the first layer"),
    ("functions.by_hand", but("functions.by_hand", softmax=[0.0171, 0.0466, 0.9362]), "the exponential of log 5 is 5"),
    ("functions.by_hand", but("functions.by_hand", temperature=[0.215, 0.304, 0.481]), "weight^(1 / temperature)"),
    ("functions.by_hand", but("functions.by_hand", temperature=[1 / 64, 4 / 64, 25 / 64]), "their sum is not 1"),
    ("functions.by_hand", but("functions.by_hand", top_k=[0, 2 / 8, 5 / 8]), "their sum is not 1"),
    ("functions.log_sum_exp", overflowing, "the result is inf: subtract the largest z first"),
    ("functions.log_sum_exp", not_added_again, "was not added back"),
    ("functions.log_sum_exp", kept_dims, "has shape (1,), expected ()"),
    ("functions.min_p", absolute, "p itself is the limit"),
    ("functions.min_p", without_ties, "at the limit itself"),
    ("functions.min_p", normalised, "must not change"),
    ("backend.lost", 2**23, "8388608 + 1 is 8388609: the answer is larger"),
    ("backend.lost", 2**25, "the answer is smaller"),
    ("backend.lost", 2**24 + 2, "the answer is smaller"),
    ("backend.lost", 2**24 + 1, "not a positive whole number that float32 can represent"),
    ("checks.Last", Unchecked, "an input of shape (4, 3) is accepted"),
    ("checks.Last", Terse, "the message for (4, 3) is 'wrong shape', expected 'Last(features=3): expected input"),
]


@pytest.mark.parametrize(("exercise", "answer", "words"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(exercise, answer, words):
    assert words in verdict(exercise, answer)


def test_every_exercise_has_two_wrong_answers():
    for chapter in RIGHT:
        for name in exercises()[chapter]:
            assert sum(exercise == f"{chapter}.{name}" for exercise, *_ in WRONG) >= 2
