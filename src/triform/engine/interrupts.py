"""Handle Ctrl-C and SIGTERM: finish the step, save, then stop."""

import signal
import threading
import time
from types import FrameType
from typing import Any

from triform.base.errors import Terminated
from triform.base.logging import get_logger
from triform.engine.processes import process_count

logger = get_logger(__name__)

FORWARD_SECONDS = 2.0
"""With several processes, a second signal within this time is the first one once more."""


class Interrupts:
    """Signal handler that records the first Ctrl-C or SIGTERM for the loop to read.

    A second one stops at once. Outside the main thread, where Python allows no handlers, nothing
    changes.

    Attributes:
        requested: Whether a stop was requested.
        error: What to raise for it: KeyboardInterrupt, or Terminated for SIGTERM.
    """

    def __init__(self) -> None:
        self.requested = False
        self.error: type[KeyboardInterrupt] = KeyboardInterrupt
        self._first = 0.0
        self._previous: dict[signal.Signals, Any] = {}

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        # A launcher passes on the Ctrl-C that the terminal has sent to everybody already.
        if self.requested and process_count() > 1 and now - self._first < FORWARD_SECONDS:
            return
        self.error = Terminated if signal_number == signal.SIGTERM else KeyboardInterrupt
        if self.requested:
            raise self.error
        self.requested, self._first = True, now
        logger.info("stopping after this step; once more to stop at once")

    def __enter__(self) -> "Interrupts":
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            for signal_number in (signal.SIGINT, signal.SIGTERM):
                self._previous[signal_number] = signal.signal(signal_number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous handlers."""
        for signal_number, handler in self._previous.items():
            signal.signal(signal_number, handler)
