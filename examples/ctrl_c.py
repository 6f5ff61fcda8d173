"""The first import of every program: from here on, Ctrl-C ends it with one line and exit code 130.

The libraries that a program imports next take up to a second. Then `program.run` does the same, and cleans up.
"""

import os
import signal
import sys


def stop(number: int, frame: object) -> None:
    try:
        name = os.path.splitext(os.path.basename(os.path.normpath(sys.argv[0])))[0]
        print(f"{name}: stopped", file=sys.stderr)
    finally:
        os._exit(130)  # an exception might be lost in the library that is being imported


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is ignored after `nohup`, or `&` in a script
    signal.signal(signal.SIGINT, stop)
