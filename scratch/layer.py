"""The contract that every layer keeps. If you read one chapter, read this one.

A network computes y = f(x). To learn, it must know how the loss L would change with each of its numbers, and the
chain rule lets every layer answer for itself alone:

    forward:   input -> output                     (and remember what the way back needs)
    backward:  dL/d output -> dL/d input           (and add dL/d w to w.grad for each parameter w)

So training is the same five lines everywhere:

    predicted = model.forward(x)
    epoch_loss += loss.loss(predicted, y)
    gradient = loss.gradient(predicted, y)
    model.backward(gradient)
    optimizer.step(model)

Four rules make it safe. One forward serves one backward: of two forwards in a row the last is remembered, and a
second `backward` raises instead of giving a wrong gradient. Between the two, inputs and outputs are left as they are:
a layer remembers arrays, not copies. Gradients add up until the optimizer's step spends them, so nobody has to zero
them. And a layer that is needed in two places of a network is used through `sibling()`: the same parameters, but a
memory of its own.

Shapes are batch first and channels last: (N, features), (N, T, features), (N, H, W, channels).

Read next: `dense.py`.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from scratch.backend import Array, ScratchError, expect, float_type, xp

AnyLayer = TypeVar("AnyLayer", bound="Layer")


class WholeBatch:
    """Whom a layer or a loss asks that looks at the whole batch; this one answers where the batch is in one piece.

    `parallel.py` cuts batches, over threads and over processes, and puts something else in its place.

    part: the number of the part that this layer has, among the threads of this process.
    rank, num_ranks: the number of this process, and how many share the batch.
    """

    part, rank, num_ranks = 0, 0, 1

    def sum(self, values: Any) -> Any:
        """The sum of what all parts give, numbers or arrays; change neither that nor what was given.

        All parts get the same, and it waits for all: so each has to ask, equally often.
        """
        return values

    def add_up(self, array: Array) -> None:
        """Make `array`, in place, the sum of those of all processes."""

    def of_first(self, value: Any) -> Any:
        """The first process's value, for all: so that what they decide by it, they decide alike."""
        return value

    def wait(self) -> None:
        """Go on when all processes are here."""


_WHOLE = WholeBatch()
batch: ContextVar[WholeBatch] = ContextVar("batch", default=_WHOLE)  # a thread or a process with a part has another


class Home(NamedTuple):
    """Where a Parameter's arrays lie, when `in_one_vector` has put them side by side with others."""

    data_vector: Array
    grad_vector: Array
    start: int
    data: Array  # the views that it made: a Parameter that has others by now has moved out
    grad: Array


class Parameter:
    """An array that learns.

    data: its value.
    grad: the sum of its gradients since the last optimizer step; same shape.
    name: its path in the model ("layers.0.w"), set by `Layer.parameters()`; its key on disk.
    fixed: it belongs to the model, and is saved with it, but no gradient moves it.
    """

    __slots__ = ("data", "fixed", "grad", "home", "name")

    def __init__(self, data: Array, name: str = "", fixed: bool = False) -> None:
        self.data = data
        self.grad = xp.zeros_like(data)
        self.name = name
        self.fixed = fixed
        self.home: Home | None = None  # where `in_one_vector` has put it

    def __reduce__(self) -> tuple:  # a copy has arrays of its own, so it must not claim this one's home
        return Parameter, (self.data, self.name, self.fixed)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.data.shape})"


