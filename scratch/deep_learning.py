"""The names of *Data Science from Scratch*, chapter 19: layers, losses, optimizers and functions on tensors.

    from scratch.deep_learning import Linear, Sequential, Sigmoid, SSE, GradientDescent

The classes are imported from the modules that define them. A Tensor, in the book a list of lists, is an array here; the
functions on tensors accept lists too. `plain_arrays.py` explains how a layer typed in from the book is trained.

Read next: `nlp.py`.
"""

import math
from collections.abc import Callable
from typing import Any

from scratch.activations import Relu, Sigmoid, Softmax, Tanh
from scratch.backend import Array as Tensor
from scratch.backend import as_floats, to_host
from scratch.dense import Linear
from scratch.functions import one_hot, softmax
from scratch.initial import random_tensor
from scratch.layer import Layer, Sequential
from scratch.losses import SSE, Loss, SoftmaxCrossEntropy
from scratch.optimizers import Adam, GradientDescent, Momentum, Optimizer
from scratch.regular import Dropout
from scratch.tools.weights import load_weights, save_weights

__all__ = [
    "SSE", "Adam", "Dropout", "GradientDescent", "Layer", "Linear", "Loss", "Momentum", "Optimizer", "Relu",
    "Sequential", "Sigmoid", "Softmax", "SoftmaxCrossEntropy", "Tanh", "Tensor", "is_1d", "load_weights",
    "one_hot_encode", "random_normal", "random_tensor", "random_uniform", "save_weights", "shape", "sigmoid", "softmax",
    "tanh", "tensor_apply", "tensor_combine", "tensor_sum", "zeros_like",
]


def shape(tensor: Any) -> list[int]:
    """The sizes of the axes: [3, 2] for three rows of two numbers."""
    return list(to_host(tensor).shape)


def is_1d(tensor: Any) -> bool:
    """Whether `tensor` has a single axis: a list of numbers, not of lists."""
    return len(shape(tensor)) == 1


def tensor_sum(tensor: Any) -> float:
    """The sum of all numbers in `tensor`."""
    return float(to_host(tensor).sum())


def tensor_apply(f: Callable[[float], float], tensor: Any) -> Tensor:
    """f(x) elementwise, for x in `tensor`."""
    values = to_host(tensor)
    return as_floats([f(x) for x in values.ravel().tolist()]).reshape(values.shape)


def tensor_combine(f: Callable[[float, float], float], t1: Any, t2: Any) -> Tensor:
    """f(x, y) elementwise, for x in `t1` and y in `t2`."""
    left, right = to_host(t1), to_host(t2)
    pairs = zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)
    return as_floats([f(x, y) for x, y in pairs]).reshape(left.shape)


def zeros_like(tensor: Any) -> Tensor:
    """Zeros in the shape of `tensor`."""
    return tensor_apply(lambda _: 0.0, tensor)


def random_uniform(*dims: int) -> Tensor:
    """Random numbers between 0 and 1, of shape `dims`."""
    return random_tensor(*dims, init="uniform")


def random_normal(*dims: int, mean: float = 0.0, variance: float = 1.0) -> Tensor:
    """Normally distributed random numbers, of shape `dims`."""
    return mean + math.sqrt(variance) * random_tensor(*dims, init="normal")


def sigmoid(t: float) -> float:
    """1 / (1 + exp(-t)) for a single number t."""
    return 0.5 * math.tanh(0.5 * t) + 0.5


def tanh(x: float) -> float:
    """The hyperbolic tangent of a single number."""
    return math.tanh(x)


def one_hot_encode(i: int, num_labels: int = 10) -> list[float]:
    """A list of `num_labels` numbers: 1 at `i`, 0 elsewhere."""
    return to_host(one_hot(i, num_labels)).tolist()
