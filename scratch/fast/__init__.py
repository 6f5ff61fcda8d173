"""The engine: `fast(model)` is the same model, with the same Parameters and the same results, in less time.

    model = fast(model, threads=2)      # or workers=2
    optimizer = fast(Adam(0.001))

README.md in this folder is the map of the engine.
"""

import copy
from typing import Any, TypeVar

from scratch.averages import Averager
from scratch.backend import xp
from scratch.fast import (
    activations,
    bidirectional,
    convolution,
    dense,
    losses,
    optimizers,
    pooling,
    recurrent,
    regular,
    self_attention,
    transformer,
)
from scratch.fast.arrays import keep_memory
from scratch.fast.parts import InParts
from scratch.fast.processes import job
from scratch.fast.vector import in_one_vector
from scratch.fast.workers import InWorkers, num_workers
from scratch.layer import Layer
from scratch.losses import Loss
from scratch.optimizers import Optimizer

Thing = TypeVar("Thing", Layer, Loss, Optimizer)

_MODULES = (
    activations, bidirectional, convolution, dense, losses, optimizers, pooling, recurrent, regular, self_attention,
    transformer,
)
TWINS: dict[type, type] = {plain: twin for module in _MODULES for plain, twin in module.TWINS.items()}


def fast(thing: Thing, threads: int | None = None, workers: int | None = None) -> Thing:
    """The fast form of a model, a loss or an optimizer. `thing` itself is left as it is.

    A model's layers are replaced by their fast twins, around the same Parameters, which are laid in one vector; layers
    without a twin stay as they are. Its batches are cut over `threads` (by default one for each core, where each gets 8
    rows or more, or 2 of a Transformer), and under mpiexec over processes; on a GPU there is one thread, and
    elementwise steps become kernels. With `workers` instead of `threads`, the batches are cut over this process and
    `workers` - 1 others, which start at the first batch (`workers.py`); the results are those of as many threads.

    Give the result, not `thing`, to `evaluating`, and reset its state: the two share Parameters, not memory.
    """
    if isinstance(thing, InParts):
        return thing
    if not isinstance(thing, Layer):
        twin = _twin(copy.copy(thing))
        if isinstance(twin, Optimizer):
            twin.state, twin.steps = dict(twin.state), dict(twin.steps)
        if isinstance(twin, Averager):
            twin.inner = fast(twin.inner)
        return twin
    keep_memory()
    workers = num_workers(threads, workers)
    model = thing.sibling()
    for layer in list(model.all_layers()):
        _twin(layer)
    in_one_vector([p for p in model.parameters() if not p.fixed])
    if job().num_ranks == 1 and (xp.device != "cpu" or (threads or workers or job().num_cores) == 1):
        return model
    parts: Any = InWorkers(model, workers) if workers and workers > 1 else InParts(model, threads or workers)
    return parts


def _twin(thing: Thing) -> Thing:
    thing.__class__ = TWINS.get(type(thing), type(thing))
    return thing
