"""Texts in charts as they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def as_written(figure: Figure) -> None:
    """Have every text of a finished figure drawn letter by letter.

    matplotlib takes what stands between two `$` for a formula, and fails where it is none.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
