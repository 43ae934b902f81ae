"""The rows of an exact gallery in a private SQLite database: ids, groups, words, records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from triform.search.segments import SegmentRow

ROWS_SCHEMA = """
CREATE TABLE groups (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, words TEXT NOT NULL
);
CREATE TABLE rows (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, grp INTEGER NOT NULL, record TEXT NOT NULL
);
"""
# CROSS JOIN walks the tables in this order, so that rows come as they lie, never sorted first.
ALL_ROWS = (
    "SELECT n, id, grp, name, words, record FROM rows CROSS JOIN groups ON number = grp ORDER BY n"
)
_ADDED_ROWS = (
    "SELECT id, name, words, record FROM rows CROSS JOIN groups ON number = grp "
    "WHERE n >= ? ORDER BY n"
)

Row = tuple[int, str, int, str, str, str]
"""Number, id, number of its group, name and words of the group, record as JSON."""


def private_database() -> sqlite3.Connection:
    """Empty tables in a private file that SQLite removes itself: they take the disk, not memory."""
    rows = sqlite3.connect("", check_same_thread=False, isolation_level=None, uri=True)
    rows.executescript(ROWS_SCHEMA)
    return rows


def read_only_uri(path: Path) -> str:
    """SQLite's address of a file that is not changed, and beside which no journal is read."""
    return f"{path.absolute().as_uri()}?mode=ro&immutable=1"


def copy_tables(rows: sqlite3.Connection, source: sqlite3.Connection) -> None:
    """Copy the tables of a file, whose schema, indexes and rows were checked, page by page."""
    source.backup(rows)
    for table in ("facts", "chunks"):
        rows.execute(f"DROP TABLE IF EXISTS {table}")


def write_tables(rows: sqlite3.Connection, target: sqlite3.Connection) -> Iterator[Row]:
    """Copy the tables into empty ones of another database; yields the rows on the way."""
    groups = rows.execute("SELECT number, name, words FROM groups ORDER BY number")
    target.executemany("INSERT INTO groups VALUES (?, ?, ?)", groups)
    for row in rows.execute(ALL_ROWS):
        n, identity, number, _, _, text = row
        target.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (n, identity, number, text))
        yield row


def add_segment_rows(
    rows: sqlite3.Connection, first: int, added: Sequence[SegmentRow]
) -> list[int]:
    """Insert the rows of a segment from number `first` on; returns the numbers of their groups.

    Raises:
        sqlite3.IntegrityError: An id is there already.
    """
    rows.execute("BEGIN")
    numbers = group_numbers(rows, [group for _, group, _, _ in added])
    words = {number: row[2] for number, row in zip(numbers, added, strict=True)}
    rows.executemany("UPDATE groups SET words = ? WHERE number = ?", _swapped(words.items()))
    rows.executemany(
        "INSERT INTO rows VALUES (?, ?, ?, ?)",
        (
            (first + n, row[0], number, row[3])
            for n, (number, row) in enumerate(zip(numbers, added, strict=True))
        ),
    )
    rows.execute("COMMIT")
    return numbers


def _swapped(pairs: Iterable[tuple[int, str]]) -> Iterator[tuple[str, int]]:
    return ((text, number) for number, text in pairs)


def segment_rows(rows: sqlite3.Connection, first: int) -> list[SegmentRow]:
    """The rows of a segment of all from number `first` on."""
    return rows.execute(_ADDED_ROWS, (first,)).fetchall()


def group_numbers(rows: sqlite3.Connection, names: Sequence[str]) -> list[int]:
    """Numbers of groups; new groups get the next ones."""
    distinct = [(name,) for name in dict.fromkeys(names)]
    rows.executemany("INSERT OR IGNORE INTO groups (name, words) VALUES (?, '')", distinct)
    find = "SELECT number FROM groups WHERE name = ?"
    numbers = {name: rows.execute(find, (name,)).fetchone()[0] for (name,) in distinct}
    return [numbers[name] for name in names]


def remove_groups(
    rows: sqlite3.Connection, groups: Sequence[int], moves: Iterable[tuple[int, int]]
) -> None:
    """Remove groups with their rows, then give rows other numbers.

    Args:
        rows: The tables.
        groups: Numbers.
        moves: New and old numbers of rows, ascending: a number only moves to a smaller one that
            is free by then.
    """
    rows.execute("BEGIN")
    rows.execute("CREATE TEMP TABLE removed_groups (number INTEGER PRIMARY KEY)")
    rows.executemany("INSERT INTO removed_groups VALUES (?)", [(one,) for one in groups])
    for table, column in (("rows", "grp"), ("groups", "number")):
        rows.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT number FROM removed_groups)")
    rows.execute("DROP TABLE removed_groups")
    rows.executemany("UPDATE rows SET n = ? WHERE n = ?", moves)
    rows.execute("COMMIT")
