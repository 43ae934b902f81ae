"""Progress bars of the verbs as events.

All verbs show their progress by tqdm, which shows nothing where there is no terminal. In the
worker its class is replaced, before a system is imported, by one that reports instead of drawing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import tqdm as tqdm_package

Report = Callable[[float, float | None, str], None]
SECONDS_BETWEEN_REPORTS = 0.2


def report_bars(report: Report) -> None:
    """Let every bar that is created from now on report (done, total or None, description)."""

    class ReportingBar(tqdm_package.tqdm):  # type: ignore[misc]
        """A bar that draws nothing."""

        def __init__(self, *args: Any, **kwargs: Any):
            kwargs |= {"disable": False, "file": _NOWHERE, "mininterval": 0, "miniters": 1}
            self._last_report = 0.0
            super().__init__(*args, **kwargs)

        def update(self, n: float | None = 1) -> bool | None:
            """Advance, and report unless that was done a moment ago."""
            self.n += n or 0
            now = time.monotonic()
            if now - self._last_report > SECONDS_BETWEEN_REPORTS:
                self._last_report = now
                report(self.n, self.total, self.desc.removesuffix(": "))
            return None

        def __iter__(self) -> Any:
            """Iterate, and report."""
            for value in self.iterable:
                yield value
                self.update()

        def display(self, *args: Any, **kwargs: Any) -> bool:
            """Draw nothing."""
            return True

    tqdm_package.tqdm = ReportingBar


_NOWHERE = open(os.devnull, "w")  # noqa: SIM115
