"""Entries of the page History: results of the server and of commands, and training runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triform.web.record import Record

HISTORY_FIELDS = {
    *("id", "state", "system", "verb", "page", "title"),
    *("created", "thumbnail", "seed", "run", "origin"),
}
"""What a page shows of a record before it is opened."""


def matching_entries(
    records: Sequence[Record], runs: Sequence[dict[str, Any]], text: str = ""
) -> list[Record | dict[str, Any]]:
    """Records and runs with a text, the newest first; a run that has a record is left out.

    Args:
        records: Results of the server and of the command line.
        runs: Training runs, as `RunList.all` gives them.
        text: A part of the title, the system or the verb; empty for all.
    """
    part = text.lower()
    entries: list[tuple[float, Record | dict[str, Any]]] = [
        (record.created, record)
        for record in records
        if part in f"{record.title} {record.system} {record.verb}".lower()
    ]
    with_records = {record.run for record in records}
    entries += [
        (run["created"], {**run, "kind": "run"})
        for run in runs
        if run["name"] not in with_records and part in run["name"].lower()
    ]
    return [entry for _, entry in sorted(entries, key=lambda entry: -entry[0])]
