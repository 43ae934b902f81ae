"""CSV files that no spreadsheet runs and no reader stumbles over."""

import csv
import io

import pytest

from triform.base.csv_file import csv_text


@pytest.mark.parametrize(
    "text",
    ["=1+1", "=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", " =1", "\t=1", "|x", "%x"],
)
def test_a_report_holds_no_formula(text: str) -> None:
    (cell,) = next(csv.reader([csv_text([[text]], report=True)]))
    assert cell == "'" + text.replace("\t", " ")
    assert csv_text([[text]], report=False) == csv_text([[text.replace("\t", " ")]], report=False)


@pytest.mark.parametrize("text", ["-1", "+1.5", "-.5e-3", "1", "a = b", "стул", "", "-inf"])
def test_what_is_no_formula_stays(text: str) -> None:
    (cell,) = next(csv.reader([csv_text([[text]], report=True)]), [""])
    assert cell == text


@pytest.mark.parametrize("report", [True, False])
def test_a_record_is_a_line(report: bool) -> None:
    """Whatever breaks lines becomes a space, whatever cannot be seen an escape."""
    rows = [["a\r\nb\u2028c\x85d\x0be", 'say "no", then\x1b[2J\u202e'], [1, 2.5]]
    text = csv_text(rows, report=report)
    assert text.splitlines() == ['a b c d e,"say ""no"", then\\x1b[2J\\u202e"', "1,2.5"]
    assert list(csv.reader(io.StringIO(text))) == [
        ["a b c d e", 'say "no", then\\x1b[2J\\u202e'],
        ["1", "2.5"],
    ]
