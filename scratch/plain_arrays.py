"""Layers whose weights are plain arrays, as Grus writes them: params() and grads() instead of Parameters.

In *Data Science from Scratch* a layer has its weights and gradients as plain attributes, and two methods list them:

    class Scale(Layer):
        def __init__(self, dim):
            self.w = random_tensor(dim)

        def forward(self, input):
            self.input = input
            return self.w * input

        def backward(self, gradient):
            self.w_grad = gradient * self.input
            return gradient * self.w

        def params(self): return [self.w]
        def grads(self): return [self.w_grad]

Such a layer learns, and is saved, like any other. Every array that params() returns becomes a Parameter, and the
attribute becomes another name for its data. After each backward, the arrays of grads() are added to the Parameters'
gradients, and their attributes become names for these sums.

Read next: `deep_learning.py`.
"""

from collections.abc import Iterator
from functools import wraps
from typing import Any

from scratch.backend import as_floats
from scratch.checks import expect
from scratch.layer import Layer, Parameter


def adapt(cls: Any) -> None:
    """Give a subclass of Layer that defines params() the methods below, in place of Layer's."""
    if isinstance(vars(cls).get("train"), bool):  # it would hide Layer's property, which sets inner layers too
        cls._train = cls.train
        del cls.train
    if "params" in vars(cls):
        cls.__getattr__, cls.children, cls.named_parameters = read_array, children, named_parameters
        if hasattr(cls, "backward"):
            cls.backward = collecting(cls.backward)


def read_array(self: Any, name: str) -> Any:
    """As `self.w`: the data of Parameter w. (Python calls __getattr__ for a name that is not an attribute.)"""
    learned, sums = (vars(self).get(kind, {}) for kind in ("_learned", "_sums"))
    if name in learned:
        return learned[name].data
    if name in sums:  # the name of a gradient, and of its Parameter
        return learned[sums[name]].grad
    raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")


def children(self: Any) -> Iterator[tuple[str, Any]]:
    """As Layer's; an adopted array has the name of its attribute."""
    return ((name.removeprefix("_learned."), child) for name, child in Layer.children(self))


def named_parameters(self: Any) -> dict[str, Parameter]:
    """As Layer's, after each array of params() that is not yet a Parameter's has become one."""
    found = Layer.named_parameters(self)  # its own so far, and those of inner layers
    if "_asking" in vars(self):  # params() itself asks, by `super().params()`
        return found
    self._asking = True
    try:
        arrays, known = list(self.params()), {id(p.data) for p in found.values()}
    finally:
        del self._asking
    for array in [array for array in arrays if id(array) not in known]:
        expect(type(self).grads is not Layer.grads, self, "grads() beside params()", "none")
        name, learned = take_attribute(self, array, "params()"), vars(self).setdefault("_learned", {})
        if name in learned:  # the attribute was set to another array
            learned[name].data[...] = as_floats(array)
        else:
            learned[name] = Parameter(as_floats(array))
    return Layer.named_parameters(self)


def take_attribute(self: Any, array: Any, source: str) -> str:
    """Remove the attribute that holds this array; return its name. Raises: ScratchError if there is none."""
    names = [name for name, value in vars(self).items() if value is array]
    expect(len(names) > 0, self, f"{source} to return attributes of the layer, such as self.w", type(array))
    del vars(self)[names[0]]
    return names[0]


def collecting(backward: Any) -> Any:
    """`backward`, which then also adds the arrays of grads() to the gradients of the Parameters."""

    @wraps(backward)
    def collect(self: Any, *gradients: Any) -> Any:
        self.named_parameters()
        input_grad = backward(self, *gradients)
        learned = {id(p.data): (name, p) for name, p in vars(self).get("_learned", {}).items()}
        for array, grad in zip(self.params(), self.grads(), strict=True):
            if id(array) not in learned:  # an inner layer's, which has collected it
                continue
            name, p = learned[id(array)]
            if grad is not p.grad:  # a new array, not the sum itself, to which `+=` has added
                p.grad += as_floats(grad)
            if any(value is grad for value in vars(self).values()):
                vars(self).setdefault("_sums", {})[take_attribute(self, grad, "grads()")] = name
        return as_floats(input_grad) if isinstance(input_grad, list) else input_grad

    return collect


Layer.adapt = staticmethod(adapt)  # which is called for each subclass that is defined from here on
