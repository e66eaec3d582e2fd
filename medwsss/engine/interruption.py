"""Ctrl-C between iterations: a run stops where its state is whole."""

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType


class Interruption(AbstractContextManager["Interruption"]):
    """The first Ctrl-C only sets ``requested``; a second one interrupts at once, as usual."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> "Interruption":
        self._previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
