"""What the machine can do, a large matrix product and a copy; and what keeps a core busy, an endless loop."""

from threadpoolctl import ThreadpoolController

from scratch.backend import xp
from scratch.fast.processes import job


class Workload:
    """A step is one floating-point operation, or one byte that is read or written."""

    def __init__(self, case):
        self.case = case

    def steps(self, _):
        """A function that runs the case once and returns its number of operations or bytes."""
        if self.case == "neighbour":
            return lambda: sum(range(10_000))
        ThreadpoolController().limit(limits=job().num_cores, user_api="blas")  # all, whatever the environment says
        size = 1536 if xp.device == "cpu" else 8192
        a = xp.ones(2**28 if self.case == "copy" else (size, size), dtype=xp.float32)
        b = xp.empty_like(a)

        def product():
            xp.matmul(a, a, out=b)
            return 2 * size**3

        def copy():
            b[...] = a
            return 2 * a.nbytes

        return copy if self.case == "copy" else product
