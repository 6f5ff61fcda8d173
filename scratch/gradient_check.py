"""Why the gradients can be trusted: each is compared with the change in the loss that it predicts.

A derivative says how much the loss changes when a number does, so change the number and measure. For L = x^2 at x = 3
and a step of 0.01, (3.01^2 - 2.99^2) / 0.02 = 6, which is 2 x.

    dL/dx  is about  (L(x + step) - L(x - step)) / (2 step)

Applied to every number of every input and parameter, in float64 with a step of 1e-6 (smaller steps are more exact,
until rounding takes over), this finds nearly any error in a backward pass. The loss is the sum of the outputs, each
times a fixed *random* number. The plain sum would not do: for a softmax it is always 1, so the true gradient is zero,
and a backward pass that is wrong by a factor would go unnoticed.

    with precision("float64"):
        print(gradient_errors(Linear(5, 3), random_input))      # {"input 0": 1e-10, "w": 2e-10, "b": 1e-10}

Read next: `checks.py`.
"""

from collections.abc import Callable
from typing import Any

import numpy

from scratch.backend import Array, float_type, to_device, to_host
from scratch.initial import generator
from scratch.layer import Layer


def numerical_gradient(function: Callable[[], float], array: Array, step: float = 1e-6) -> numpy.ndarray:
    """The gradient of `function()`, which reads `array`, with respect to its numbers, by central differences.

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
    """The largest difference between two arrays, relative to the largest number in `expected` (taken as at least
    0.01, so that gradients of zero can be compared)."""
    found, expected = to_host(found), to_host(expected)
    if found.shape != expected.shape:
        return float("inf")
    if found.size == 0:
        return 0.0
    error = float(abs(found - expected).max() / max(0.01, abs(expected).max()))
    return error if error == error else float("inf")  # NaN counts as an infinite error


def gradient_errors(layer: Layer, *inputs: Any, before: Callable[[], Any] | None = None, **kwargs: Any) -> dict:
    """The relative errors of `layer.backward` against the numerical gradient, by input and by parameter name.

    Call it inside `precision("float64")`, with a layer built there; errors below 1e-7 pass. Integer inputs have no
    gradient and are skipped. `before` is called before every forward, to reset carried state or the random seed.
    `kwargs`, such as a mask, are passed to `forward`.
    """
    if any(dtype != "float64" for dtype in (float_type(), *(p.data.dtype for p in layer.parameters()))):
        raise RuntimeError('build the layer inside precision("float64") to check it; in float32, rounding hides errors')
    # Perturbed in place below; and in float64, since in float32 a step of 1e-6 would be lost.
    inputs = tuple(input if isinstance(input, int) else to_device(input) for input in inputs)

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
        if hasattr(input, "dtype") and input.dtype.kind == "f":  # not ids
            errors[f"input {i}"] = relative_error(gradient, numerical_gradient(loss, input))
    for name, parameter in layer.named_parameters().items():
        if not parameter.fixed:
            errors[name] = relative_error(parameter.grad, numerical_gradient(loss, parameter.data))
    layer.zero_grads()
    return errors
