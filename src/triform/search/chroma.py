"""A gallery on a Chroma server that many machines use.

Chroma's index is approximate (HNSW), it does not rank by words, and every row is kept as soon as
it is added. It is for galleries that outgrow one memory or have to be served; on one machine the
exact gallery is faster and complete (docs/search.md).
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from triform.base.errors import UsageError, UserError
from triform.search.base_gallery import (
    Aggregate,
    Gallery,
    Hit,
    Metric,
    Record,
    Vectors,
    read_metric,
)
from triform.search.conditions import Conditions, Range, StartsWith
from triform.search.fusion import WordMatch

ADDRESS_PREFIX = "chroma://"
COLLECTION = "gallery"
FORMAT = "triform-gallery"
MAX_COMPARED = 256
"""Vectors that a filter may leave to be compared one by one."""
_GROUP, _RECORD = "triform_group", "triform_record"
_READ_AT_ONCE = 2000
# HNSW searches the whole of a graph that is smaller than its list of candidates. A list of 200
# missed 19 of 5,040 neighbours among 400 vectors, this one none of 67,200.
_INDEX = {"space": "cosine", "ef_search": 1000, "ef_construction": 200, "max_neighbors": 32}


def is_chroma(location: str | Path) -> bool:
    """Whether this is an address of a Chroma server."""
    return str(location).startswith(ADDRESS_PREFIX)


class ChromaGallery(Gallery):
    """A Chroma collection as a gallery; `save` has nothing left to do."""

    has_words = False

    def __init__(
        self, client: Any, collection: Any, location: str, resources: contextlib.ExitStack
    ) -> None:
        """Wrap an open collection; `resources` are closed with it."""
        self.location = location
        self._client = client
        self._collection = collection
        self._resources = resources
        metadata = collection.metadata or {}
        if metadata.get("format") != FORMAT:
            raise UserError(
                f"{location}: a collection of Chroma, but not one of Triform's galleries"
            )
        self.encoder = str(metadata["encoder"])
        self.dim = int(metadata["dim"])
        self.metric = read_metric(metadata.get("metric", "cosine"), location)
        self._largest_group = int(metadata["largest_group"])

    @classmethod
    def create(
        cls, location: str, *, encoder: str, dim: int = 0, metric: Metric = "cosine"
    ) -> ChromaGallery:
        """Create an empty collection; an existing one of that name is emptied."""
        with contextlib.ExitStack() as resources, _one_line_errors(location):
            client, name = _connect(location, resources)
            with contextlib.suppress(_not_found()):
                client.delete_collection(name)
            collection = client.create_collection(
                name,
                metadata=_metadata(encoder, dim, metric, 1),
                # Vectors are added with the rows: Chroma's own embedding would be downloaded.
                embedding_function=None,
                configuration={"hnsw": _INDEX},
            )
            return cls(client, collection, location, resources.pop_all())

    @classmethod
    def open(cls, location: str) -> ChromaGallery:
        """The collection that is there.

        Raises:
            UserError: No server answers, or it has no such gallery.
        """
        with contextlib.ExitStack() as resources, _one_line_errors(location):
            client, name = _connect(location, resources)
            try:
                collection = client.get_collection(name, embedding_function=None)
            except _not_found():
                raise UserError(
                    f"{location}: Chroma has no collection {name!r}; build the gallery first"
                ) from None
            return cls(client, collection, location, resources.pop_all())

    def __len__(self) -> int:
        with _one_line_errors(self.location):
            return int(self._collection.count())

    def _add(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Mapping[str, Any]],
        texts: Sequence[str],
        groups: Sequence[str],
        words: Sequence[str],
    ) -> None:
        with _one_line_errors(self.location):
            size = max(1, min(int(self._client.get_max_batch_size()), _READ_AT_ONCE))
            parts = [slice(start, start + size) for start in range(0, len(ids), size)]
            for part in parts:
                # Chroma silently skips ids that it has.
                if present := self._collection.get(ids=list(ids[part]), include=[])["ids"]:
                    raise UserError(
                        f"{self.location}: the id {present[0]!r} is in the gallery already; "
                        "remove it first"
                    )
            self._save_sizes(vectors.shape[1] - self._padding, groups)
            for part in parts:
                self._collection.add(
                    ids=list(ids[part]),
                    embeddings=vectors[part],
                    metadatas=[
                        {**_scalars(record), _GROUP: name, _RECORD: text}
                        for record, name, text in zip(
                            records[part], groups[part], texts[part], strict=True
                        )
                    ],
                )

    def _save_sizes(self, dim: int, groups: Sequence[str]) -> None:
        """Save the width and the size of the largest group in the collection's metadata."""
        counts = Counter(groups)
        distinct = list(counts)
        for start in range(0, len(distinct), _READ_AT_ONCE):
            some = distinct[start : start + _READ_AT_ONCE]
            there = self._collection.get(where={_GROUP: {"$in": some}}, include=["metadatas"])
            for metadata in there["metadatas"]:
                counts[metadata[_GROUP]] += 1
        # Of a server: another process may have added a larger group meanwhile.
        current = self._client.get_collection(self._collection.name, embedding_function=None)
        largest = max(int((current.metadata or {})["largest_group"]), *counts.values())
        if (dim, largest) != (self.dim, self._largest_group):
            self.dim, self._largest_group = dim, largest
            self._collection.modify(metadata=_metadata(self.encoder, dim, self.metric, largest))

    def remove(self, groups: Sequence[str]) -> int:
        """Remove every vector of these groups; returns the number of vectors removed."""
        before = len(self)
        names = list(dict.fromkeys(groups))
        with _one_line_errors(self.location):
            for start in range(0, len(names), _READ_AT_ONCE):
                self._collection.delete(
                    where={_GROUP: {"$in": names[start : start + _READ_AT_ONCE]}}
                )
        return before - len(self)

    def _search(
        self, queries: Vectors, k: int, conditions: Conditions, aggregate: Aggregate
    ) -> list[list[Hit]]:
        if aggregate == "mean" and self._largest_group > 1:
            raise UserError(
                f"{self.location}: Chroma finds a group by its best vector only; "
                "for the mean use an exact gallery (a file NAME.gallery)"
            )
        where = _filter(conditions, self.location)
        with _one_line_errors(self.location):
            found = self._compare_few(queries, where) or self._collection.query(
                query_embeddings=queries,
                n_results=min((k - 1) * self._largest_group + 1, len(self)),
                where=where,
                include=["metadatas", "distances"],
            )
        answers = []
        for ids, distances, metadatas in zip(
            found["ids"], found["distances"], found["metadatas"], strict=True
        ):
            hits: dict[str, Hit] = {}
            for one, distance, metadata in zip(ids, distances, metadatas, strict=True):
                name = metadata[_GROUP]
                if name not in hits and len(hits) < k:
                    hits[name] = Hit(name, 1.0 - distance, json.loads(metadata[_RECORD]), one)
            answers.append(list(hits.values()))
        return answers

    def _compare_few(self, queries: Vectors, where: Any) -> dict[str, Any] | None:
        """The answer of `query`, exact, where a filter leaves few vectors; else None.

        Chroma's graph misses vectors when most of those on the way are filtered out.
        """
        if where is None:
            return None
        rows = self._collection.get(
            where=where, limit=MAX_COMPARED + 1, include=["embeddings", "metadatas"]
        )
        if not 0 < len(rows["ids"]) <= MAX_COMPARED:
            return None
        distances = 1 - queries @ np.asarray(rows["embeddings"], np.float32).T
        orders = np.argsort(distances, axis=1, kind="stable")
        return {
            "ids": [[rows["ids"][i] for i in order] for order in orders],
            "distances": [
                each[order].tolist() for each, order in zip(distances, orders, strict=True)
            ],
            "metadatas": [[rows["metadatas"][i] for i in order] for order in orders],
        }

    def _search_words(self, text: str, k: int, conditions: Conditions) -> dict[str, WordMatch]:
        raise UserError(
            f"{self.location}: Chroma has no ranking by words; "
            "for that use an exact gallery (a file NAME.gallery)"
        )

    def _compare(
        self, query: Vectors, groups: Sequence[str], conditions: Conditions, aggregate: Aggregate
    ) -> dict[str, Hit]:
        if not groups:
            return {}
        found = self._search(query[None], len(groups), {**conditions, _GROUP: [*groups]}, aggregate)
        return {hit.id: hit for hit in found[0]}

    def vectors(self, ids: Sequence[str]) -> Vectors:
        """Vectors (N, dim) with these ids, as they are stored: of length 1 for cosines.

        Raises:
            UserError: An id is not there.
        """
        found: dict[str, Any] = {}
        distinct = list(dict.fromkeys(ids))
        with _one_line_errors(self.location):
            for start in range(0, len(distinct), _READ_AT_ONCE):
                some = distinct[start : start + _READ_AT_ONCE]
                page = self._collection.get(ids=some, include=["embeddings"])
                found |= dict(zip(page["ids"], page["embeddings"], strict=True))
        if missing := [one for one in ids if one not in found]:
            raise UserError(f"{self.location}: no vector {missing[0]!r} in the gallery")
        rows = [np.asarray(found[one], dtype=np.float32)[: self.dim] for one in ids]
        return np.stack(rows) if rows else np.empty((0, self.dim), np.float32)

    def _records(self, conditions: Conditions, limit: int) -> dict[str, Record]:
        return self._read(limit, where=_filter(conditions, self.location))

    def get(self, ids: Sequence[str]) -> dict[str, Record]:
        """Vector id -> record, of those of these vectors that are there."""
        found: dict[str, Record] = {}
        for start in range(0, len(ids), _READ_AT_ONCE):
            found |= self._read(0, ids=list(ids[start : start + _READ_AT_ONCE]))
        return found

    def _read(self, limit: int, **selection: Any) -> dict[str, Record]:
        """Records, a page at a time; all of them where `limit` is 0."""
        records: dict[str, Record] = {}
        page: dict[str, Any] = {"ids": [""]}
        with _one_line_errors(self.location):
            while page["ids"] and not (limit and len(records) >= limit):
                size = min(_READ_AT_ONCE, limit - len(records)) if limit else _READ_AT_ONCE
                page = self._collection.get(
                    limit=size, offset=len(records), include=["metadatas"], **selection
                )
                for one, metadata in zip(page["ids"], page["metadatas"], strict=True):
                    records[one] = json.loads(metadata[_RECORD])
        return records

    def save(self, path: str | Path | None = None) -> None:
        """Nothing: Chroma keeps every row when it is added.

        Raises:
            UserError: Another location is named.
        """
        if path is not None and str(path) != self.location:
            raise UserError(
                f"{self.location}: a gallery of Chroma stays where it is, not in {path}"
            )

    def close(self) -> None:
        """Close the client."""
        self._collection = None
        self._resources.close()


