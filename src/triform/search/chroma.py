"""A gallery in Chroma: in a folder of this machine, or on a server that many machines ask.

Chroma's index is approximate (HNSW) and every row is kept as soon as it is added. It is for
galleries that outgrow one memory or have to be served; the exact gallery is faster up to some
hundred thousand vectors.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from triform.base.errors import UsageError, UserError
from triform.search.gallery import (
    CHROMA_SCHEME,
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

COLLECTION = "gallery"
FORMAT = "triform-gallery"
_GROUP, _RECORD = "triform_group", "triform_record"
_READ_AT_ONCE = 2000


class ChromaGallery:
    """A Chroma collection as a gallery; `save` has nothing left to do.

    Attributes:
        encoder: Who made the vectors.
        dim: Width of a vector; 0 before the first.
        place: Folder or address.
    """

    def __init__(self, client: Any, collection: Any, place: str) -> None:
        """Wrap an open collection."""
        self.place = place
        self._client = client
        self._collection = collection
        facts = collection.metadata or {}
        if facts.get("format") != FORMAT:
            raise UserError(f"{place}: a collection of Chroma, but not one of Triform's galleries")
        self.encoder = str(facts["encoder"])
        self.dim = int(facts["dim"])
        self._largest_group = int(facts["largest_group"])

    @classmethod
    def create(cls, place: str, *, encoder: str, dim: int = 0) -> ChromaGallery:
        """An empty collection; one of that name is emptied."""
        client, name = _connect(place)
        facts = {"format": FORMAT, "encoder": encoder, "dim": dim, "largest_group": 1}
        with _complaining(place):
            with contextlib.suppress(_not_found()):
                client.delete_collection(name)
            collection = client.create_collection(
                name,
                metadata=facts,
                # Vectors come from us: Chroma's own embedding would be downloaded.
                embedding_function=None,
                configuration={"hnsw": {"space": "cosine", "ef_search": 200}},
            )
        return cls(client, collection, place)

    @classmethod
    def open(cls, place: str) -> ChromaGallery:
        """The collection that is there.

        Raises:
            UserError: No server answers, or it has no such gallery.
        """
        if not place.startswith(CHROMA_SCHEME) and not (Path(place) / "chroma.sqlite3").is_file():
            raise UserError(f"{place}: no folder with a gallery of Chroma")
        client, name = _connect(place)
        with _complaining(place):
            try:
                collection = client.get_collection(name, embedding_function=None)
            except _not_found():
                raise UserError(
                    f"{place}: Chroma has no collection {name!r}; build the gallery first"
                ) from None
        return cls(client, collection, place)

    def __len__(self) -> int:
        with _complaining(self.place):
            return int(self._collection.count())

    def add(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Mapping[str, Any]],
        *,
        encoder: str,
        groups: Sequence[str] | None = None,
    ) -> None:
        """Add vectors, a batch at a time (see `Gallery.add`)."""
        check_encoder(self.encoder, encoder, self.place)
        names = ids if groups is None else groups
        texts = check_rows(ids, names, records, len(vectors), self.place)
        if not ids:
            return
        rows = unit_vectors(vectors, ids, self.dim, self.place)
        with _complaining(self.place):
            size = max(1, min(int(self._client.get_max_batch_size()), _READ_AT_ONCE))
            parts = [slice(start, start + size) for start in range(0, len(ids), size)]
            for part in parts:
                # Chroma passes over ids that it has, without a word.
                if known := self._collection.get(ids=list(ids[part]), include=[])["ids"]:
                    raise UserError(
                        f"{self.place}: the id {known[0]!r} is in the gallery already; "
                        "remove it first"
                    )
            self._note(rows.shape[1], names)
            for part in parts:
                self._collection.add(
                    ids=list(ids[part]),
                    embeddings=rows[part],
                    metadatas=[
                        {**_scalars(record), _GROUP: name, _RECORD: text}
                        for record, name, text in zip(
                            records[part], names[part], texts[part], strict=True
                        )
                    ],
                )

    def _note(self, dim: int, names: Sequence[str]) -> None:
        """Keep the width and the size of the largest group beside the collection."""
        counts: dict[str, int] = {}
        for name in names:
            counts[name] = counts.get(name, 0) + 1
        distinct = list(counts)
        for start in range(0, len(distinct), _READ_AT_ONCE):
            some = distinct[start : start + _READ_AT_ONCE]
            there = self._collection.get(where={_GROUP: {"$in": some}}, include=["metadatas"])
            for metadata in there["metadatas"]:
                counts[metadata[_GROUP]] += 1
        largest = max(self._largest_group, *counts.values())
        if (dim, largest) != (self.dim, self._largest_group):
            self.dim, self._largest_group = dim, largest
            self._collection.modify(
                metadata={
                    "format": FORMAT, "encoder": self.encoder, "dim": dim, "largest_group": largest,
                }
            )  # fmt: skip

    def remove(self, groups: Sequence[str]) -> int:
        """Remove every vector of these groups; says how many vectors that were."""
        before = len(self)
        names = list(dict.fromkeys(groups))
        with _complaining(self.place):
            for start in range(0, len(names), _READ_AT_ONCE):
                self._collection.delete(
                    where={_GROUP: {"$in": names[start : start + _READ_AT_ONCE]}}
                )
        return before - len(self)

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        encoder: str,
        where: Where | None = None,
        aggregate: Aggregate = "max",
    ) -> list[list[Hit]]:
        """The k most similar groups of each query, by Chroma's index (see `Gallery.search`).

        Raises:
            UserError: As every gallery's; and `mean`, which Chroma cannot answer.
        """
        check_encoder(self.encoder, encoder, self.place)
        count = len(self)
        check_k(k, count, self.place)
        if aggregate == "mean" and self._largest_group > 1:
            raise UserError(
                f"{self.place}: Chroma finds a group by its best vector only; "
                "for the mean use an exact gallery (a file NAME.gallery)"
            )
        rows = unit_vectors(queries, None, self.dim, self.place)
        wanted = _filter(check_where(where, self.place))
        with _complaining(self.place):
            found = self._collection.query(
                query_embeddings=rows,
                n_results=min((k - 1) * self._largest_group + 1, count),
                where=wanted,
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

    def records(self, where: Where | None = None, *, limit: int = 0) -> dict[str, Record]:
        """Vector id -> record, of all vectors that have what is wanted, or of so many of them."""
        return self._read(limit, where=_filter(check_where(where, self.place)))

    def get(self, ids: Sequence[str]) -> dict[str, Record]:
        """Vector id -> record, of those of these vectors that are there."""
        found: dict[str, Record] = {}
        for start in range(0, len(ids), _READ_AT_ONCE):
            found |= self._read(0, ids=list(ids[start : start + _READ_AT_ONCE]))
        return found

    def _read(self, most: int, **which: Any) -> dict[str, Record]:
        """Records, a page at a time; all of them or so many."""
        records: dict[str, Record] = {}
        page: dict[str, Any] = {"ids": [""]}
        with _complaining(self.place):
            while page["ids"] and not (most and len(records) >= most):
                size = min(_READ_AT_ONCE, most - len(records)) if most else _READ_AT_ONCE
                page = self._collection.get(
                    limit=size, offset=len(records), include=["metadatas"], **which
                )
                for one, metadata in zip(page["ids"], page["metadatas"], strict=True):
                    records[one] = json.loads(metadata[_RECORD])
        return records

    def save(self, path: str | Path | None = None) -> None:
        """Nothing: Chroma keeps every row when it is added.

        Raises:
            UserError: Another place was asked for.
        """
        if path is not None and str(path) != self.place:
            raise UserError(f"{self.place}: a gallery of Chroma stays where it is, not in {path}")

    def close(self) -> None:
        """Let go of the collection; the client closes with the program."""
        self._collection = None


def _filter(wanted: Mapping[str, list[Any]]) -> dict[str, Any] | None:
    """What is wanted, in Chroma's words."""
    tests: list[dict[str, Any]] = [{field: {"$in": values}} for field, values in wanted.items()]
    return {"$and": tests} if len(tests) > 1 else tests[0] if tests else None


