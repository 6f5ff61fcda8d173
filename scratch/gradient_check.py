"""Why the gradients can be trusted: each is compared with what it claims to predict.

A derivative says how much the loss moves when a number does. So move the number, and look:

    dL/dx  is about  (L(x + step) - L(x - step)) / (2 step)

Done for every number of every input and parameter, in float64, this finds any error in a backward pass. As loss it
takes the output's product with fixed *random* numbers: under a sum with equal weights a softmax or a normalisation
has a gradient of zero, and a wrong one would pass.

    with precision("float64"):
        print(gradient_errors(Linear(5, 3), random_input))      # {"input 0": 1e-10, "w": 2e-10, "b": 1e-10}

Read next: `recurrent.py`.
"""

from collections.abc import Callable
from typing import Any

import numpy

from scratch.backend import Array, float_type, to_device, to_host
from scratch.initial import generator
from scratch.layer import Layer


def numerical_gradient(function: Callable[[], float], array: Array, step: float = 1e-6) -> numpy.ndarray:
    """The gradient of `function()` with respect to every number in `array`, which it reads, by central differences.

    Shapes: the result has the shape of `array`, which is unchanged afterwards.
    """
    result = numpy.zeros(array.shape)
    for place in numpy.ndindex(array.shape):
        before = float(array[place])
        array[place] = before + step
        above = function()
        array[place] = before - step
        below = function()
        array[place] = before
        result[place] = (above - below) / (2 * step)
    return result


def relative_error(found: Any, expected: Any) -> float:
    """The largest difference between two arrays, relative to the largest number in `expected` (at least 0.01)."""
    found, expected = to_host(found), to_host(expected)
    if found.shape != expected.shape:
        return float("inf")
    if found.size == 0:
        return 0.0
    error = float(abs(found - expected).max() / max(0.01, abs(expected).max()))
    return error if error == error else float("inf")  # NaN is no small error


def gradient_errors(layer: Layer, *inputs: Any, before: Callable[[], Any] | None = None, **kwargs: Any) -> dict:
    """How far `layer.backward` is from the numerical gradient: relative errors by input and by parameter name.

    Call it inside `precision("float64")`, for a layer built there; below 1e-7 is right. Integer inputs have no
    gradient and are passed over. `before` is called ahead of every forward: it puts a carried state, or chance,
    back to where it was. `kwargs` (a mask) go to `forward`.
    """
    dtypes = {float_type(), *(parameter.data.dtype for parameter in layer.parameters())}
    if dtypes != {numpy.dtype("float64")}:
        raise RuntimeError('gradients are checked of a layer built inside precision("float64"): rounding hides errors')
    inputs = tuple(to_device(input) if isinstance(input, list) else input for input in inputs)

    def forward() -> Array:
        if before is not None:
            before()
        return layer.forward(*inputs, **kwargs)

    weights = to_device(generator().standard_normal(forward().shape))

    def loss() -> float:
        return float((forward() * weights).sum())

    layer.zero_grads()
    forward()
    gradients = layer.backward(weights)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    errors = {}
    for i, (input, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        if hasattr(input, "dtype") and input.dtype.kind == "f":
            errors[f"input {i}"] = relative_error(gradient, numerical_gradient(loss, input))
    for parameter in layer.parameters():
        errors[parameter.name] = relative_error(parameter.grad, numerical_gradient(loss, parameter.data))
    layer.zero_grads()
    return errors
