"""Answers to the exercises on self_attention.py and transformer.py."""

import numpy

from scratch import Layer


def looks_ahead(layer, x):
    before = layer.forward(x).copy()
    for t in range(1, x.shape[1]):
        changed = x.copy()
        changed[:, t, 0] += 1  # one feature: the same change of all features has no effect after a LayerNorm
        after = layer.forward(changed)
        if not numpy.allclose(after[:, :t], before[:, :t]):  # the outputs before t
            return True
    return False


# The weights of a, b and c are proportional to exp(-q), 1 and exp(q). If q is positive, c has the largest, and if q is
# negative, a has. The best for b is q = 0, with a weight of 1/3. A head of one feature can choose only the largest keys
# or the smallest. With two features, three keys can lie on a circle, 120 degrees apart. A query in the direction of a
# key has the dot product 10 with that key and 10 cos(120 degrees) = -5 with the others.
heads_of_one_feature = {
    "a": -10, "b": None, "c": 10,
    "keys": [[1, 0], [-0.5, 0.866], [-0.5, -0.866]],
    "queries": [[10, 0], [-5, 8.66], [-5, -8.66]],
}  # fmt: skip


# A shift from t to t + k turns the pair (sin, cos) by the same angle for every t. So the dot product of the sines and
# cosines of two positions depends only on their distance.
class Sinusoids(Layer):
    def __init__(self, features):
        self.features = features

    def forward(self, input):
        T = input.shape[1]
        angles = numpy.arange(T)[:, None] / 10000 ** (numpy.arange(0, self.features, 2) / self.features)
        waves = numpy.empty((T, self.features))
        waves[:, 0::2], waves[:, 1::2] = numpy.sin(angles), numpy.cos(angles)
        self.remember(input.shape)
        return input + waves

    def backward(self, gradient):
        self.recall(gradient)
        return gradient.copy()  # a constant was added, so the slope is 1
