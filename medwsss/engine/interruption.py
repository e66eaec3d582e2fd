"""Ctrl-C, or a scheduler's SIGTERM, between iterations: a run stops where its state is whole."""

import os
import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption(AbstractContextManager["Interruption"]):
    """The first signal only sets ``requested``; a second one interrupts at once, as usual."""

    def __init__(self) -> None:
        self.requested = False
        self._owner = os.getpid()

    def __enter__(self) -> "Interruption":
        self._previous = [signal.getsignal(number) for number in _SIGNALS]
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            for number in _SIGNALS:
                signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in zip(_SIGNALS, self._previous, strict=True):
                signal.signal(number, handler)

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            self._in_worker(signal_number)
        elif self.requested:
            raise KeyboardInterrupt
        self.requested = True

    @staticmethod
    def _in_worker(signal_number: int) -> None:
        """A process forked meanwhile ends with SIGTERM as usual, and leaves Ctrl-C to who started it."""
        if signal_number == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
