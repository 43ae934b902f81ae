"""Progress bar with loss, speed and remaining time; hidden without a terminal."""

import sys
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm


class Progress:
    """Progress bar of the whole run.

    Args:
        total: Steps of the run; 0 if unknown.
        done: Steps already done.
        show: Whether to show it; it is always hidden if standard error is no terminal.
    """

    def __init__(self, total: int, done: int = 0, *, show: bool = True):
        self._bar: tqdm[object] = tqdm(
            total=total or None,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            leave=False,
            smoothing=0.1,
            disable=not (show and sys.stderr.isatty()),
            file=sys.stderr,
        )

    def step(self, epoch: int, values: Mapping[str, float] | None = None) -> None:
        """Advance by one step, with new values if there are any."""
        if values is not None:
            loss = {name: f"{value:.4g}" for name, value in values.items() if name == "loss"}
            self._bar.set_postfix({"epoch": epoch + 1, **loss}, refresh=False)
        self._bar.update()

    def __enter__(self) -> "Progress":
        """Show the bar."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self._bar.close()
