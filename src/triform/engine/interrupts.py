"""Ctrl-C and polite termination: finish the step, save, then stop."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from triform.base.logging import get_logger

logger = get_logger(__name__)


class Interrupts:
    """Turns the first Ctrl-C (or SIGTERM) into a wish that the loop reads between two steps.

    A second one stops at once. Outside the main thread, where Python allows no handlers, nothing
    is changed.

    Attributes:
        wanted: Whether somebody wants training to stop.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True
        logger.info("stopping after this step; once more to stop at once")

    def __enter__(self) -> "Interrupts":
        """Take over."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hand back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
