"""Literal text in matplotlib charts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def disable_math_text(figure: "Figure") -> None:
    """Have every text of a finished figure drawn literally.

    matplotlib parses text between two `$` as a formula, and fails if it is none.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
