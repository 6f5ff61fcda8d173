"""Answers to the exercises on pooling.py."""

from scratch import Layer, MaxPool1d

# The windows are [4, 4] and [1, 9]; 6 is in none. Of the two 4s, the first is taken.
by_hand = {"y": [4, 9], "x": [10, 0, 0, 20, 0]}

# Backwards through the network: one step of the output depends on 3 steps of the second convolution, and these on
# 3 + 6 = 9 steps of the first pool. Those 9 blocks of 3 are 27 steps of the first convolution, which depend on 27 + 6
# steps of the input.
seen = (3 + 6) * 3 + 6


class MinPool1d(Layer):
    def __init__(self, size):
        self.pool = MaxPool1d(size)

    def forward(self, input):
        # min x = -max(-x)
        output = -self.pool.forward(-input)
        self.remember(output.shape)  # so that error messages name this layer; the pool remembers too
        return output

    def backward(self, gradient):
        self.recall(gradient)
        # Two changes of sign, one for each minus in forward.
        return -self.pool.backward(-gradient)