def _metadata(encoder: str, dim: int, metric: Metric, largest_group: int) -> dict[str, Any]:
    """What is saved beside the collection."""
    return {
        "format": FORMAT,
        "encoder": encoder,
        "dim": dim,
        "metric": metric,
        "largest_group": largest_group,
    }


def _filter(conditions: Conditions, location: str) -> dict[str, Any] | None:
    """Conditions in Chroma's query language."""
    tests: list[dict[str, Any]] = []
    for field, condition in conditions.items():
        if isinstance(condition, StartsWith):
            raise UserError(
                f"{location}: Chroma cannot look for what starts with {condition.text!r}; "
                "for that use an exact gallery (a file NAME.gallery)"
            )
        if isinstance(condition, Range):
            for sign, end in (("$gte", condition.start), ("$lt", condition.stop)):
                if isinstance(end, str):
                    raise UserError(
                        f"{location}: Chroma compares numbers alone, not {end!r}; "
                        "for that use an exact gallery (a file NAME.gallery)"
                    )
                if end is not None:
                    tests.append({field: {sign: _comparable(end)}})
        else:
            tests.append({field: {"$in": [_comparable(value) for value in condition]}})
    return {"$and": tests} if len(tests) > 1 else tests[0] if tests else None


def _scalars(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that Chroma can filter by."""
    scalars = {key: value for key, value in record.items() if isinstance(value, str | int | float)}
    return {key: _comparable(value) for key, value in scalars.items()}


def _comparable(value: Any) -> Any:
    """Whole numbers as floats: Chroma cuts the bounds off to compare them with integers."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _chromadb() -> Any:
    """The package chromadb.

    Raises:
        UserError: It is not installed.
    """
    try:
        import chromadb
    except ModuleNotFoundError as error:
        if error.name != "chromadb":
            raise
        raise UserError(
            "this gallery needs the extra `chroma`: pip install 'triform[chroma]' "
            "(or keep the gallery in a file NAME.gallery, which needs nothing more)"
        ) from None
    return chromadb


def _not_found() -> type[Exception]:
    from chromadb.errors import NotFoundError

    error: type[Exception] = NotFoundError
    return error


def _connect(location: str, resources: contextlib.ExitStack) -> tuple[Any, str]:
    """A client for an address, and the name of the collection."""
    chromadb = _chromadb()
    host, port, name = _read_address(location)
    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.HttpClient(host=host, port=port, ssl=port == 443, settings=settings)
    resources.callback(client.close)
    return client, name


def _read_address(location: str) -> tuple[str, int, str]:
    """Host, port and collection of `chroma://HOST:PORT/COLLECTION`."""
    parts = urlsplit(location)
    try:
        port = parts.port or 8000
    except ValueError:
        port = 0
    name = parts.path.strip("/") or COLLECTION
    if not parts.hostname or not port or "/" in name:
        raise UsageError(f"{location}: an address of Chroma is chroma://HOST:PORT/COLLECTION")
    return parts.hostname, port, name


@contextlib.contextmanager
def _one_line_errors(location: str) -> Iterator[None]:
    """Turn whatever Chroma and its transport raise into one line."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:  # Chroma, its server and its transport have errors of every kind
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{location}: Chroma answers: {reason} is `chroma run` running there?"
        ) from error
