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
from triform.search.base_gallery import Aggregate, Gallery, Hit, Metric, Record, Vectors
from triform.search.blocks import Blocks, Rows
from triform.search.conditions import Conditions, sql_test
from triform.search.fusion import WordMatch
from triform.search.gallery_writer import write_gallery
from triform.search.row_table import (
    add_segment_rows,
    copy_tables,
    group_numbers,
    private_database,
    remove_groups,
    segment_rows,
)
from triform.search.segments import append_segment, can_append
from triform.search.word_index import WordIndex

CACHED_FILTERS = 16
MAX_SEGMENTS = 256
"""Saves that append; the next one writes the file anew, so that few parts have to be read."""
QUERY_BATCH = 64
"""Queries at a time, so that their similarities to every group need little memory."""


class ExactGallery(Gallery):
    """Vectors in memory, records on the disk, answers without approximation.

    Nothing is in the file before `save`, which appends what was added, or replaces the file as a
    whole: a process that is killed while saving leaves what was there.

    Attributes:
        path: The file that `save` writes; None for memory alone.
    """

    def __init__(
        self,
        *,
        encoder: str,
        dim: int = 0,
        path: Path | None = None,
        metric: Metric = "cosine",
    ) -> None:
        """An empty gallery that `save` writes to `path`."""
        self.encoder, self.dim, self.metric, self.path = encoder, dim, metric, path
        self.location = str(path) if path is not None else "gallery"
        # Of the file that was read or written last; a new gallery may replace what is there.
        self._version = gallery_file.version(path) if path is not None else ""
        self._lock = threading.RLock()
        self._blocks = Blocks(dim + self._padding if dim else 0)
        self._group_of = array("i")
        # Both are computed on demand and dropped when rows change.
        self._filters: dict[str, Rows] = {}
        self._group_sizes: tuple[NDArray[np.int32], int] | None = None
        # Where the next segment of the file begins, 0 where it has to be written whole; vectors in
        # the file, those of them that were written whole, and segments.
        self._end = self._saved = self._whole = self._segments = 0
        self._rows = private_database()
        self._words = WordIndex(self._rows)

    @classmethod
    def open(cls, path: Path) -> ExactGallery:
        """Read a saved gallery.

        Raises:
            UserError: No such file, not a gallery, or damaged.
        """
        version = gallery_file.version(path)
        with gallery_file.reading(path) as contents:
            header = contents.header
            gallery = cls(encoder=header.encoder, path=path, metric=header.metric)
            gallery.dim = max(0, header.dim - gallery._padding)
            gallery._blocks = Blocks(header.dim)
            gallery._version, gallery._end = version, contents.end
            gallery._group_of.extend(row[2] for row in contents.rows)
            copy_tables(gallery._rows, contents.database)
            for vectors in contents.vectors:
                gallery._blocks.append(vectors)
            if not len(gallery._group_of) == gallery._blocks.count == header.count:
                raise UserError(f"{path}: damaged: rows are missing; build the gallery anew")
            for segment in contents.segments:
                first = len(gallery)
                gallery._group_of.extend(add_segment_rows(gallery._rows, first, segment.rows))
                gallery._blocks.append(segment.vectors)
            gallery._whole, gallery._saved = header.count, len(gallery)
            gallery._segments = len(contents.segments)
        return gallery

    def __len__(self) -> int:
        return self._blocks.count

    def _add(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Mapping[str, Any]],
        texts: Sequence[str],
        groups: Sequence[str],
        words: Sequence[str],
    ) -> None:
        width = vectors.shape[1]
        if width > gallery_file.MAX_DIM:
            raise UserError(
                f"{self.location}: vectors of {width} numbers; "
                f"an exact gallery holds up to {gallery_file.MAX_DIM}"
            )
        with self._lock:
            first = self._blocks.count
            if not self.dim:
                self.dim, self._blocks = width - self._padding, Blocks(width)
            self._rows.execute("BEGIN")
            try:
                numbers = group_numbers(self._rows, groups)
                changed = self._words.add(numbers, words)
                self._rows.executemany(
                    "INSERT INTO rows VALUES (?, ?, ?, ?)",
                    zip(range(first, first + len(ids)), ids, numbers, texts, strict=True),
                )
                self._blocks.append(vectors)
            except BaseException as error:
                self._rows.execute("ROLLBACK")
                self._blocks.shorten(first)
                if isinstance(error, sqlite3.IntegrityError):
                    raise UserError(f"{self.location}: {self._duplicate(ids)}") from None
                raise
            self._rows.execute("COMMIT")
            self._group_of.extend(numbers)
            self._words.outdated(changed)
            self._clear_caches()

    def _clear_caches(self) -> None:
        """Drop what was computed from rows that have changed."""
        self._filters.clear()
        self._group_sizes = None

    def _duplicate(self, ids: Sequence[str]) -> str:
        """A message that names the id which is there already."""
        find = "SELECT 1 FROM rows WHERE id = ?"
        twice = next((one for one in ids if self._rows.execute(find, (one,)).fetchone()), ids[0])
        return f"the id {twice!r} is in the gallery already; remove it first"

    def remove(self, groups: Sequence[str]) -> int:
        """Remove every vector of these groups; returns the number of vectors removed."""
        with self._lock:
            find = "SELECT number FROM groups WHERE name = ?"
            found = [self._rows.execute(find, (name,)).fetchone() for name in set(groups)]
            removed_groups = [row[0] for row in found if row is not None]
            numbers = np.array(self._group_of, dtype=np.int32)
            remaining = np.flatnonzero(~np.isin(numbers, removed_groups))
            if len(remaining) == len(self):
                return 0
            removed = len(self) - len(remaining)
            moves = ((new, int(old)) for new, old in enumerate(remaining) if new != old)
            remove_groups(self._rows, removed_groups, moves)
            self._end = 0
            self._blocks.keep(remaining)
            self._group_of = array("i", numbers[remaining].tobytes())
            self._words.outdated(removed_groups)
            self._clear_caches()
            return removed

    def _search(
        self, queries: Vectors, k: int, conditions: Conditions, aggregate: Aggregate
    ) -> list[list[Hit]]:
        with self._lock:
            allowed = self._rows_that_meet(conditions)
            count = len(self) if allowed is None else len(allowed)
            if count == 0:
                return [[] for _ in queries]
            numbers, largest = self._groups()
            # The best rows of the k best groups are among `num_rows` best rows.
            num_rows = (k - 1) * largest + 1
            if aggregate == "max" and num_rows <= max(count // 8, 256):
                found = self._blocks.search(queries, min(num_rows, count), allowed)
                answers = [_first_of_each_group(*each, numbers, k) for each in found]
            else:
                answers = self._compare_all(queries, k, numbers, allowed, aggregate)
            return self._hits(answers)

    def _search_words(self, text: str, k: int, conditions: Conditions) -> dict[str, WordMatch]:
        with self._lock:
            allowed = self._rows_that_meet(conditions)
            groups = None if allowed is None else np.unique(self._groups()[0][allowed])
            return self._words.search(text, k, groups, self.location)

    def _compare(
        self, query: Vectors, groups: Sequence[str], conditions: Conditions, aggregate: Aggregate
    ) -> dict[str, Hit]:
        if not groups:
            return {}
        find = "SELECT number FROM groups WHERE name = ?"
        with self._lock:
            group_numbers = [self._rows.execute(find, (name,)).fetchone()[0] for name in groups]
            numbers, _ = self._groups()
            is_selected = np.zeros(int(numbers.max()) + 1, dtype=bool)
            is_selected[group_numbers] = True
            rows = np.flatnonzero(is_selected[numbers])
            allowed = self._rows_that_meet(conditions)
            if allowed is not None:
                rows = np.intersect1d(rows, allowed, assume_unique=True)
            similarities = self._blocks.similarities(query, rows)
            answer = []
            for number in group_numbers:
                in_group = numbers[rows] == number
                best = similarities[in_group].argmax() if aggregate == "max" else 0
                value = (
                    similarities[in_group].max()
                    if aggregate == "max"
                    else similarities[in_group].mean()
                )
                answer.append((float(value), int(rows[in_group][best])))
            return {hit.id: hit for hit in self._hits([answer])[0]}

    def _groups(self) -> tuple[NDArray[np.int32], int]:
        """The number of the group of every row, and the size of the largest group."""
        if self._group_sizes is None:
            numbers = np.array(self._group_of, dtype=np.int32)
            self._group_sizes = numbers, int(np.bincount(numbers).max())
        return self._group_sizes

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
        return int(rows[self._blocks.similarities(query, rows).argmax()])

    def _rows_that_meet(self, conditions: Conditions) -> Rows | None:
        """The rows whose records meet the conditions, ascending; None for all."""
        if not conditions:
            return None
        key = repr(sorted(conditions.items()))
        if key not in self._filters:
            found = self._select("n", conditions)
            if len(self._filters) >= CACHED_FILTERS:
                self._clear_caches()
            self._filters[key] = np.fromiter((row[0] for row in found), dtype=np.int64)
        return self._filters[key]

    def _select(self, columns: str, conditions: Conditions) -> sqlite3.Cursor:
        """Columns of the rows whose records meet the conditions."""
        test, values = sql_test(conditions)
        return self._rows.execute(f"SELECT {columns} FROM rows WHERE {test} ORDER BY n", values)

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
                    Hit(name, s, gallery_file.record(text, self.location), one)
                    for s, one, name, text in found
                ]
            )
        return hits

    def _records(self, conditions: Conditions, limit: int) -> dict[str, Record]:
        with self._lock:
            cursor = self._select("id, record", conditions)
            found = cursor.fetchmany(limit) if limit else cursor.fetchall()
        return gallery_file.all_records(dict(found), self.location)

    def get(self, ids: Sequence[str]) -> dict[str, Record]:
        """Vector id -> record, of those of these vectors that are there."""
        read = "SELECT record FROM rows WHERE id = ?"
        with self._lock:
            found = {one: self._rows.execute(read, (one,)).fetchone() for one in ids}
        return {
            one: gallery_file.record(row[0], self.location)
            for one, row in found.items()
            if row is not None
        }

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """Vectors (N, dim) with these ids, as they are stored: of length 1 for cosines.

        Raises:
            UserError: An id is not there.
        """
        read = "SELECT n FROM rows WHERE id = ?"
        with self._lock:
            found = [self._rows.execute(read, (one,)).fetchone() for one in ids]
            if None in found:
                missing = ids[found.index(None)]
                raise UserError(f"{self.location}: no vector {missing!r} in the gallery")
            rows = np.array([row[0] for row in found], dtype=np.int64)
            return self._blocks.take(rows)[:, : self.dim]

    def sample(self, count: int) -> Vectors:
        """Up to `count` vectors (N, dim) at equal distances, as they are stored."""
        with self._lock:
            rows = np.linspace(0, len(self) - 1, min(count, len(self)), dtype=np.int64)
            return self._blocks.take(rows)[:, : self.dim]

    def save(self, path: str | Path | None = None) -> None:
        """Append what was added to the file, or write it anew; whole or not at all.

        Raises:
            UserError: It has no file, or another process has changed the file since
                it was read: what that one added would be lost.
        """
        target = Path(path) if path is not None else self.path
        if target is None:
            raise UserError("gallery: say where to save it")
        with self._lock, gallery_file.exclusive(target):
            found = gallery_file.version(target)
            if target == self.path and found not in ("", self._version):
                raise UserError(
                    f"{target}: another process has changed it since it was opened here; "
                    "nothing was saved, run the command again"
                )
            is_unchanged = target == self.path and found != ""
            is_small = len(self) - self._whole <= self._whole and self._segments < MAX_SEGMENTS
            if is_unchanged and is_small and self._end and can_append(target):
                self._append(target)
            else:
                header = gallery_file.Header(self.encoder, self._blocks.dim, len(self), self.metric)
                self._end = write_gallery(target, header, self._rows, self._blocks.blocks())
                self._whole, self._segments = len(self), 0
            self._saved = len(self)
            self._version = gallery_file.version(target)
            self.path, self.location = target, str(target)

    def _append(self, target: Path) -> None:
        """Append what is not in the file."""
        if self._saved < len(self):
            rows = segment_rows(self._rows, self._saved)
            vectors = self._blocks.take(np.arange(self._saved, len(self)))
            try:
                self._end = append_segment(target, self._end, rows, vectors)
            finally:  # what could not be appended was cut off again
                self._version = gallery_file.version(target)
            self._segments += 1

    def close(self) -> None:
        """Let go of the memory and of the private file."""
        self._rows.close()
        self._blocks = Blocks(self._blocks.dim)


def _first_of_each_group(
    similarities: NDArray[np.float64], rows: Rows, numbers: NDArray[np.int32], k: int
) -> list[tuple[float, int]]:
    """(similarity, row) of the first row of each group, in the order of the rows."""
    best: dict[int, tuple[float, int]] = {}
    for similarity, row in zip(similarities.tolist(), rows.tolist(), strict=True):
        best.setdefault(int(numbers[row]), (similarity, row))
        if len(best) == k:
            break
    return list(best.values())
