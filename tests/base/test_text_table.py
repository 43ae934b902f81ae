"""Plain data as text."""

from triform.base.text_table import format_cell, format_columns, format_table


def test_records_become_columns() -> None:
    """Every key is a column, in the order of appearance; what is missing stays empty."""
    text = format_table([{"name": "chair", "iou": 0.712345}, {"name": "table", "closed": True}])
    assert text == "name   iou     closed\nchair  0.7123\ntable          yes"


def test_a_record_becomes_lines_with_its_tables_below() -> None:
    """Tables inside a record come after its plain values."""
    text = format_table({"runs": [{"a": 1}], "folder": "x", "list": [1, 2]})
    assert text == "folder  x\nlist    1, 2\n\nruns\na\n1"


def test_cells() -> None:
    """No Python in sight."""
    assert [format_cell(value) for value in (None, False, 1e-7, {"a": [1]}, 3)] == [
        "",
        "no",
        "1e-07",
        "a=1",
        "3",
    ]
    assert format_columns([["a", "b"]]) == "a  b"


def test_every_cell_is_one_line_of_printable_text() -> None:
    """Names and values of whatever shape the answer has; a forged row stays in its cell."""
    evil, shown = "a\x1b[2J\nb  c\u202e", r"a\x1b[2J\nb  c\u202e"
    assert format_table([evil, evil]) == f"{shown}\n{shown}"
    assert format_table(evil) == shown
    assert format_table({evil: {evil: [evil]}}) == f"{shown}  {shown}={shown}"
    assert format_table([{evil: evil}]) == f"{shown}\n{shown}"
    assert format_table({evil: [{"x": evil}]}) == f"{shown}\nx\n{shown}"
    assert format_columns([[evil, "x"]]) == f"{shown}  x"


def test_a_long_list_is_cut() -> None:
    assert format_cell(list(range(10))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert format_cell(list(range(64))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 54 more"
