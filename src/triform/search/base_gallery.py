"""The base class of galleries: vectors with records, searched by similarity.

A gallery holds vectors of one encoder and one width. Every vector has an id, a record (plain
data), and belongs to a group: the thing that is found. One thing may have several vectors (the
views of an object, and its points), and a query's similarity to it is that of its best vector, or
the mean over them.

Similarity is the cosine (`metric="cosine"`) or the inner product with the query's direction
(`metric="inner_product"`), for vectors of length at most 1. Search engines find the largest
cosines; vectors that are compared by inner product are therefore stored with one more coordinate
that makes their length 1, where a query has 0 (arXiv:1410.5518 section 4).

A group may have words: its name, captions, the folders of its path, categories. A query that has
words too is answered by two rankings, that of the similarities and that of the words (BM25),
fused by reciprocal rank fusion (`fusion.py`).

What is added or removed is in the gallery at once, and for other processes after `save`. A process
that is killed at any moment leaves what the last `save` wrote.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.search.conditions import Conditions, Where, read_conditions
from triform.search.fusion import FUSION_DEPTH, WORD_WEIGHT, WordMatch, fuse_ranks

Vectors = NDArray[np.float32]
Record = dict[str, Any]
Aggregate = Literal["max", "mean"]
Metric = Literal["cosine", "inner_product"]

LENGTH_TOLERANCE = 1e-3
ROUNDING = 1e-5
"""A squared length this close to 1 is 1: rounding alone must not fill the padded coordinate."""


@dataclass(frozen=True)
class Hit:
    """One search result.

    Attributes:
        id: The group that was found.
        similarity: Cosine or inner product, in [-1, 1], whatever found the group.
        record: Of the group's best vector; with `mean`, of its first.
        vector_id: The id of that vector.
        word_rank: Place of the group by the words of the query, from 1, the same for equals; 0
            where none of them is among its own or the query has none.
    """

    id: str
    similarity: float
    record: Record
    vector_id: str
    word_rank: int = 0


class Gallery(ABC):
    """Vectors of one encoder with their records.

    Attributes:
        encoder: Name of the encoder and hash of its weights. Vectors of others are refused.
        dim: Width of a vector; 0 while the gallery is empty and no width was named.
        metric: How queries and vectors are compared.
        location: Where it is kept, for messages.
        has_words: Whether it can be searched by words.
    """

    has_words: bool = True
    encoder: str
    dim: int
    metric: Metric
    location: str

    def add(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Mapping[str, Any]],
        *,
        encoder: str,
        groups: Sequence[str] | None = None,
        words: Sequence[str] | None = None,
    ) -> None:
        """Add N vectors, all of them or none.

        Args:
            ids: One per vector, not in the gallery yet.
            vectors: (N, dim) finite numbers. For cosines of any length but 0; for inner products
                of length at most 1.
            records: Plain data, one per vector.
            encoder: The encoder of the vectors.
            groups: What each vector belongs to; each to itself where not given.
            words: Plain text that its group is found by, one for each vector, any language and
                length: names, captions, folders, categories. Those of a group are put together;
                the same text of several of its vectors counts once, an empty one not at all.

        Raises:
            UserError: Another encoder or width, a duplicate id, or numbers that are not finite.
        """
        self._check_encoder(encoder)
        groups = ids if groups is None else groups
        words = [""] * len(ids) if words is None else words
        texts = self._records_as_json(ids, groups, records, words, len(vectors))
        if ids:
            self._add(ids, self._stored(vectors, ids), records, texts, groups, words)

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        encoder: str,
        words: Sequence[str] | None = None,
        where: Where | None = None,
        aggregate: Aggregate = "max",
        word_weight: float = WORD_WEIGHT,
    ) -> list[list[Hit]]:
        """Find the k groups that answer each of (Q, dim) queries best, best first.

        Fewer where there are not so many. Without words, in the order of their similarity. With
        words, in the order of both rankings' fusion: a group that has none of the words is still
        found by its similarity, and one that is not similar by its words.

        Args:
            queries: (Q, dim), of any length but 0.
            k: Groups for each query.
            encoder: The encoder of the queries.
            words: What somebody typed, one text for each query, never a query language: quotes,
                stars and operators mean nothing. An empty text asks for nothing.
            where: Conditions on the records of the vectors that take part; a group whose vectors
                all fail them is not found by its words either.
            aggregate: A group's similarity is that of its best vector, or the mean of all.
            word_weight: Weight of the words' ranking; that of the similarities has 1; 0 leaves
                the words out.

        Raises:
            UserError: The gallery is empty, the queries are another encoder's, or the texts are
                not one for each query.
        """
        self._check_encoder(encoder)
        if k < 1:
            raise UserError(f"{self.location}: {k} answers asked for, choose 1 or more")
        if len(self) == 0:
            raise UserError(f"{self.location}: the gallery is empty; add something to it first")
        rows, conditions = self._as_queries(queries), read_conditions(where, self.location)
        if words is not None and len(words) != len(rows):
            raise UserError(f"{self.location}: {len(words)} texts of words for {len(rows)} queries")
        if words is None or word_weight == 0:
            return self._search(rows, k, conditions, aggregate)
        depth = max(k, FUSION_DEPTH)
        answers = self._search(rows, depth, conditions, aggregate)
        for number, text in enumerate(words):
            ranked = self._search_words(text, depth, conditions)
            hits = {hit.id: hit for hit in answers[number]}
            others = [name for name in ranked if name not in hits]
            by_similarity = list(hits)
            hits |= self._compare(rows[number], others, conditions, aggregate)
            answers[number] = fuse_hits(hits, by_similarity, ranked, word_weight)[:k]
        return [hits[:k] for hits in answers]

    def records(self, where: Where | None = None, *, limit: int = 0) -> dict[str, Record]:
        """Vector id -> record, of all vectors that meet the conditions or the first `limit`."""
        return self._records(read_conditions(where, self.location), limit)

    @abstractmethod
    def vectors(self, ids: Sequence[str]) -> Vectors:
        """Vectors (N, dim) with these ids, as they are stored: of length 1 for cosines.

        Raises:
            UserError: An id is not there.
        """

    def sample(self, count: int) -> Vectors:
        """The first `count` vectors (N, dim), as they are stored."""
        return self.vectors(list(self.records(limit=count)) if count else [])

    @abstractmethod
    def remove(self, groups: Sequence[str]) -> int:
        """Remove every vector of these groups; returns the number of vectors removed."""

    @abstractmethod
    def get(self, ids: Sequence[str]) -> dict[str, Record]:
        """Vector id -> record, of those of these vectors that are there."""

    @abstractmethod
    def save(self, path: str | Path | None = None) -> None:
        """Keep it where it came from, or in another file."""

    @abstractmethod
    def close(self) -> None:
        """Release what is open; what was not saved is gone."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of vectors."""

    @abstractmethod
    def _add(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Mapping[str, Any]],
        texts: Sequence[str],
        groups: Sequence[str],
        words: Sequence[str],
    ) -> None:
        """Store vectors of length 1 with their records, which `texts` holds as JSON."""

    @abstractmethod
    def _search(
        self, queries: Vectors, k: int, conditions: Conditions, aggregate: Aggregate
    ) -> list[list[Hit]]:
        """Search with queries of length 1, as wide as the stored vectors."""

    @abstractmethod
    def _search_words(self, text: str, k: int, conditions: Conditions) -> dict[str, WordMatch]:
        """The k groups that match a text best, best first; more where the last ones are equals."""

    @abstractmethod
    def _compare(
        self, query: Vectors, groups: Sequence[str], conditions: Conditions, aggregate: Aggregate
    ) -> dict[str, Hit]:
        """Hits of these groups, all of which are there, for a query of length 1."""

    @abstractmethod
    def _records(self, conditions: Conditions, limit: int) -> dict[str, Record]:
        """Vector id -> record; all where `limit` is 0."""

    @property
    def _padding(self) -> int:
        """Coordinates that a stored vector has beyond `dim`."""
        return int(self.metric == "inner_product")

    def _stored(self, vectors: Vectors, ids: Sequence[str]) -> Vectors:
        """Vectors as they are stored: of length 1."""
        array = self._checked_shape(vectors, "vectors")
        if self._padding:
            squares = np.square(array.astype(np.float64)).sum(axis=1)
            long = np.flatnonzero(squares > 1 + LENGTH_TOLERANCE)
            if len(long):
                raise UserError(
                    f"{self.location}: vector {ids[long[0]]!r} is longer than 1; "
                    "inner products are searched among vectors of length at most 1"
                )
            array = pad_to_unit_norm(array)
        return self._normalized(array, lambda row: f"vector {ids[row]!r}")

    def _as_queries(self, queries: Vectors) -> Vectors:
        """Queries of length 1, with 0 where stored vectors are padded."""
        array = self._checked_shape(queries, "queries")
        array = np.pad(array, ((0, 0), (0, self._padding)))
        return self._normalized(array, lambda row: f"query {row}")

    def _checked_shape(self, vectors: Any, name: str) -> Vectors:
        array = np.ascontiguousarray(vectors, dtype=np.float32)
        if array.ndim != 2 or array.shape[1] == 0:
            raise UserError(f"{self.location}: {name} of shape {array.shape}; expected (N, D)")
        if self.dim and array.shape[1] != self.dim:
            raise UserError(
                f"{self.location}: {name} have {array.shape[1]} numbers, those of the gallery "
                f"have {self.dim}: they come from another encoder; build the gallery anew"
            )
        return array

    def _normalized(self, vectors: Vectors, name_of: Callable[[int], str]) -> Vectors:
        # In float64, without copies in it.
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(bad):
            zero = lengths[bad[0]] == 0
            reason = "is all zeros" if zero else "holds numbers that are not finite"
            raise UserError(f"{self.location}: {name_of(int(bad[0]))} {reason}; embed it again")
        result = np.empty(vectors.shape, np.float32)
        np.divide(vectors, lengths[:, None], out=result, dtype=np.float64, casting="same_kind")
        return result

    def _check_encoder(self, encoder: str) -> None:
        """Refuse vectors of another encoder: their similarities would mean nothing."""
        if self.encoder != encoder:
            raise UserError(
                f"{self.location}: its vectors were made by {self.encoder}, these by {encoder}; "
                "build the gallery anew with this encoder or use the other one"
            )

    def _records_as_json(
        self,
        ids: Sequence[str],
        groups: Sequence[str],
        records: Sequence[Any],
        words: Sequence[str],
        count: int,
    ) -> list[str]:
        if not len(ids) == len(groups) == len(records) == len(words) == count:
            raise UserError(
                f"{self.location}: {count} vectors with {len(ids)} ids, {len(groups)} groups, "
                f"{len(records)} records and {len(words)} texts; every vector needs one of each"
            )
        if len(set(ids)) != len(ids):
            duplicate = Counter(ids).most_common(1)[0][0]
            raise UserError(f"{self.location}: the id {duplicate!r} stands twice")
        try:
            return [json.dumps(dict(one), ensure_ascii=False, allow_nan=False) for one in records]
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.location}: a record is no plain data: {error}") from None


