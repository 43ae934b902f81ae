"""Progress of an index run: a bar on a terminal, a line per minute elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from triform.base.logging import NOTICE, get_logger

logger = get_logger(__name__)

SECONDS_BETWEEN_LINES = 60.0


class FileProgress:
    """Files done, speed, and time left."""

    def __init__(self, total: int):
        is_terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            desc="photos",
            unit="file",
            dynamic_ncols=True,
            leave=False,
            smoothing=0.05,
            disable=not is_terminal,
        )
        self._total, self._done, self._writes_lines = total, 0, not is_terminal
        self._started = self._last_line = time.monotonic()

    def add(self, count: int, failed: int) -> None:
        """More files are done; `failed` of all cannot be read."""
        self._done += count
        if failed:
            self._bar.set_postfix(unreadable=failed, refresh=False)
        self._bar.update(count)
        now = time.monotonic()
        if self._writes_lines and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            logger.log(NOTICE, "%s", self._line(now - self._started, failed))

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _line(self, seconds: float, failed: int) -> str:
        speed = self._done / seconds
        left = (self._total - self._done) / speed
        wait = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        unreadable = f", {failed} unreadable" * bool(failed)
        return (
            f"{self._done} of {self._total} files, {speed:.1f} per second, about {wait} left"
            f"{unreadable}"
        )
