"""The exact gallery: every vector is compared, records lie in SQLite, one file holds all of it."""

from __future__ import annotations

import sqlite3
import threading
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.search import gallery_file
from triform.search.blocks import Blocks, Rows
from triform.search.gallery import (
    Aggregate,
    Hit,
    Record,
    Vectors,
    Where,
    check_encoder,
    check_k,
    check_rows,
    check_where,
    unit_vectors,
)

CACHED_FILTERS = 16
QUERY_BATCH = 64
"""Queries at a time, so that their similarities to every group need little memory."""


class ExactGallery:
    """Vectors in memory, records on the disk, answers without approximation.

    Nothing is in the file before `save`, which replaces the file as a whole: whoever is killed
    while saving leaves the old one.

    Attributes:
        encoder: Who made the vectors.
        dim: Width of a vector; 0 before the first.
        place: Name of the file, for messages.
    """

    def __init__(self, *, encoder: str, dim: int = 0, path: Path | None = None) -> None:
        """An empty gallery that `save` writes to `path`."""
        self.encoder = encoder
        self.dim = dim
        self.path = path
        self.place = str(path) if path is not None else "gallery"
        # Of the file that was read or written last; a new gallery may replace what is there.
        self._version = gallery_file.version(path) if path is not None else ""
        self._lock = threading.RLock()
        self._blocks = Blocks(dim)
        self._group_of = array("i")
        # Both are found out when they are asked for, and forgotten when rows change.
        self._filters: dict[str, Rows] = {}
        self._counted: tuple[NDArray[np.int32], int] | None = None
        # A private file that SQLite removes itself: records take the disk, not the memory.
        self._rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._rows.executescript(gallery_file.ROWS_SCHEMA)

    @classmethod
    def open(cls, path: Path) -> ExactGallery:
        """Read a saved gallery.

        Raises:
            UserError: No such file, not a gallery, or damaged.
        """
        version = gallery_file.version(path)
        with gallery_file.reading(path) as (facts, rows, chunks):
            gallery = cls(encoder=facts.encoder, dim=facts.dim, path=path)
            gallery._version = version
            gallery._take(rows)
            for vectors in chunks:
                gallery._blocks.append(vectors)
            if not len(gallery._group_of) == gallery._blocks.count == facts.count:
                raise UserError(f"{path}: damaged: rows are missing; build the gallery anew")
        return gallery

    def _take(self, rows: Any) -> None:
        """Put (n, id, group number, group name, record) into the own table."""
        self._rows.execute("BEGIN")
        for n, identity, number, name, record in rows:
            self._rows.execute("INSERT OR IGNORE INTO groups VALUES (?, ?)", (number, name))
            self._rows.execute(
                "INSERT INTO rows VALUES (?, ?, ?, ?)", (n, identity, number, record)
            )
            self._group_of.append(number)
        self._rows.execute("COMMIT")

    def __len__(self) -> int:
        return self._blocks.count

    def add(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Mapping[str, Any]],
        *,
        encoder: str,
        groups: Sequence[str] | None = None,
    ) -> None:
        """Add vectors, all of them or none (see `Gallery.add`)."""
        check_encoder(self.encoder, encoder, self.place)
        names = ids if groups is None else groups
        texts = check_rows(ids, names, records, len(vectors), self.place)
        if not ids:
            return
        rows = unit_vectors(vectors, ids, self.dim, self.place)
        if rows.shape[1] > gallery_file.LARGEST_DIM:
            raise UserError(
                f"{self.place}: vectors of {rows.shape[1]} numbers; "
                f"an exact gallery holds up to {gallery_file.LARGEST_DIM}"
            )
        with self._lock:
            first = self._blocks.count
            if not self.dim:
                self.dim, self._blocks = rows.shape[1], Blocks(rows.shape[1])
            self._rows.execute("BEGIN")
            try:
                numbers = self._number(names)
                self._rows.executemany(
                    "INSERT INTO rows VALUES (?, ?, ?, ?)",
                    zip(range(first, first + len(ids)), ids, numbers, texts, strict=True),
                )
                self._blocks.append(rows)
            except BaseException as error:
                self._rows.execute("ROLLBACK")
                self._blocks.shorten(first)
                if isinstance(error, sqlite3.IntegrityError):
                    raise UserError(f"{self.place}: {self._known(ids)}") from None
                raise
            self._rows.execute("COMMIT")
            self._group_of.extend(numbers)
            self._forget()

    def _forget(self) -> None:
        """Rows have changed: what was found out about them no longer holds."""
        self._filters.clear()
        self._counted = None

    def _number(self, names: Sequence[str]) -> list[int]:
        """Numbers of groups, given out as they come."""
        distinct = [(name,) for name in dict.fromkeys(names)]
        self._rows.executemany("INSERT OR IGNORE INTO groups (name) VALUES (?)", distinct)
        find = "SELECT number FROM groups WHERE name = ?"
        known = {name: self._rows.execute(find, (name,)).fetchone()[0] for (name,) in distinct}
        return [known[name] for name in names]

    def _known(self, ids: Sequence[str]) -> str:
        """Which of the ids is there already."""
        find = "SELECT 1 FROM rows WHERE id = ?"
        twice = next((one for one in ids if self._rows.execute(find, (one,)).fetchone()), ids[0])
        return f"the id {twice!r} is in the gallery already; remove it first"

    def remove(self, groups: Sequence[str]) -> int:
        """Remove every vector of these groups; says how many vectors that were."""
        with self._lock:
            find = "SELECT number FROM groups WHERE name = ?"
            found = [self._rows.execute(find, (name,)).fetchone() for name in set(groups)]
            gone = [row[0] for row in found if row is not None]
            numbers = np.array(self._group_of, dtype=np.int32)
            kept = np.flatnonzero(~np.isin(numbers, gone))
            if len(kept) == len(self):
                return 0
            removed = len(self) - len(kept)
            self._rows.execute("BEGIN")
            self._rows.execute("CREATE TEMP TABLE gone (number INTEGER PRIMARY KEY)")
            self._rows.executemany("INSERT INTO gone VALUES (?)", [(one,) for one in gone])
            for table, column in (("rows", "grp"), ("groups", "number")):
                self._rows.execute(
                    f"DELETE FROM {table} WHERE {column} IN (SELECT number FROM gone)"
                )
            self._rows.execute("DROP TABLE gone")
            # Ascending, a number only moves to a smaller one that is free by then.
            self._rows.executemany(
                "UPDATE rows SET n = ? WHERE n = ?",
                ((new, int(old)) for new, old in enumerate(kept) if new != old),
            )
            self._rows.execute("COMMIT")
            self._blocks.keep(kept)
            self._group_of = array("i", numbers[kept].tobytes())
            self._forget()
            return removed

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        encoder: str,
        where: Where | None = None,
        aggregate: Aggregate = "max",
    ) -> list[list[Hit]]:
        """The k most similar groups of each query, exactly (see `Gallery.search`)."""
        check_encoder(self.encoder, encoder, self.place)
        check_k(k, len(self), self.place)
        rows = unit_vectors(queries, None, self.dim, self.place)
        with self._lock:
            allowed = self._allowed(check_where(where, self.place))
            count = len(self) if allowed is None else len(allowed)
            if count == 0:
                return [[] for _ in rows]
            numbers, largest = self._groups()
            # The best rows of the k best groups are among so many best rows, whatever they are.
            enough = (k - 1) * largest + 1
            if aggregate == "max" and enough <= max(count // 8, 256):
                similarities, places = self._blocks.search(rows, min(enough, count), allowed)
                answers = [
                    _first_of_each_group(s, p, numbers, k)
                    for s, p in zip(similarities, places, strict=True)
                ]
            else:
                answers = self._compare_all(rows, k, numbers, allowed, aggregate)
            return self._hits(answers)

    def _groups(self) -> tuple[NDArray[np.int32], int]:
        """The number of the group of every row, and the size of the largest group."""
        if self._counted is None:
            numbers = np.array(self._group_of, dtype=np.int32)
            self._counted = numbers, int(np.bincount(numbers).max())
        return self._counted

    def _compare_all(
        self,
        queries: Vectors,
        k: int,
        numbers: NDArray[np.int32],
        allowed: Rows | None,
        aggregate: Aggregate,
    ) -> list[list[tuple[float, int]]]:
        """(similarity, row) of the best k groups by the similarities to all of their rows."""
        names, dense = np.unique(numbers, return_inverse=True)
        groups = dense.astype(np.int32)
        if allowed is not None:
            groups = np.full(len(numbers), -1, dtype=np.int32)
            groups[allowed] = dense[allowed]
        answers = []
        for start in range(0, len(queries), QUERY_BATCH):
            some = queries[start : start + QUERY_BATCH]
            similarities = self._blocks.reduce(some, groups, len(names), aggregate)
            for query, each in zip(some, similarities, strict=True):
                order = np.argsort(-each, kind="stable")[:k]
                order = order[np.isfinite(each[order])]
                answers.append(
                    [(float(each[g]), self._best_row(query, groups, g, aggregate)) for g in order]
                )
        return answers

    def _best_row(
        self, query: Vectors, groups: NDArray[np.int32], group: int, aggregate: Aggregate
    ) -> int:
        """The row that stands for a group: its most similar one, or its first."""
        rows = np.flatnonzero(groups == group)
        if aggregate == "mean" or len(rows) == 1:
            return int(rows[0])
        return int(self._blocks.search(query[None], 1, rows)[1][0, 0])

    def _allowed(self, wanted: Mapping[str, list[Any]]) -> Rows | None:
        """The rows whose records have what is wanted, ascending; None for all."""
        if not wanted:
            return None
        key = repr(sorted(wanted.items()))
        if key not in self._filters:
            found = self._select("n", wanted)
            if len(self._filters) >= CACHED_FILTERS:
                self._forget()
            self._filters[key] = np.fromiter((row[0] for row in found), dtype=np.int64)
        return self._filters[key]

    def _select(self, columns: str, wanted: Mapping[str, list[Any]]) -> sqlite3.Cursor:
        """Columns of the rows whose records have what is wanted."""
        tests, values = ["1"], []
        for field, choices in wanted.items():
            marks = ", ".join("?" * len(choices))
            # A stranger's record may be no JSON, which SQLite takes for an error of the query.
            tests.append(
                f"CASE WHEN json_valid(record) THEN json_extract(record, ?) IN ({marks}) END"
            )
            values += [f'$."{field}"', *choices]
        return self._rows.execute(
            f"SELECT {columns} FROM rows WHERE {' AND '.join(tests)} ORDER BY n", values
        )

    def _hits(self, answers: list[list[tuple[float, int]]]) -> list[list[Hit]]:
        """Answers with the ids and records of their rows."""
        read = (
            "SELECT rows.id, groups.name, record FROM rows "
            "JOIN groups ON groups.number = rows.grp WHERE n = ?"
        )
        hits = []
        for answer in answers:
            found = [(s, *self._rows.execute(read, (row,)).fetchone()) for s, row in answer]
            hits.append(
                [
                    Hit(name, s, gallery_file.record(text, self.place), one)
                    for s, one, name, text in found
                ]
            )
        return hits

    def records(self, where: Where | None = None, *, limit: int = 0) -> dict[str, Record]:
        """Vector id -> record, of all vectors that have what is wanted, or of so many of them."""
        with self._lock:
            cursor = self._select("id, record", check_where(where, self.place))
            found = cursor.fetchmany(limit) if limit else cursor.fetchall()
        return {identity: gallery_file.record(text, self.place) for identity, text in found}

    def get(self, ids: Sequence[str]) -> dict[str, Record]:
        """Vector id -> record, of those of these vectors that are there."""
        read = "SELECT record FROM rows WHERE id = ?"
        with self._lock:
            found = {one: self._rows.execute(read, (one,)).fetchone() for one in ids}
        return {
            one: gallery_file.record(row[0], self.place)
            for one, row in found.items()
            if row is not None
        }

    def save(self, path: str | Path | None = None) -> None:
        """Write the file anew, whole or not at all.

        Raises:
            UserError: It was never said where to, or another process has changed the file since
                it was read: what that one added would be lost.
        """
        target = Path(path) if path is not None else self.path
        if target is None:
            raise UserError("gallery: say where to save it")
        with self._lock:
            facts = gallery_file.Facts(self.encoder, self.dim, len(self))
            with gallery_file.writing(target):
                if target == self.path and gallery_file.version(target) not in ("", self._version):
                    raise UserError(
                        f"{target}: another process has changed it since it was opened here; "
                        "nothing was saved, run the command again"
                    )
                gallery_file.write(target, facts, self._rows, self._blocks.blocks())
                self._version = gallery_file.version(target)
            self.path, self.place = target, str(target)

    def close(self) -> None:
        """Let go of the memory and of the private file."""
        self._rows.close()
        self._blocks = Blocks(self.dim)


def _first_of_each_group(
    similarities: Vectors, rows: Rows, numbers: NDArray[np.int32], k: int
) -> list[tuple[float, int]]:
    """(similarity, row) of the first row of each group, in the order of the rows."""
    seen: dict[int, tuple[float, int]] = {}
    for similarity, row in zip(similarities.tolist(), rows.tolist(), strict=True):
        seen.setdefault(int(numbers[row]), (similarity, row))
        if len(seen) == k:
            break
    return list(seen.values())
