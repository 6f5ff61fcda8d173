"""One batch on many machines: the processes of an MPI job, which sum their gradients.

    mpiexec -n 4 python examples/char_lm train

Each process has the whole model and draws the same batches. `InParts` (parts.py) gives each its own rows of every
batch, puts the outputs together again, and sums the gradients; so all processes have the same outputs and take the same
step, and a program needs no line about them. Machines need a folder that all of them see.
"""

import importlib
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

from scratch.backend import Array, xp
from scratch.checks import ScratchError

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")  # Open MPI, MPICH and its kin, srun


def cores_of_process() -> set[int]:
    """The numbers of the cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


class Alone:
    """The job of a single process.

    rank, num_ranks: the number of this process, and how many there are.
    """

    rank, num_ranks = 0, 1

    @property
    def num_cores(self) -> int:
        """How many cores each process may use."""
        return len(cores_of_process())

    def sum(self, values: Any) -> Any:
        """The sum of what each process gives, a number or an array: the same for all, to the bit."""
        return values

    def add_up(self, array: Array) -> None:
        """Make `array`, in place, the sum of those of all processes."""

    def of_first(self, value: Any) -> Any:
        """The first process's value, for all: so that they take the same decisions."""
        return value

    def wait(self) -> None:
        """Continue when all processes have come here."""


class Processes(Alone):
    """The processes of an MPI job."""

    devices: Any = None  # GPUs that send to each other

    def __init__(self, mpi: Any) -> None:
        self.mpi, self.comm = mpi, mpi.COMM_WORLD
        self.rank, self.num_ranks = self.comm.Get_rank(), self.comm.Get_size()
        self.here = self.comm.Split_type(mpi.COMM_TYPE_SHARED)  # those on this machine
        # A launcher may have given each process cores of its own, or all of them the same.
        cores = set[int]().union(*self.here.allgather(cores_of_process()))
        self._num_cores = self.comm.allreduce(max(len(cores) // self.here.Get_size(), 1), op=mpi.MIN)

    @property
    def num_cores(self) -> int:
        """How many cores each process may use, on the machine that has fewest."""
        return self._num_cores

    def take_devices(self) -> None:
        """On GPUs: one for each process; they sum by NCCL, without the host between them."""
        if xp.device != "cpu":
            self.devices = devices_of_job(self.rank, self.num_ranks, self.here.Get_rank())

    def sum(self, values: Any) -> Any:
        """The sum of what each process gives, a number or an array: the same for all, to the bit."""
        if not isinstance(values, xp.ndarray):
            return self.comm.allreduce(values)
        total = values.copy()
        self.add_up(total)
        return total

    def add_up(self, array: Array) -> None:
        """Make `array`, in place, the sum of those of all processes."""
        if self.devices is not None:
            self.devices.all_reduce(array, array)
        else:
            self.comm.Allreduce(self.mpi.IN_PLACE, array)

    def of_first(self, value: Any) -> Any:
        """The first process's value, for all."""
        return self.comm.bcast(value)

    def wait(self) -> None:
        """Continue when all processes have come here."""
        self.comm.Barrier()


_job = Alone()


def job() -> Alone:
    """The job that this process belongs to: itself alone, unless it has joined others."""
    return _job


def size_of_job() -> int:
    """How many processes an MPI launcher (mpiexec, srun) has started of this program; 1 when there was none."""
    return max(int(size) if (size := os.environ.get(name, "")).isdecimal() else 1 for name in _SIZES)


def join() -> Alone:
    """Where an MPI launcher has started several processes of this program: from now on they share batches.

    All get the first one's random state. Call it inside `ending_all`.
    Raises: ScratchError when mpi4py, or an MPI library for it, is missing, or is not the launcher's.
    """
    global _job
    if size_of_job() == 1 or _job.num_ranks > 1:
        return _job
    try:
        mpi = importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise ScratchError(
            f"{size_of_job()} processes need mpi4py and an MPI library ({error}); run pip install -e '.[mpi]'"
        ) from error
    processes = Processes(mpi)
    if processes.num_ranks < size_of_job():
        raise ScratchError("the processes cannot find each other; mpiexec and mpi4py need the same MPI library")
    _job = processes  # from here on `ending_all` ends the others, too
    processes.take_devices()
    limit_blas(processes.num_cores)
    random.setstate(processes.comm.bcast(random.getstate()))
    return processes


def limit_blas(num_threads: int) -> None:
    """From now on, for as long as the process lives, each matrix product uses at most so many threads."""
    ThreadpoolController().limit(limits=num_threads, user_api="blas")


def devices_of_job(rank: int, num_ranks: int, local_rank: int) -> Any:
    """Take a GPU for this process of an MPI job. Returns CuPy's group of all of them, which send by NCCL.

    Raises: ScratchError where there are fewer GPUs than processes, or no NCCL.
    """
    num_devices = xp.cuda.runtime.getDeviceCount()
    if local_rank >= num_devices:
        raise ScratchError(f"this machine has more processes than GPUs ({num_devices}); start one process per GPU")
    xp.cuda.Device(local_rank).use()
    try:
        distributed = importlib.import_module("cupyx.distributed")
        return distributed.init_process_group(num_ranks, rank, use_mpi=True)
    except (ImportError, RuntimeError) as error:
        raise ScratchError(
            f"several GPUs need NCCL ({error}); run pip install nvidia-nccl-cu12, or nvidia-nccl-cu13 for CUDA 13"
        ) from error


@contextmanager
def ending_all() -> Iterator[None]:
    """When the block fails, the job's other processes are ended: they would wait for this one for ever."""
    try:
        yield
    except BaseException as error:
        code = error.code if isinstance(error, SystemExit) else 1
        if code and isinstance(_job, Processes):
            if not isinstance(error, SystemExit):
                traceback.print_exc()
            end_all(code)
        raise


def end_all(code: Any) -> None:
    """End all processes of the job with this exit code, if there is more than this one."""
    if isinstance(_job, Processes):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        time.sleep(0.2)  # what was written is passed on by another process, which Abort ends as well
        _job.comm.Abort(code)
