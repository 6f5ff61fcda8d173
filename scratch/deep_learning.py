"""The names of *Data Science from Scratch*, chapter 19, imported from the chapters that define them.

    from scratch.deep_learning import Linear, Sequential, Sigmoid, SSE, GradientDescent
"""

from scratch.activations import Relu, Sigmoid, Softmax, Tanh
from scratch.backend import Array as Tensor
from scratch.backend import to_host
from scratch.dense import Linear
from scratch.functions import one_hot, softmax
from scratch.initial import random_tensor
from scratch.layer import Layer, Sequential
from scratch.losses import SSE, Loss, SoftmaxCrossEntropy
from scratch.optimizers import GradientDescent, Momentum, Optimizer
from scratch.regular import Dropout
from scratch.tools.weights import load_weights, save_weights

__all__ = [
    "SSE", "Dropout", "GradientDescent", "Layer", "Linear", "Loss", "Momentum", "Optimizer", "Relu", "Sequential",
    "Sigmoid", "Softmax", "SoftmaxCrossEntropy", "Tanh", "Tensor", "load_weights", "one_hot_encode",
    "random_tensor", "save_weights", "softmax",
]


def one_hot_encode(i: int, num_labels: int = 10) -> list[float]:
    """A list of `num_labels` numbers: 1 at `i`, 0 elsewhere."""
    return to_host(one_hot(i, num_labels)).tolist()
