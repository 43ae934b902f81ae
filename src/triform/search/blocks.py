"""Vectors in blocks of memory, searched exactly after a first pass.

Blocks grow the table without ever copying it: what is in memory is the vectors, once, and a quarter
more for a first pass in 8 bits, once there were enough queries. Vectors of a file stay in the file,
mapped into memory.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triform.search.base_gallery import Vectors
from triform.search.first_pass import CHUNK, bound_float_products, candidates

BLOCK = 8192
"""Rows of a block: large enough to keep a thread busy, small enough to grow by."""
QUERIES_AT_ONCE = 16
"""Queries that go through the vectors together."""
FLOAT_ROWS = 1_000_000
"""Rows, of all queries together, that are compared as they are before 8 bits are computed: most
programs ask little, and the compiler of what computes them takes 0.7 s of processor time to load,
as long as some three million rows."""
WIDE = 4
"""Where more than one in so many rows is asked for, a first pass leaves out too few."""

Rows = NDArray[np.int64]


class _Block:
    """Vectors (BLOCK, D), and as 8 bits as far as a search has asked for them.

    Attributes:
        vectors: In a file or in memory.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self._num_quantized = 0
        self._quantized: tuple[NDArray[np.int8], Vectors, Vectors] | None = None

    def write(self, start: int, vectors: Vectors) -> None:
        """Put vectors at the rows from `start` on."""
        if not self.vectors.flags.writeable:
            self.vectors = self.vectors.copy()
        self.vectors[start : start + len(vectors)] = vectors
        self._num_quantized = min(self._num_quantized, start)

    def quantized(self, count: int) -> tuple[NDArray[np.int8], Vectors, Vectors]:
        """8 bits, scales and errors as `quantize` writes them, of the first `count` rows."""
        if self._quantized is None:
            # The system gives memory to pages that are written, so a part-full block is cheap.
            self._quantized = (
                np.empty(self.vectors.shape, np.int8),
                np.empty(len(self.vectors), np.float32),
                np.empty(len(self.vectors), np.float32),
            )
        if self._num_quantized < count:
            from triform.search.quantized import quantize

            levels, scales, errors = self._quantized
            rows = slice(self._num_quantized, count)
            quantize(self.vectors[rows], levels[rows], scales[rows], errors[rows])
            self._num_quantized = count
        return self._quantized


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
        self._blocks: list[_Block] = []
        self._rows_compared = 0

    def append(self, vectors: Vectors) -> None:
        """Add (N, dim) vectors at the end; whole blocks of read-only ones are not copied."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        start = 0
        while start < len(vectors):
            whole = vectors[start : start + BLOCK]
            if self.count % BLOCK == 0 and len(whole) == BLOCK and not whole.flags.writeable:
                self._blocks.append(_Block(whole))
                self.count += BLOCK
                start += BLOCK
                continue
            if self.count == len(self._blocks) * BLOCK:
                self._blocks.append(_Block(np.empty((BLOCK, self.dim), np.float32)))
            used = self.count % BLOCK
            some = vectors[start : start + BLOCK - used]
            self._blocks[-1].write(used, some)
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
            if written == start * BLOCK and len(selected) == BLOCK:
                written += BLOCK  # nothing before it is gone
                continue
            rest = block.vectors[selected - start * BLOCK]  # a copy: it may be overwritten below
            # What is written never overtakes what is read: rows only move to the front.
            for piece in np.split(rest, np.arange(BLOCK - written % BLOCK, len(rest), BLOCK)):
                self._blocks[written // BLOCK].write(written % BLOCK, piece)
                written += len(piece)
        self.shorten(written)

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """The first row of each block, and the block."""
        for number, block in enumerate(self._blocks):
            start = number * BLOCK
            yield start, block.vectors[: self.count - start]

    def take(self, rows: Rows) -> Vectors:
        """The vectors (N, dim) of these rows, in any order."""
        result = np.empty((len(rows), self.dim), np.float32)
        numbers = rows // BLOCK
        for number in np.unique(numbers).tolist():
            selected = numbers == number
            result[selected] = self._blocks[number].vectors[rows[selected] % BLOCK]
        return result

    def similarities(self, query: Vectors, rows: Rows) -> NDArray[np.float64]:
        """Inner products (N,) of a query (dim,) with these rows, in float64.

        Equal vectors get equal products, wherever they lie: matrix products of BLAS do not
        promise that.
        """
        exact = query.astype(np.float64)
        parts = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
        products = [(self.take(part) * exact).sum(axis=1) for part in parts]
        return np.concatenate([np.empty(0), *products])

    def search(
        self, queries: Vectors, k: int, rows: Rows | None = None
    ) -> list[tuple[NDArray[np.float64], Rows]]:
        """The k rows with the largest inner products, of each query.

        Args:
            queries: (Q, dim).
            k: How many.
            rows: The rows to look at, ascending; all where not given.

        Returns:
            Similarities and rows, both (up to k,), best first; the earlier of two equals first.
        """
        count = self.count if rows is None else len(rows)
        if k * WIDE >= count:
            among = np.arange(self.count) if rows is None else rows
            return [self._best(query, k, among) for query in queries]
        answers = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            some = queries[start : start + QUERIES_AT_ONCE]
            bounds, peaks = self._bounds(some, rows, count)
            for number, query in enumerate(some):
                among = candidates(bounds[:, number], peaks[number], k)
                answers.append(self._best(query, k, among if rows is None else rows[among]))
        return answers

    def _best(self, query: Vectors, k: int, rows: Rows) -> tuple[NDArray[np.float64], Rows]:
        """The k best of these rows, by their exact products."""
        products = self.similarities(query, rows)
        order = np.lexsort((rows, -products))[:k]
        return products[order], rows[order]

    def _bounds(
        self, queries: Vectors, rows: Rows | None, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Bounds (2, Q, R) of the products with the rows, and their peaks (Q, C)."""
        uses_bits = self._rows_compared >= FLOAT_ROWS
        bound = _bound_by_bits(queries) if uses_bits else _bound_by_floats(queries)
        self._rows_compared += len(queries) * count
        bounds = np.empty((2, len(queries), count), np.float32)
        everything = np.arange(BLOCK, dtype=np.int32)
        parts: list[tuple[_Block, int, NDArray[np.int32], int, int]] = []
        done = chunks = 0
        for number, block in enumerate(self._blocks):
            start = number * BLOCK
            used = min(self.count - start, BLOCK)
            if rows is None:
                some = everything[:used]
            else:
                first, last = np.searchsorted(rows, (start, start + BLOCK))
                some = (rows[first:last] - start).astype(np.int32)
            if len(some):
                parts.append((block, used, some, done, chunks))
                done += len(some)
                chunks += -(-len(some) // CHUNK)
        peaks = np.empty((len(queries), chunks), np.float32)

        def bound_part(part: tuple[_Block, int, NDArray[np.int32], int, int]) -> None:
            block, used, some, first, chunk = part
            where = bounds[:, :, first : first + len(some)]
            bound(block, used, some, where, peaks[:, chunk : chunk - (-len(some) // CHUNK)])

        _for_each(bound_part, parts)
        return bounds, peaks

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


_Bound = Callable[[_Block, int, NDArray[np.int32], Vectors, Vectors], None]
"""Writes bounds and peaks of the first pass for rows of a block that holds a number of them."""


def _bound_by_floats(queries: Vectors) -> _Bound:
    """Bounds from the vectors themselves."""

    def bound(
        block: _Block, used: int, rows: NDArray[np.int32], bounds: Vectors, peaks: Vectors
    ) -> None:
        vectors = block.vectors[:used] if len(rows) == used else block.vectors[rows]
        bound_float_products(vectors, queries, bounds, peaks)

    return bound


def _bound_by_bits(queries: Vectors) -> _Bound:
    """Bounds from 8 bits, which are computed for the rows that have none yet."""
    from triform.search.quantized import bound_products, quantize_queries

    levels, query_stats = quantize_queries(queries)

    def bound(
        block: _Block, used: int, rows: NDArray[np.int32], bounds: Vectors, peaks: Vectors
    ) -> None:
        bound_products(*block.quantized(used), rows, levels, query_stats, bounds, peaks)

    return bound


def num_threads() -> int:
    """Threads of a search: those of OMP_NUM_THREADS, at most the cores that are there."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    num_threads = os.environ.get("OMP_NUM_THREADS", "")
    return (
        min(int(num_threads), cores or 1)
        if num_threads.isdigit() and int(num_threads)
        else cores or 1
    )


def _for_each(function: Callable[[Any], None], parts: list[Any]) -> None:
    """Call a function with each part, on several threads where there are enough."""
    threads = min(num_threads(), len(parts))
    if threads < 2:
        for part in parts:
            function(part)
        return

    def share(first: int) -> None:
        for part in parts[first::threads]:
            function(part)

    others = [_pool(os.getpid(), threads).submit(share, n) for n in range(1, threads)]
    share(0)
    for other in others:
        other.result()


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process; a process that was forked has none of its parent's."""
    del process
    return ThreadPoolExecutor(threads, thread_name_prefix="triform-search")
