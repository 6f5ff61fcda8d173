"""Answers to the exercises on gradient_check.py."""

from scratch import Layer

# 3 x^2 = 12; (9.261 - 6.859) / 0.2; (9.261 - 8) / 0.1. The forward difference is wrong by 0.61; the central one only by
# 0.01, the square of the step.
by_hand = {"formula": 12, "central": 12.01, "forward": 12.61}


class Share(Layer):
    def forward(self, input):
        total = input.sum(axis=-1, keepdims=True)
        output = input / total
        self.remember(output.shape, output.copy(), total)
        return output

    def backward(self, gradient):
        output, total = self.recall(gradient)
        # x[j] is the numerator of y[j], with derivative 1 / total. It is also part of the total that divides every
        # x[k], with derivative -x[k] / total^2 = -y[k] / total; so gradient[k] * y[k] / total is summed over k
        # and subtracted.
        return (gradient - (gradient * output).sum(axis=-1, keepdims=True)) / total


# The absolute value has slope 1 only where its input is positive, as 1 and 2 are. So check random inputs of both signs.
# (A layer that adds up rows, and whose backward pass treats only one of them, would also do: the check with one row
# does not show that fault.)
class Undetected(Layer):
    def forward(self, input):
        self.remember(input.shape)
        return abs(input)

    def backward(self, gradient):
        self.recall(gradient)
        return gradient
