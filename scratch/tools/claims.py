"""One run at a time in a folder: a second one would mix its files with those of the first.

    claim("runs/alice", ["weights.npz"])     # raises ScratchError if a run of another process is going on there

A claim is a lock on the file `.lock` in the folder. The operating system drops it when the process ends, however it
ends; so a run that was killed leaves nothing that would keep others out, and the file itself may stay.

Read next: `datasets.py`.
"""

import glob
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from scratch.checks import ScratchError
from scratch.tools.files import may_write

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 2**30, os.SEEK_SET)  # not the text, since Windows lets nobody read what is locked
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_claimed: set[Path] = set()  # the files that this process has locked, and keeps open until it ends


def claim(folder: str | Path, names: Iterable[str], prefix: str = "") -> None:
    """Make this process the only one that writes the files `names` in `folder`, which exists, until it ends.

    What a killed process left of an unfinished write of one of them is removed. Runs whose names have different
    prefixes may share a folder. Of several processes that share a batch, the one that writes makes the claim.
    Raises: ScratchError, naming the other process, when that has claimed the folder.
    """
    place = Path(os.path.realpath(folder)) / f".{prefix}lock"
    if not may_write() or place in _claimed:
        return
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError):
        other = os.read(descriptor, 200).decode("utf-8", "replace").strip() or "another process"
        os.close(descriptor)
        raise ScratchError(f"{folder}: {other} has a run there; wait for its end, or choose another folder") from None
    except OSError as error:  # some network file systems have no locks
        os.close(descriptor)
        print(f"{folder}: cannot be locked ({error.strerror or error}); do not start a second run there")
        return
    _claimed.add(place)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    for name in names:  # nobody else may write them now, so these are leftovers, whatever process has their number
        for unfinished in place.parent.glob(f".{glob.escape(name)}.*.unfinished"):
            unfinished.unlink(missing_ok=True)