def _scalars(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record that Chroma can filter by."""
    return {key: value for key, value in record.items() if isinstance(value, str | int | float)}


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


def _connect(place: str) -> tuple[Any, str]:
    """A client for a folder or an address, and the name of the collection."""
    chromadb = _chromadb()
    settings = chromadb.Settings(anonymized_telemetry=False)
    with _complaining(place):
        if not place.startswith(CHROMA_SCHEME):
            return chromadb.PersistentClient(path=place, settings=settings), COLLECTION
        host, port, name = _read_address(place)
        client = chromadb.HttpClient(host=host, port=port, ssl=port == 443, settings=settings)
        return client, name


def _read_address(place: str) -> tuple[str, int, str]:
    """Host, port and collection of `chroma://HOST:PORT/COLLECTION`."""
    parts = urlsplit(place)
    try:
        port = parts.port or 8000
    except ValueError:
        port = 0
    name = parts.path.strip("/") or COLLECTION
    if not parts.hostname or not port or "/" in name:
        raise UsageError(f"{place}: an address of Chroma is chroma://HOST:PORT/COLLECTION")
    return parts.hostname, port, name


@contextlib.contextmanager
def _complaining(place: str) -> Iterator[None]:
    """Turn whatever Chroma and its transport raise into one line."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:  # Chroma, its server and its transport have errors of every kind
        reason = " ".join(str(error).split())[:160]
        hint = "is `chroma run` running there?" if place.startswith(CHROMA_SCHEME) else ""
        raise UserError(f"{place}: Chroma answers: {reason} {hint}".rstrip()) from error