class Layer:
    """A function with a derivative: `forward` goes from input to output, `backward` carries the gradient back.

    A subclass writes `forward(input)`, which ends with `self.remember(output.shape, ...)`, and `backward(gradient)`,
    which begins with `... = self.recall(gradient)`. Its Parameters and child Layers are plain attributes, or lists
    or dicts of them, and are found in the order in which they were set.
    """

    train: bool = True  # False while evaluating: Dropout lets everything through, and nothing is remembered
    working: tuple[str, ...] = ("_memory",)  # attributes that are not copied with the layer
    _memory: tuple | None = None

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The output for the input. Remembers, once, what `backward` needs."""
        raise NotImplementedError

    def backward(self, gradient: Any) -> Any:
        """From dL/d output to dL/d input (None for integer ids); adds to the parameters' `grad`; forgets."""
        raise NotImplementedError

    def remember(self, output_shape: tuple[int, ...], *values: Any) -> None:
        """Keep `values` for one backward; while evaluating, keep nothing."""
        self._memory = (output_shape, values) if self.train else None

    def recall(self, gradient: Array) -> tuple:
        """What the last forward remembered, once.

        Raises: RuntimeError if there is nothing (any more); ScratchError if the gradient is not of the output's shape.
        """
        memory = self._memory
        if memory is None:
            raise RuntimeError(
                f"{self}: backward needs a forward of its own just before it. A layer that is used in two places "
                "of a network needs a sibling() for the second; inside evaluating(...) nothing is remembered"
            )
        self._memory = None
        output_shape, values = memory
        if gradient.shape != output_shape:  # broadcasting would make a wrong gradient of it in silence
            expect(False, self, f"a gradient of its output's shape {output_shape}", gradient)
        return values

    def forget(self) -> None:
        """Drop whatever past forwards have left behind in this layer."""
        for name in self.working:
            self.__dict__.pop(name, None)  # the class has its default

    def __getstate__(self) -> dict[str, Any]:  # what copy.deepcopy takes
        # Working memory may hold views of one array, which a copy would separate; and a copy that is made while
        # evaluating is not itself being evaluated.
        return {name: value for name, value in vars(self).items() if name not in (*self.working, "train")}

    def children(self) -> Iterator[tuple[str, Any]]:
        """(name, Parameter or Layer) for each one directly in this layer, in the order of definition."""
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Layer)):
                yield name, value
            elif isinstance(value, (list, dict)):
                for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                    if isinstance(item, (Parameter, Layer)):
                        yield f"{name}.{key}", item

    def all_layers(self) -> Iterator["Layer"]:
        """This layer and every layer below it."""
        yield self
        for _, child in self.children():
            if isinstance(child, Layer):
                yield from child.all_layers()

    def parameters(self) -> list[Parameter]:
        """Every Parameter of this layer and below, in the order of definition, each object once.

        Each one's `name` is set to its path from this layer.
        """
        found: dict[int, Parameter] = {}
        self._collect(found, "")
        return list(found.values())

    def _collect(self, found: dict[int, Parameter], path: str) -> None:
        for name, child in self.children():
            if isinstance(child, Layer):
                child._collect(found, f"{path}{name}.")
            elif id(child) not in found:  # used in two places: listed at the first
                child.name = path + name
                found[id(child)] = child

    def params(self) -> list[Array]:
        """The parameters' values, as live arrays (until the layer is built into a larger model): the book's view."""
        return [parameter.data for parameter in self.parameters()]

    def grads(self) -> list[Array]:
        """Their gradients, as live arrays in the same order: the book's view."""
        return [parameter.grad for parameter in self.parameters()]

    def zero_grads(self) -> None:
        """Throw the gradients away. (An optimizer's `step` has done so already.)"""
        for parameter in self.parameters():
            parameter.grad.fill(0)

    def sibling(self: AnyLayer, own_grad: bool = False) -> AnyLayer:
        """A layer with the same Parameter objects and a memory of its own: for a second place in a network.

        Both places add their gradients to the same `grad`, and an optimizer steps each Parameter once. torch7
        called it a shared clone. With `own_grad` the Parameters are others, which share the values only: for another
        thread, whose gradients are added by whoever started it.
        """
        shared = {id(p): Parameter(p.data, p.name, p.fixed) if own_grad else p for p in self.parameters()}
        twin = copy.deepcopy(self, shared)  # what is in the memo is not copied
        for layer in twin.all_layers():
            layer.forget()
        return twin

    def __repr__(self) -> str:
        dims = [f"{name}={value}" for name, value in vars(self).items() if name.endswith("_dim")]
        return f"{type(self).__name__}({', '.join(dims)})"


class Sequential(Layer):
    """Layers one after the other: the output of each is the input of the next.

    It takes one input and no mask: a model that needs one names its steps in a Layer of its own.

    Shapes: the input of the first layer -> the output of the last.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = list(layers)
        in_one_vector(self.parameters())

    def forward(self, input: Any) -> Array:
        for layer in self.layers:
            input = layer.forward(input)
        return input

    def backward(self, gradient: Array) -> Array:
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(str, self.layers))}])"


@contextmanager
def evaluating(*models: Layer) -> Iterator[None]:
    """Inside it, the models predict: Dropout is off, nothing is remembered, and `backward` raises."""
    before = [(layer, layer.train) for model in models for layer in model.all_layers()]
    for layer, _ in before:
        layer.train = False
    try:
        yield
    finally:
        for layer, train in before:
            layer.train = train


def in_one_vector(parameters: list[Parameter]) -> tuple[Array, Array]:
    """All values, and all gradients, of `parameters` as two long vectors; their own arrays become views of these.

    An optimizer then updates a whole model in a handful of array operations instead of a handful for each
    parameter. Parameters that already lie side by side in one vector stay where they are, so that a step on a part
    of a model moves nothing; others are moved, and arrays taken out of them before are left behind.
    """
    if not parameters:
        return xp.zeros(0, dtype=float_type()), xp.zeros(0, dtype=float_type())
    dtypes = {parameter.data.dtype for parameter in parameters}
    if len(dtypes) > 1:
        raise ScratchError("parameters of one model must share a dtype; were some built inside precision(...)?")
    home = parameters[0].home
    if home is not None and _side_by_side(parameters, home):
        data, grad, start = home[:3]
        stop = start + sum(parameter.data.size for parameter in parameters)
        return data[start:stop], grad[start:stop]
    data = xp.concatenate([parameter.data.ravel() for parameter in parameters])
    grad = xp.concatenate([parameter.grad.ravel() for parameter in parameters])
    stop = 0
    for parameter in parameters:
        shape, start, stop = parameter.data.shape, stop, stop + parameter.data.size
        parameter.data, parameter.grad = data[start:stop].reshape(shape), grad[start:stop].reshape(shape)
        parameter.home = Home(data, grad, start, parameter.data, parameter.grad)
    return data, grad


def _side_by_side(parameters: list[Parameter], first: Home) -> bool:
    start = first.start
    for parameter in parameters:
        home = parameter.home
        if home is None or home.data_vector is not first.data_vector or home.start != start:
            return False
        if home.data is not parameter.data or home.grad is not parameter.grad:
            return False
        start += parameter.data.size
    return True
