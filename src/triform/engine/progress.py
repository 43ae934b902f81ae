"""The bar that shows loss, speed and time left; silent where nobody watches."""

import sys
from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm


class Progress:
    """One bar for the whole run.

    Args:
        total: Steps of the run; 0 where nobody can say.
        done: Steps done already.
        show: Whether to show it at all; it also stays away where standard error is no terminal.
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
        """One step more; numbers where there are new ones."""
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
        """Take the bar away."""
        self._bar.close()
