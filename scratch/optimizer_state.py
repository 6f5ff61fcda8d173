"""The state that an optimizer keeps between steps, and how to save it: OptimizerState.

Momentum, in the next chapter, keeps one running mean per weight, Adam two. A resumed run needs them: without them, its
first steps would differ from those of an uninterrupted run. So the state is saved beside the weights, keyed by
Parameter name:

    saved = adam.state_dict(model)       # {"kind": "Adam", "arguments": {"lr": 0.001, "beta1": 0.9, ...}, "steps":
                                         #  {"layers.0.w": 500, ...}, "arrays": {"m/layers.0.w": array, ...}}
    adam.load_state(model, saved)        # in another process, perhaps

Each Parameter has a step count of its own: one that joins the training late needs the corrections of Adam's first
steps. A running mean is valid only for its own decay rate, so the saved arguments must equal those of the optimizer
that loads them. The exception is the learning rate: it may change from step to step, and the saved one is restored.

Read next: `optimizers.py`.
"""

import json
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from scratch.backend import Array, to_device, to_host
from scratch.checks import ScratchError, arguments_of
from scratch.layer import Layer, Parameter


class OptimizerState:
    """The running means and step counts of each Parameter.

    slots: the names of the state arrays kept for each Parameter: ("m", "v") in Adam.
    changing: the constructor arguments, numbers of at least 0, that may change between steps; `load_state` restores
        them.

    A `step` that is written as in Grus does not clear the gradients; so after the `step` of a subclass they are cleared
    here, unless it calls `super().step`.
    """

    slots: tuple[str, ...] = ()
    changing: tuple[str, ...] = ("lr",)

    state: dict[Parameter, list[Array]]  # one array per slot for each Parameter
    steps: dict[Parameter, int]  # the number of steps each Parameter has taken

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        step = vars(cls).get("step")
        if step is not None and "__class__" not in step.__code__.co_freevars:  # which a method that uses super() has
            setattr(cls, "step", clearing(step))  # noqa: B010

    def __new__(cls, *args: Any, **options: Any) -> Any:  # so that a subclass need not call super().__init__()
        self = super().__new__(cls)
        self.state, self.steps = {}, {}
        return self

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, and those that change, by name, as they come back from JSON."""
        changing = {name: getattr(self, name) for name in self.changing}
        return json.loads(json.dumps(arguments_of(self) | changing, default=float))

    def state_dict(self, layer: Layer) -> dict[str, Any]:
        """The kind, its arguments, step counts by parameter name, and state arrays by "slot/name", on the host."""
        named = {name: p for name, p in layer.named_parameters().items() if p in self.state}
        arrays = {
            f"{slot}/{name}": to_host(array).copy()
            for name, p in named.items() for slot, array in zip(self.slots, self.state[p], strict=True)
        }
        steps = {name: self.steps[p] for name, p in named.items()}
        return {"kind": type(self).__name__, "arguments": self.arguments(), "steps": steps, "arrays": arrays}

    def load_state(self, layer: Layer, state: dict[str, Any]) -> None:
        """Restore a `state_dict(layer)` of the same kind of optimizer.

        Raises: ScratchError if the state does not fit; the optimizer is then unchanged.
        """
        named, own, arguments, steps = layer.named_parameters(), self.arguments(), state["arguments"], state["steps"]
        if state["kind"] != type(self).__name__ or own.keys() != arguments.keys():
            raise ScratchError(f"{self}: the saved state is from {state['kind']}({', '.join(arguments)})")
        for name, value in own.items():
            saved = arguments[name]
            if name in self.changing:
                if type(saved) not in (int, float) or not 0 <= saved < math.inf:  # True is no number here
                    raise ScratchError(f"{self}: expected the saved {name} to be finite and at least 0, got {saved!r}")
            elif value != saved:
                raise ScratchError(f"{self}: the saved state has {name} = {saved!r}, not {value!r}")
        shapes = {f"{slot}/{name}": named[name].data.shape for name in steps if name in named for slot in self.slots}
        if not steps.keys() <= named.keys() or {name: a.shape for name, a in state["arrays"].items()} != shapes:
            raise ScratchError(f"{self}: the saved state is from another model, or from a model of another size")
        if any(type(count) is not int or count < 1 for count in steps.values()):
            raise ScratchError(f"{self}: expected the saved step counts to be integers of at least 1")
        self.steps = {named[name]: count for name, count in steps.items()}
        self.state = {
            named[name]: [to_device(state["arrays"][f"{slot}/{name}"]).copy() for slot in self.slots] for name in steps
        }
        for name in self.changing:
            setattr(self, name, arguments[name])


def clearing(step: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `step` so that it then zeroes every gradient, including those of fixed Parameters, which no step uses."""

    @wraps(step)
    def step_and_clear(self: Any, layer: Layer, *args: Any, **options: Any) -> Any:
        result = step(self, layer, *args, **options)
        layer.zero_grads()
        return result

    return step_and_clear
