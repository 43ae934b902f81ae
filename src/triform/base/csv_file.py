"""Write CSV: one line per record, no formulas that a spreadsheet would run.

Two kinds are written. *Reports* are for people, who open them in a spreadsheet: a cell that begins
like a formula gets an apostrophe in front, as spreadsheets themselves mark text. *Data* (captions,
submissions) are read back by programs, so that their text stays as it is but for line breaks,
which become spaces, and characters that cannot be seen, which are escaped.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from triform.base.printable import printable

_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_FORMULA = re.compile(r"\s*[=+\-@\t\r|%]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")


def csv_text(rows: Iterable[Sequence[Any]], *, report: bool) -> str:
    """Format rows as CSV with plain line ends, one line each.

    Args:
        rows: Cells; other values than strings are written as Python writes them.
        report: For people: text that begins like a formula gets an apostrophe in front.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(value, report=report) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any, *, report: bool) -> Any:
    """A cell without control characters and, in a report, without a formula."""
    if not isinstance(value, str):
        return value
    value = printable(_BREAKS.sub(" ", value))
    is_formula = report and _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value
