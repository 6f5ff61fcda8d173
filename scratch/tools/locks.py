"""One run at a time in a folder: a second one would mix its files with those of the first.

    claim("runs/alice", ["weights.npz"])     # raises ScratchError if another process has a run there

A claim is a lock on the file `.lock` in the folder. The operating system releases it however the process ends, so a
killed run does not block the next one, and the file itself may stay.

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
        os.lseek(descriptor, 2**30, os.SEEK_SET)  # beyond the text, because Windows blocks reads of locked bytes
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # one byte, without waiting
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_claimed: dict[Path, int] = {}  # the files that this process has locked, and keeps open until it ends


def claim(folder: str | Path, names: Iterable[str], prefix: str = "") -> None:
    """Make this process the only one that writes the files `names` in `folder`, which exists, until it ends.

    Unfinished temporary files left by a killed process are removed. Runs with different file-name prefixes may share a
    folder. Where several processes share a batch, only the one that writes makes the claim.
    Raises: ScratchError, naming the other process, if that process has claimed the folder.
    """
    place = Path(os.path.realpath(folder)) / f".{prefix}lock"
    if not may_write() or not (_is_held(place) or _locked(place, folder)):
        return
    for name in names:  # nobody else may write these now, so they are leftovers, even if the process id was reused
        for unfinished in place.parent.glob(f".{glob.escape(name)}.*.unfinished"):
            unfinished.unlink(missing_ok=True)


def _is_held(place: Path) -> bool:
    """Whether this process has locked the file that is at `place` now: the folder may have been made anew."""
    try:
        return os.path.samestat(os.fstat(_claimed[place]), os.stat(place))
    except (KeyError, FileNotFoundError):
        return False


def _locked(place: Path, folder: str | Path) -> bool:
    """Lock the file `place` and record this process in it; where locks are unsupported, warn and return False."""
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(descriptor)
    except (BlockingIOError, PermissionError):
        other = os.read(descriptor, 200).decode("utf-8", "replace").strip() or "another process"
        os.close(descriptor)
        raise ScratchError(f"{folder}: in use by {other}; wait until it ends, or choose another folder") from None
    except OSError as error:  # some network file systems have no locks
        os.close(descriptor)
        print(f"{folder}: cannot be locked ({error.strerror or error}); do not start a second run in this folder")
        return False
    _claimed[place] = descriptor
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return True
