"""The contract that every layer keeps: Parameter, Layer, Sequential, evaluating. Read this chapter first.

A loss L measures how wrong a network's output is. Training needs the derivative of L with respect to every number, and
the chain rule lets each layer compute its part without knowing the rest. Take y = w x with w = 3, x = 2 and L = y^2.
`forward` computes y = 6 and remembers x. `backward` receives dL/dy = 2 y = 12, adds dL/dw = 12 x = 24 to w.grad and
returns dL/dx = 12 w = 36 to the layer before. An optimizer then moves w downhill, and sets w.grad to zero:

    predicted = model.forward(x)
    total += loss.loss(predicted, actual)
    gradient = loss.gradient(predicted, actual)
    model.backward(gradient)
    optimizer.step(model)

Shapes are batch first, channels last: (N, features), (N, T, features) for T steps, (N, H, W, channels) for images. `xp`
is NumPy or CuPy, `as_floats` takes lists too (`backend.py`), `expect` rejects wrong input. Read next: `dense.py`.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from scratch.backend import Array, xp
from scratch.checks import call_of, expect, leaves_of


class Parameter:
    """A trainable array: `data` is its value, and `grad` is the sum of the gradients from all its uses."""

    def __init__(self, data: Array, fixed: bool = False) -> None:
        self.data, self.grad, self.fixed = data, xp.zeros_like(data), fixed  # fixed: saved with the model, not learned


class Layer:
    """A function with a derivative. Its Parameters and inner Layers are attributes, or in lists, tuples or dicts."""

    forward: Any  # from input to output; it calls `self.remember(output.shape, ...)` with what backward needs
    backward: Any  # from dL/d output to dL/d input (integers: None, several inputs: a tuple); it starts with `recall`
    working: tuple[str, ...] = ("_memory", "_train")  # attributes that a copy of the layer does not take over
    adapt: Any = staticmethod(lambda cls: None)  # for subclasses written as in Grus: `plain_arrays.py` sets it
    _memory: tuple | None = None  # defaults of the class, so that a subclass need not call super().__init__()
    _train: bool = True
    __repr__ = call_of

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Layer.adapt(cls)

    def remember(self, output_shape: tuple[int, ...], *values: Any) -> None:  # for one backward
        self._memory = (output_shape, values) if self._train else None

    def recall(self, gradient: Array) -> tuple:
        """Return and forget the values of the last forward. Raises: RuntimeError if there are none, or none left."""
        memory, self._memory = self._memory, None
        if memory is None:
            raise RuntimeError(f"{self}: each backward needs its own forward; to use a layer twice, add a sibling()")
        if gradient.shape != memory[0]:  # checked first, so that the message is only made when it is needed
            expect(False, self, f"a gradient of its output's shape {memory[0]}", gradient)
        return memory[1]

    @property
    def train(self) -> bool:  # False while evaluating; setting it sets it in every inner layer too
        return self._train

    @train.setter
    def train(self, value: bool) -> None:
        for layer in self.all_layers():
            layer._train = value

    def children(self) -> Iterator[tuple[str, Any]]:
        """Yield (name, Parameter or Layer) for each direct child, in order of definition."""
        attributes = {name: value for name, value in vars(self).items() if name not in self.working}
        yield from ((path, item) for path, item in leaves_of(attributes) if isinstance(item, (Parameter, Layer)))

    def all_layers(self) -> Iterator["Layer"]:
        yield self
        for _, child in self.children():
            yield from child.all_layers() if isinstance(child, Layer) else ()

    def named_parameters(self) -> dict[str, Parameter]:
        """Every Parameter by its path ("layers.0.w"), in order of definition, each object once."""
        found: dict[str, Parameter] = {}
        for name, child in self.children():
            inner = {"": child} if isinstance(child, Parameter) else child.named_parameters()
            found |= {f"{name}.{path}".rstrip("."): p for path, p in inner.items() if p not in found.values()}
        return found

    def parameters(self) -> list[Parameter]: return list(self.named_parameters().values())
    def params(self) -> list[Array]: return [p.data for p in self.parameters()]  # Grus's name; and `grads`
    def grads(self) -> list[Array]: return [p.grad for p in self.parameters()]
    def zero_grads(self) -> None:
        for p in self.parameters():
            p.grad.fill(0)

    def sibling(self) -> Any:
        """A layer with the same Parameter objects and its own memory, for a second place in a network."""
        return copy.deepcopy(self, {id(p): p for p in self.parameters()})  # deepcopy keeps the objects in this dict

    def __getstate__(self) -> dict[str, Any]:  # what deepcopy copies
        return {name: value for name, value in vars(self).items() if name not in self.working}


class Sequential(Layer):
    """A list of `layers` in sequence: the output of each is the input of the next."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = list(layers)

    def forward(self, input: Any) -> Array:
        for layer in self.layers:
            input = layer.forward(input)
        return input

    def backward(self, gradient: Array) -> Array:
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient


@contextmanager
def evaluating(model: Layer) -> Iterator[None]:
    """Within this context the model only predicts: nothing is random or remembered, so `backward` cannot follow."""
    before = [(layer, layer.train) for layer in model.all_layers()]
    for layer, _ in before:
        layer._train = False
    try:
        yield
    finally:
        for layer, train in before:
            layer._train = train
