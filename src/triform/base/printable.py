"""Make untrusted text safe for terminals, logs and tables.

Names, ids and captions come out of files that anybody may have made. Printed as they are, an escape
sequence in one of them moves the cursor, renames the window or paints a line that this program
never wrote; a line break forges a line of a log; a bidirectional control makes `exe.jpg` look like
what it is not. Everything shown to people is escaped here; JSON stays exact.
"""

import re

# In Persian and Indic words, and in emoji of several people: they join letters, no more.
_JOINERS = "\u200c\u200d"
_SPACES = re.compile(r"[^\S\r\n\t\v\f\x1c-\x1f\x85\u2028\u2029]")


def printable(text: str, *, line_breaks: bool = False) -> str:
    r"""Escape every character that cannot be seen, as `\x1b` or `\u202e`.

    Control characters of both sets (C0 and C1), bidirectional controls, other invisible format
    characters, separators of lines and paragraphs, lone surrogates, private and unassigned code
    points are escaped; unusual spaces become plain ones.

    Args:
        text: Any text.
        line_breaks: Keep line feeds and tabs, where a text of several lines is meant.

    Returns:
        The text; the very same object where nothing had to be changed.
    """
    if text.isprintable():
        return text
    allowed = _JOINERS + "\n\t" if line_breaks else _JOINERS
    text = _SPACES.sub(" ", text)
    return "".join(c if c.isprintable() or c in allowed else _escaped(c) for c in text)


def shorten(text: str, length: int = 80) -> str:
    """The beginning of a text, at most `length` characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def shorten_middle(text: str, length: int) -> str:
    """A text of at length `length` characters: of a longer one the beginning and the end."""
    if len(text) <= length:
        return text
    tail = length // 4
    return f"{text[: length - tail - 5]} ... {text[-tail:]}"


def escape_json(text: str) -> str:
    r"""Escape unprintable characters of JSON as `\uXXXX`: the same data, safe to show."""
    return "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in text)


def _escaped(character: str) -> str:
    """One character in Python's notation."""
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    """One character in JSON's notation: two escapes beyond U+FFFF."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
