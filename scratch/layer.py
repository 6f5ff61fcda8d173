"""The contract that every layer keeps: Parameter, Layer, Sequential, evaluating. Read this chapter first.

Training needs the derivative of the loss L with respect to every number in a network. The chain rule lets each layer
compute its part without knowing the rest: `forward` goes from input to output and remembers what `backward` will need;
`backward` goes from dL/d output to dL/d input, and adds dL/dw to w.grad for each parameter w.

Take y = w x with w = 3, x = 2 and the loss L = y^2. Forward gives y = 6. Backward receives dL/dy = 2 y = 12, returns
dL/dx = 12 w = 36, and adds dL/dw = 12 x = 24 to w.grad. Every training loop is these five lines:

    predicted = model.forward(x)
    epoch_loss += loss.loss(predicted, y)
    gradient = loss.gradient(predicted, y)
    model.backward(gradient)
    optimizer.step(model)

Shapes are batch first, channels last: (N, features), (N, T, features), (N, H, W, channels). Read next: `dense.py`.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from scratch.backend import Array, xp
from scratch.checks import expect


class Parameter:
    """An array that learns: `data`, its value, and `grad`, the sum of its gradients since the last optimizer step."""

    def __init__(self, data: Array, fixed: bool = False) -> None:
        self.data, self.grad = data, xp.zeros_like(data)
        self.fixed = fixed  # saved with the model, but changed by no optimizer


class Layer:
    """A function with a derivative. Its Parameters and inner Layers are attributes, or in lists or dicts of its own."""

    working: tuple[str, ...] = ("_memory", "_train")  # attributes that a copy of the layer does not take over
    _memory: tuple | None = None
    _train: bool = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """From input to output. A subclass ends it with `self.remember(output.shape, ...)`."""
        raise NotImplementedError

    def backward(self, gradient: Any) -> Any:
        """From dL/d output to dL/d input (None for ids). A subclass begins it with `... = self.recall(gradient)`."""
        raise NotImplementedError

    def remember(self, output_shape: tuple[int, ...], *values: Any) -> None:
        """Keep `values` for one backward. While evaluating, keep nothing."""
        self._memory = (output_shape, values) if self._train else None

    def recall(self, gradient: Array) -> tuple:
        """The values that the last forward remembered, once. Raises: RuntimeError when there are none."""
        memory, self._memory = self._memory, None
        if memory is None:
            raise RuntimeError(f"{self}: backward needs a forward of its own just before it, outside evaluating(...); a "
                               "layer in two places of a network needs a sibling() for the second")
        if gradient.shape != memory[0]:
            expect(False, self, f"a gradient of its output's shape {memory[0]}", gradient)
        return memory[1]

    @property
    def train(self) -> bool:
        """False while evaluating. Setting it sets it in every inner layer too."""
        return self._train

    @train.setter
    def train(self, value: bool) -> None:
        for layer in self.all_layers():
            layer._train = value

    def children(self) -> Iterator[tuple[str, Any]]:
        """(name, Parameter or Layer) of those directly in this layer, in the order of definition."""
        for name, value in vars(self).items():
            items = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
            for path, item in {name: value, **{f"{name}.{key}": item for key, item in items.items()}}.items():
                if isinstance(item, (Parameter, Layer)):
                    yield path, item

    def all_layers(self) -> Iterator["Layer"]:
        """This layer and every layer inside it."""
        yield self
        for _, child in self.children():
            if isinstance(child, Layer):
                yield from child.all_layers()

    def named_parameters(self) -> dict[str, Parameter]:
        """Every Parameter by its path ("layers.0.w"), in the order of definition, each object once."""
        found: dict[str, Parameter] = {}
        for name, child in self.children():
            inner = child.named_parameters() if isinstance(child, Layer) else {"": child}
            for path, parameter in inner.items():
                if parameter not in found.values():
                    found[f"{name}.{path}".rstrip(".")] = parameter
        return found

    def parameters(self) -> list[Parameter]:
        return list(self.named_parameters().values())

    def params(self) -> list[Array]:
        return [parameter.data for parameter in self.parameters()]

    def grads(self) -> list[Array]:
        return [parameter.grad for parameter in self.parameters()]

    def zero_grads(self) -> None:
        for parameter in self.parameters():
            parameter.grad.fill(0)

    def sibling(self) -> Any:
        """A layer with the same Parameter objects and its own memory, for a second place in a network."""
        return copy.deepcopy(self, {id(p): p for p in self.parameters()})  # objects in this dict are not copied

    def __getstate__(self) -> dict[str, Any]:  # what deepcopy copies
        return {name: value for name, value in vars(self).items() if name not in self.working}

    def __repr__(self) -> str:
        dims = [f"{name}={value}" for name, value in vars(self).items() if name.endswith("_dim")]
        return f"{type(self).__name__}({', '.join(dims)})"


class Sequential(Layer):
    """Layers one after the other: the output of each is the input of the next."""

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
def evaluating(*models: Layer) -> Iterator[None]:
    """Inside it, the models only predict: Dropout is off, nothing is remembered, and `backward` raises."""
    before = [(layer, layer.train) for model in models for layer in model.all_layers()]
    for model in models:
        model.train = False
    try:
        yield
    finally:
        for layer, train in before:
            layer._train = train
