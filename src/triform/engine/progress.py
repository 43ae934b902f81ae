"""Progress of a training: a bar on a terminal, a line per minute elsewhere."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from triform.base.logging import NOTICE, get_logger

logger = get_logger(__name__)

SECONDS_BETWEEN_LINES = 60


class Progress:
    """Progress of the whole run.

    Args:
        total: Steps of the run; 0 if unknown.
        done: Steps already done.
        show: Whether to show it.
    """

    def __init__(self, total: int, done: int = 0, *, show: bool = True):
        is_terminal = sys.stderr.isatty()
        self._bar: tqdm[object] = tqdm(
            total=total or None,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            leave=False,
            smoothing=0.1,
            disable=not (show and is_terminal),
            file=sys.stderr,
        )
        self._writes_lines = show and not is_terminal
        self._total, self._first, self._done = total, done, done
        self._started = self._last_line = time.monotonic()
        self._loss = ""

    def step(self, epoch: int, values: Mapping[str, float] | None = None) -> None:
        """Advance by one step, with new values if there are any."""
        self._done += 1
        if values is not None:
            loss = {name: f"{value:.4g}" for name, value in values.items() if name == "loss"}
            self._bar.set_postfix({"epoch": epoch + 1, **loss}, refresh=False)
            self._loss = loss.get("loss", "")
        self._bar.update()
        now = time.monotonic()
        if self._writes_lines and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            logger.log(NOTICE, "%s", self._line(epoch, now - self._started))

    def _line(self, epoch: int, seconds: float) -> str:
        """Epoch, step, loss and remaining time."""
        parts = [
            f"epoch {epoch + 1}",
            f"step {self._done}" + f" of {self._total}" * bool(self._total),
        ]
        parts += [f"loss {self._loss}"] if self._loss else []
        if self._total:
            left = seconds / (self._done - self._first) * (self._total - self._done) / 60
            parts.append(f"about {left:.0f} min left" if left >= 1 else "less than a minute left")
        return ", ".join(parts)

    def __enter__(self) -> "Progress":
        """Show the bar."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()
