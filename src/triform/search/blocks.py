"""Vectors in blocks of memory, searched exactly by faiss.

Blocks grow the table without ever copying it: what is in memory is the vectors, once.
"""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

from triform.search.base_gallery import Vectors

BLOCK = 8192
"""Rows of a block: large enough to keep all threads busy, small enough to grow by."""
MANY_QUERIES = 20
"""From so many on faiss multiplies matrices on all threads; fewer it walks on one."""

Rows = NDArray[np.int64]


class Blocks:
    """A table of float32 vectors of one width.

    Attributes:
        dim: Width of a vector.
        count: Vectors in it.
    """

    def __init__(self, dim: int) -> None:
        """An empty table."""
        self.dim = dim
        self.count = 0
        self._blocks: list[Vectors] = []

    def append(self, vectors: Vectors) -> None:
        """Add (N, dim) vectors at the end."""
        start = 0
        while start < len(vectors):
            if self.count == len(self._blocks) * BLOCK:
                # The system gives memory to pages that are written, so a part-full block is cheap.
                self._blocks.append(np.empty((BLOCK, self.dim), dtype=np.float32))
            used = self.count % BLOCK
            some = vectors[start : start + BLOCK - used]
            self._blocks[-1][used : used + len(some)] = some
            self.count += len(some)
            start += len(some)

    def shorten(self, count: int) -> None:
        """Drop everything from row `count` on."""
        self.count = count
        del self._blocks[-(-count // BLOCK) :]

    def keep(self, rows: Rows) -> None:
        """Keep these rows (ascending) alone, moved together."""
        written = 0
        for start, block in enumerate(list(self._blocks)):
            selected = rows[np.searchsorted(rows, start * BLOCK) :]
            selected = selected[: np.searchsorted(selected, (start + 1) * BLOCK)]
            rest = block[selected - start * BLOCK]  # a copy: it may be overwritten below
            # What is written never overtakes what is read: rows only move to the front.
            for piece in np.split(rest, np.arange(BLOCK - written % BLOCK, len(rest), BLOCK)):
                used = written % BLOCK
                self._blocks[written // BLOCK][used : used + len(piece)] = piece
                written += len(piece)
        self.shorten(written)

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """The first row of each block, and the block."""
        for number, block in enumerate(self._blocks):
            start = number * BLOCK
            yield start, block[: self.count - start]

    def take(self, rows: Rows) -> Vectors:
        """The vectors (N, dim) of these rows, in any order."""
        if not len(rows):
            return np.empty((0, self.dim), np.float32)
        return np.stack([self._blocks[row // BLOCK][row % BLOCK] for row in rows.tolist()])

    def similarities(self, query: Vectors, rows: Rows) -> NDArray[np.float64]:
        """Inner products (N,) of a query (dim,) with these rows, in float64.

        Equal vectors get equal products, wherever they lie: matrix products of BLAS do not
        promise that.
        """
        return np.asarray((self.take(rows).astype(np.float64) * query).sum(axis=1))

    def search(self, queries: Vectors, k: int, rows: Rows | None = None) -> tuple[Vectors, Rows]:
        """The k rows with the largest inner products.

        Args:
            queries: (Q, dim).
            k: How many.
            rows: The rows to look at, ascending; all where not given.

        Returns:
            Similarities and rows, both (Q, up to k), best first; the earlier of two equals first.
        """

        def best(piece: tuple[int, Vectors]) -> tuple[Vectors, Rows]:
            start, block = piece
            numbers = None
            if rows is not None:
                first, last = np.searchsorted(rows, (start, start + len(block)))
                numbers = rows[first:last]
                block = block[numbers - start]
            if len(block) == 0:
                empty = (len(queries), 0)
                return np.zeros(empty, np.float32), np.zeros(empty, np.int64)
            if len(queries) < MANY_QUERIES:
                found, found_rows = _best_of_few(queries, block, k)
            else:
                found, found_rows = faiss.knn(
                    queries, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT
                )
            return found, found_rows + start if numbers is None else numbers[found_rows]

        parts = [best(piece) for piece in self.blocks()]
        similarities = np.concatenate([part[0] for part in parts], axis=1)
        found_rows = np.concatenate([part[1] for part in parts], axis=1)
        order = np.lexsort((found_rows, -similarities), axis=-1)[:, :k]
        return np.take_along_axis(similarities, order, 1), np.take_along_axis(found_rows, order, 1)

    def reduce(
        self, queries: Vectors, groups: NDArray[np.int32], num_groups: int, aggregate: str
    ) -> NDArray[np.float64]:
        """The similarity of every group to every query.

        Args:
            queries: (Q, dim).
            groups: Number of the group of each row; a row of a negative one is left out.
            num_groups: How many there are.
            aggregate: `max` or `mean` over the rows of a group.

        Returns:
            (Q, num_groups); -inf for a group without a row.
        """
        counts = np.bincount(groups[groups >= 0], minlength=num_groups)
        result = np.full(
            (len(queries), num_groups), -np.inf if aggregate == "max" else 0.0, dtype=np.float64
        )
        for start, block in self.blocks():
            selected = groups[start : start + len(block)]
            for each, values in zip(result, queries @ block.T, strict=True):
                if aggregate == "max":
                    np.maximum.at(each, selected[selected >= 0], values[selected >= 0])
                else:
                    np.add.at(each, selected[selected >= 0], values[selected >= 0])
        if aggregate == "mean":
            with np.errstate(invalid="ignore", divide="ignore"):
                result /= counts
            result[:, counts == 0] = -np.inf
        return result


def _best_of_few(queries: Vectors, block: Vectors, k: int) -> tuple[Vectors, Rows]:
    """What `faiss.knn` gives, for a few queries, which it compares on one thread each."""
    values = queries @ block.T
    k = min(k, len(block))
    similarities = np.empty((len(queries), k), np.float32)
    found_rows = np.empty((len(queries), k), np.int64)
    for number, row in enumerate(values):
        least = np.partition(row, -k)[-k]
        found = np.flatnonzero(row >= least)  # ascending, so that the earlier of equals is first
        found_rows[number] = found[np.argsort(-row[found], kind="stable")[:k]]
        similarities[number] = row[found_rows[number]]
    return similarities, found_rows
