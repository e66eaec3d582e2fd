"""How this process uses memory."""

import atexit
import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next tensor; elsewhere nothing happens.

    By default it returns blocks above 32 MiB to the system at once, and each page of the next one costs a fault, which
    slows training on a CPU down where images are large.
    """
    if not sys.platform.startswith("linux"):
        return
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)
    if adjust is not None:  # musl has none
        adjust(_M_MMAP_THRESHOLD, 2**30)
        adjust(_M_TRIM_THRESHOLD, 2**31 - 1)


def leave_without_collecting() -> None:
    """When the process ends, do not look for cycles of dead objects once more.

    Libraries make some hundred thousand objects that live as long as the process. Visiting all of them takes a fifth of
    what a command needs to start and leave.
    """
    atexit.register(gc.freeze)  # frozen objects are not visited
