"""What an optimizer remembers between steps, and how it is saved: OptimizerState.

Momentum and Adam keep running means, one number for every weight. A run that is stopped and resumed needs them again:
without them, its first steps would differ from those of a run that was never stopped. So the state is saved beside the
weights, by the names of the Parameters:

    saved = adam.state_dict(model)       # {"kind": "Adam", "arguments": {"lr": 0.001, "beta1": 0.9, ...}, "steps":
                                         #  {"layers.0.w": 500, ...}, "arrays": {"m/layers.0.w": array, ...}}
    adam.load_state(model, saved)        # in another process, perhaps

Running means that decay at another rate are other means. So the saved arguments must be those of the optimizer that
loads them, apart from the learning rate, which may change from step to step and is restored.

Read next: `optimizers.py`.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from scratch.backend import Array, to_device, to_host
from scratch.checks import ScratchError, arguments_of
from scratch.layer import Layer, Parameter


class OptimizerState:
    """The running means and step counts of each Parameter.

    slots: the names of the arrays that each Parameter has: ("m", "v") in Adam.
    changing: the constructor's arguments that may change between steps, and are restored.
    """

    slots: tuple[str, ...] = ()
    changing: tuple[str, ...] = ("lr",)

    def __init_subclass__(cls, clears: bool = False) -> None:
        if "step" in vars(cls) and not clears:  # the optimizers of Grus leave the gradients as they are
            setattr(cls, "step", clearing(vars(cls)["step"]))  # noqa: B010

    def __init__(self) -> None:
        self.state: dict[Parameter, list[Array]] = {}  # one array per slot for each Parameter
        self.steps: dict[Parameter, int] = {}  # the number of steps each Parameter has taken

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, by name."""
        return arguments_of(self)

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

        Raises: ScratchError if it does not fit; nothing is changed then.
        """
        named, own, arguments, steps = layer.named_parameters(), self.arguments(), state["arguments"], state["steps"]
        if state["kind"] != type(self).__name__ or own.keys() != arguments.keys():
            raise ScratchError(f"{self}: the saved state is of {state['kind']}")
        for name, value in own.items():
            saved = arguments[name]
            if name in self.changing:
                if type(saved) not in (int, float) or not 0 <= saved < math.inf:
                    raise ScratchError(f"{self}: expected a saved {name} of at least 0, got {saved!r}")
            elif value != saved:
                raise ScratchError(f"{self}: the saved state is of {name} = {saved!r}, not {value!r}")
        shapes = {f"{slot}/{name}": named[name].data.shape for name in steps if name in named for slot in self.slots}
        if not steps.keys() <= named.keys() or {name: a.shape for name, a in state["arrays"].items()} != shapes:
            raise ScratchError(f"{self}: the saved state is of another model, or of another size")
        if any(type(count) is not int or count < 1 for count in steps.values()):
            raise ScratchError(f"{self}: expected saved step counts of at least 1")
        self.steps = {named[name]: count for name, count in steps.items()}
        self.state = {
            named[name]: [to_device(state["arrays"][f"{slot}/{name}"]).copy() for slot in self.slots] for name in steps
        }
        for name in self.changing:
            setattr(self, name, arguments[name])


def clearing(step: Callable[[Any, Layer], None]) -> Callable[[Any, Layer], None]:
    """`step`, after which all gradients are zero, those of fixed Parameters too."""

    @wraps(step)
    def step_and_clear(self: Any, layer: Layer) -> None:
        step(self, layer)
        layer.zero_grads()

    return step_and_clear
