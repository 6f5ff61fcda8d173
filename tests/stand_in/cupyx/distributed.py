"""A group of devices that send to each other; here by MPI, as it was started with."""

import cupy


def init_process_group(n_devices, rank, *, use_mpi):
    from mpi4py import MPI

    assert use_mpi and (n_devices, rank) == (MPI.COMM_WORLD.Get_size(), MPI.COMM_WORLD.Get_rank())
    return Group(MPI)


class Group:
    def __init__(self, mpi):
        self.mpi = mpi

    def all_reduce(self, in_array, out_array, op="sum"):
        assert op == "sum" and in_array.flags.c_contiguous and out_array.flags.c_contiguous
        total = cupy.asnumpy(in_array)
        self.mpi.COMM_WORLD.Allreduce(self.mpi.IN_PLACE, total)
        out_array[...] = cupy.asarray(total)
