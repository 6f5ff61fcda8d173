"""The first import of every program: from here on, Ctrl-C ends it with one line and exit code 130.

Importing the program's libraries takes up to a second. After that, `program.run` sets a handler that also cleans up.
"""

import os
import signal
import sys


def stop(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        name = os.path.splitext(os.path.basename(os.path.normpath(sys.argv[0])))[0]
        print(f"{name}: stopped", file=sys.stderr)
    finally:
        os._exit(130)  # an exception might be lost in the library that is being imported


interactive = sys.flags.interactive or "IPython" in sys.modules  # there Ctrl-C must not end the process
if signal.getsignal(signal.SIGINT) is signal.default_int_handler and not interactive:  # after `&`, SIGINT is ignored
    signal.signal(signal.SIGINT, stop)