def fuse_hits(
    hits: Mapping[str, Hit],
    by_similarity: Sequence[str],
    by_words: Mapping[str, WordMatch],
    weight: float,
) -> list[Hit]:
    """Hits in the order of both rankings' fusion, each with its place by the words."""
    scores = fuse_ranks(by_similarity, by_words, weight)
    order = sorted(hits, key=lambda name: (-scores[name], -hits[name].similarity))
    nothing = WordMatch(0, 0.0)
    return [replace(hits[name], word_rank=by_words.get(name, nothing).position) for name in order]


def pad_to_unit_norm(vectors: NDArray[np.floating[Any]]) -> Vectors:
    """Vectors (N, D) of length at most 1 to (N, D + 1) of length 1."""
    squares = np.square(vectors.astype(np.float64)).sum(axis=1)
    rest = np.sqrt(np.maximum(1 - squares, 0))
    rest[np.abs(1 - squares) < ROUNDING] = 0
    return np.concatenate([vectors, rest[:, None]], axis=1).astype(np.float32)


def read_metric(name: object, location: str) -> Metric:
    """The metric that a saved gallery names.

    Raises:
        UserError: A metric that this version does not know.
    """
    if name == "cosine":
        return "cosine"
    if name == "inner_product":
        return "inner_product"
    raise UserError(f"{location}: similarity {str(name)[:40]!r} is not known here")
