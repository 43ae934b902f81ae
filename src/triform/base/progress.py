"""Progress of long preparations: a bar on a terminal, a line per minute elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import TypeVar

import tqdm

from triform.base.logging import NOTICE, get_logger

logger = get_logger(__name__)

SECONDS_BETWEEN_LINES = 60.0
LINE_FORMAT = (
    "{desc}: {n_fmt} of {total_fmt} {unit}, {rate_noinv_fmt}, about {remaining} left{postfix}"
)
T = TypeVar("T")


class _LogLines:
    """A stream that logs what a bar writes."""

    def write(self, text: str) -> None:
        if line := text.strip():
            logger.log(NOTICE, "%s", line)

    def flush(self) -> None:
        """Nothing is held back."""


def progress_bar(
    iterable: Iterable[T] | None = None,
    *,
    desc: str,
    total: int | None = None,
    initial: int = 0,
    unit: str = "",
    unit_scale: bool = False,
    disable: bool = False,
) -> tqdm.tqdm[T]:
    """A bar that goes away when it is done; without a terminal, lines in the log.

    Args:
        iterable: what is iterated over; None where `update` is called.
        desc: what is done.
        total: how many there are; by default the length of the iterable.
        initial: how many were done before.
        unit: what is counted.
        unit_scale: write thousands and millions as k and M.
        disable: show nothing.
    """
    bar = partial(
        tqdm.tqdm,  # looked up when it is called: the web application replaces it
        iterable,
        desc,
        total,
        initial=initial,
        unit=unit,
        unit_scale=unit_scale,
        disable=disable,
        leave=False,
    )
    if sys.stderr.isatty():
        return bar()
    return bar(
        file=_LogLines(),
        bar_format=LINE_FORMAT,
        mininterval=SECONDS_BETWEEN_LINES,
        maxinterval=SECONDS_BETWEEN_LINES,
        miniters=1,
        delay=SECONDS_BETWEEN_LINES,
    )
