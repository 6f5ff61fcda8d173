"""Layers whose weights are plain arrays, as Grus writes them: params() and grads() instead of Parameters.

In *Data Science from Scratch* a layer keeps its weights and gradients in plain attributes, and two methods list them:

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

Such a layer is trained and saved like any other. Every array that params() returns becomes the data of a Parameter, and
its attribute now reads that data. After each backward, the arrays that grads() returns are added to the Parameters'
gradients, and their attributes now read these sums. Lists of numbers, which the book uses, become arrays.

Read next: `deep_learning.py`.
"""

from collections.abc import Iterator
from functools import wraps
from typing import Any

from scratch.backend import as_floats
from scratch.checks import expect
from scratch.layer import Layer, Parameter


def adapt(cls: Any) -> None:
    """Adapt a subclass of Layer: if it defines params(), replace the methods of Layer by those below."""
    if isinstance(vars(cls).get("train"), bool):  # it would hide Layer's `train`, which also sets inner layers
        cls._train = cls.train
        del cls.train
    if "params" in vars(cls):
        cls._other_attributes = getattr(cls, "__getattr__", None)
        cls.__getattr__, cls.children, cls.named_parameters = read_array, children, named_parameters
    if cls.params is not Layer.params and {"params", "backward"} & vars(cls).keys() and hasattr(cls, "backward"):
        cls.backward = collecting(cls.backward)


def read_array(self: Any, name: str) -> Any:
    """Python's __getattr__, called only for a missing attribute: `self.w` is the data of Parameter w, or a gradient."""
    learned, sums = (vars(self).get(kind, {}) for kind in ("_learned", "_sums"))
    if name in learned:
        return learned[name].data
    if name in sums:  # which maps the name of each gradient to that of its Parameter
        return learned[sums[name]].grad
    other = type(self)._other_attributes
    if other is None or other is read_array:
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
    return other(self, name)


def children(self: Any) -> Iterator[tuple[str, Any]]:
    """As in Layer, but the Parameter made from the attribute `w` is named "w", not "_learned.w"."""
    return ((name.removeprefix("_learned."), child) for name, child in Layer.children(self))


def named_parameters(self: Any) -> dict[str, Parameter]:
    """As in Layer, once each array of params() that is not yet the data of a Parameter has been made one."""
    for name, p in vars(self).get("_learned", {}).items():
        if vars(self).get(name) is p.data:  # `self.w *= 2` has read it from the Parameter and put it there
            del vars(self)[name]
    found = Layer.named_parameters(self)  # its own so far, and those of inner layers
    if "_asking" in vars(self):  # params() has called this method itself, through super().params()
        return found
    self._asking = True
    try:
        arrays, known = list(self.params()), {id(p.data) for p in found.values()}
    finally:
        del self._asking
    for array in (array for array in arrays if id(array) not in known):
        expect(type(self).grads is not Layer.grads, self, "both params() and grads()", "only params()")
        name, learned = take_attribute(self, array, "params()"), vars(self).setdefault("_learned", {})
        if name in learned:  # the attribute was set to another array
            learned[name].data[...] = as_floats(array)
        else:
            learned[name] = Parameter(as_floats(array))
    return Layer.named_parameters(self)


def take_attribute(self: Any, array: Any, source: str) -> str:
    """Remove the attribute that holds this array; return its name. Raises: ScratchError if there is none."""
    names = [name for name, value in vars(self).items() if value is array]
    expect(len(names) == 1, self, f"each array of {source} to be one attribute", f"one that is {len(names)}")
    del vars(self)[names[0]]
    return names[0]


def collecting(backward: Any) -> Any:
    """Wrap `backward` so that it then adds the arrays of grads() to the gradients of the Parameters."""

    @wraps(backward)
    def collect(self: Any, *gradients: Any) -> Any:
        if "_collecting" in vars(self):  # it is called as super().backward(), and the subclass's collects for both
            return backward(self, *gradients)
        self.named_parameters()  # so that every array of params() has a Parameter to add to
        self._collecting = True
        try:
            input_grad = backward(self, *gradients)
        finally:
            del self._collecting
        learned = {id(p.data): (name, p) for name, p in vars(self).get("_learned", {}).items()}
        for array, grad in zip(self.params(), self.grads(), strict=True):
            if id(array) not in learned:  # it belongs to an inner layer, which has already added its gradient
                continue
            name, p = learned[id(array)]
            if grad is not p.grad:  # a new array; if it is the sum itself, backward's `+=` has already added to it
                added = as_floats(grad)
                expect(added.shape == p.data.shape, self, f"a gradient with the shape of {name}, {p.data.shape}", added)
                p.grad += added
            if any(value is grad for value in vars(self).values()):
                vars(self).setdefault("_sums", {})[take_attribute(self, grad, "grads()")] = name
        return as_floats(input_grad) if isinstance(input_grad, list) else input_grad

    return collect


Layer.adapt = staticmethod(adapt)  # Layer calls it for each subclass defined from now on
