"""Measured times of jobs, and estimates by them."""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict, deque
from collections.abc import Iterable

from triform.web.record import Record

MEASUREMENTS = 20
"""Last times of a kind of job that count."""


class Durations:
    """Seconds per unit of each kind of job.

    Args:
        records: Former jobs, the newest first.
    """

    def __init__(self, records: Iterable[Record] = ()):
        self._lock = threading.Lock()
        self._seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MEASUREMENTS))
        for record in reversed(list(records)):
            if record.state == "done" and record.seconds is not None:
                self.add(f"{record.system} {record.verb}", record.seconds, record.units)

    def add(self, key: str, seconds: float, units: int) -> None:
        """Count the time of a job."""
        with self._lock:
            self._seconds[key].append(seconds / max(1, units))

    def estimate(self, key: str, units: int) -> float | None:
        """Median time of such jobs; None if there was none."""
        with self._lock:
            times = self._seconds.get(key)
            return statistics.median(times) * max(1, units) if times else None
