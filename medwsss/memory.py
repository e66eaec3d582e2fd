"""How this process uses memory."""

import atexit
import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NEW_OBJECTS_BETWEEN_COLLECTIONS = 10_000


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


def collect_garbage_seldom() -> None:
    """Look for cycles of dead objects after 10 000 new ones rather than 700, and not once more when the process ends.

    Libraries make some hundred thousand objects that live as long as the process. Python's own settings visit them over
    and over while they load, and all of them at the end: a third of the time that a command needs to start and leave.
    """
    gc.set_threshold(_NEW_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)  # frozen objects are not visited
