"""What a gallery is: vectors with records, searched by inner product.

A gallery holds vectors of one encoder and one width. Every vector has an id, a record (plain
data), and belongs to a group: the thing that is found. One thing may have several vectors (the
views of an object, and its points), and a query's similarity to it is that of its best vector, or
the mean over them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError

Vectors = NDArray[np.float32]
Record = dict[str, Any]
Where = Mapping[str, Any]
"""Field -> the value that it must have, or a list of values of which it must have one."""
Aggregate = Literal["max", "mean"]
SUFFIX = ".gallery"
CHROMA_SUFFIX = ".chroma"
CHROMA_SCHEME = "chroma://"


@dataclass(frozen=True)
class Hit:
    """One answer.

    Attributes:
        id: The group that was found.
        similarity: Cosine in [-1, 1].
        record: Of the group's best vector; with `mean`, of its first.
        vector_id: The id of that vector.
    """

    id: str
    similarity: float
    record: Record
    vector_id: str


class Gallery(Protocol):
    """Vectors of one encoder with their records.

    Attributes:
        encoder: Who made the vectors: name and hash of the weights. Others are refused.
        dim: Width of a vector; 0 while the gallery is empty and nobody said.
        place: Where it is kept, for messages.
    """

    encoder: str
    dim: int
    place: str

    def add(
        self,
        ids: Sequence[str],
        vectors: Vectors,
        records: Sequence[Mapping[str, Any]],
        *,
        encoder: str,
        groups: Sequence[str] | None = None,
    ) -> None:
        """Add N vectors; they are brought to length 1.

        Args:
            ids: One per vector, not in the gallery yet.
            vectors: (N, dim) finite numbers, none of them all zeros.
            records: Plain data, one per vector.
            encoder: Who made the vectors.
            groups: What each vector belongs to; each to itself where not given.

        Raises:
            UserError: Another encoder or width, an id twice, or numbers that are none.
        """
        ...

    def remove(self, groups: Sequence[str]) -> int:
        """Remove every vector of these groups; says how many vectors that were."""
        ...

    def search(
        self,
        queries: Vectors,
        k: int,
        *,
        encoder: str,
        where: Where | None = None,
        aggregate: Aggregate = "max",
    ) -> list[list[Hit]]:
        """The k groups most similar to each of (Q, dim) queries, best first.

        Fewer where there are not so many.

        Raises:
            UserError: The gallery is empty, or the queries are another encoder's.
        """
        ...

    def records(self, where: Where | None = None, *, limit: int = 0) -> dict[str, Record]:
        """Vector id -> record, of all vectors that have what is wanted, or of so many of them."""
        ...

    def get(self, ids: Sequence[str]) -> dict[str, Record]:
        """Vector id -> record, of those of these vectors that are there."""
        ...

    def save(self, path: str | Path | None = None) -> None:
        """Keep it where it came from, or in another file."""
        ...

    def close(self) -> None:
        """Let go of what is open; what was not saved is gone."""
        ...

    def __len__(self) -> int:
        """Number of vectors."""
        ...


def create_gallery(place: str | Path | None, *, encoder: str, dim: int = 0) -> Gallery:
    """An empty gallery.

    Args:
        place: A file (`NAME.gallery`; written by `save`) or None for memory alone; a folder
            `NAME.chroma`; or `chroma://HOST:PORT/COLLECTION`, a Chroma server. A collection that
            is there already is emptied.
        encoder: Who makes its vectors.
        dim: Width of a vector; that of the first ones where 0.
    """
    if place is not None and is_chroma(place):
        from triform.search.chroma import ChromaGallery

        return ChromaGallery.create(str(place), encoder=encoder, dim=dim)
    from triform.search.exact import ExactGallery

    return ExactGallery(encoder=encoder, dim=dim, path=None if place is None else Path(place))


def open_gallery(place: str | Path) -> Gallery:
    """The gallery that lies there: a file, a folder of Chroma, or a collection of a server.

    Raises:
        UserError: There is none, or it is damaged.
    """
    if is_chroma(place):
        from triform.search.chroma import ChromaGallery

        return ChromaGallery.open(str(place))
    from triform.search.exact import ExactGallery

    return ExactGallery.open(Path(place))


def updating(place: str | Path) -> contextlib.AbstractContextManager[None]:
    """Held from opening a gallery to saving it, so that two processes add one after the other.

    Chroma adds rows one by one and needs no such lock.
    """
    if is_chroma(place):
        return contextlib.nullcontext()
    from triform.search import gallery_file

    return gallery_file.writing(Path(place))


def is_chroma(place: str | Path) -> bool:
    """Whether a place is one of Chroma's: an address of a server, or a folder of its files."""
    if str(place).startswith(CHROMA_SCHEME):
        return True
    path = Path(place)
    return path.suffix == CHROMA_SUFFIX or (path / "chroma.sqlite3").is_file()


def exists(place: str | Path) -> bool:
    """Whether a gallery may lie there: for a server, only opening tells."""
    return str(place).startswith(CHROMA_SCHEME) or Path(place).exists()


def unit_vectors(vectors: Any, ids: Sequence[str] | None, dim: int, place: str) -> Vectors:
    """Rows of length 1.

    Args:
        vectors: (N, dim).
        ids: What the rows are called in a complaint; None for queries.
        dim: The width that they must have; 0 for any.
        place: Name of the gallery.

    Raises:
        UserError: Another shape, numbers that are not finite, or a row of zeros.
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    what = "queries" if ids is None else "vectors"
    if array.ndim != 2 or array.shape[1] == 0:
        raise UserError(f"{place}: {what} of shape {array.shape}; they have to be (N, D)")
    if dim and array.shape[1] != dim:
        raise UserError(
            f"{place}: {what} have {array.shape[1]} numbers, those of the gallery have {dim}: "
            "they come from another encoder; build the gallery anew"
        )
    lengths = np.linalg.norm(array.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        name = f"query {bad[0]}" if ids is None else f"vector {ids[bad[0]]!r}"
        kind = "is all zeros" if lengths[bad[0]] == 0 else "holds numbers that are not finite"
        raise UserError(f"{place}: {name} {kind}; embed it again")
    return np.ascontiguousarray(array / lengths[:, None], dtype=np.float32)


def check_encoder(mine: str, given: str, place: str) -> None:
    """Refuse vectors that another encoder made: their similarities would mean nothing.

    Raises:
        UserError: They are another's.
    """
    if mine != given:
        raise UserError(
            f"{place}: its vectors were made by {mine}, these by {given}; "
            "build the gallery anew with this encoder or use the other one"
        )


def check_rows(
    ids: Sequence[str], groups: Sequence[str], records: Sequence[Any], count: int, place: str
) -> list[str]:
    """The records as JSON, after a look at everything that comes with the vectors.

    Raises:
        UserError: Another number of them, an id twice, or a record that is no plain data.
    """
    if not len(ids) == len(groups) == len(records) == count:
        raise UserError(
            f"{place}: {count} vectors with {len(ids)} ids, {len(groups)} groups and "
            f"{len(records)} records; every vector needs one of each"
        )
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(one for one in ids if one in seen or seen.add(one))  # type: ignore[func-returns-value]
        raise UserError(f"{place}: the id {twice!r} stands twice")
    try:
        return [json.dumps(dict(record), ensure_ascii=False, allow_nan=False) for record in records]
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: a record is no plain data: {error}") from None


def check_where(where: Where | None, place: str) -> dict[str, list[Any]]:
    """Field -> the values of which it must have one.

    Raises:
        UserError: A field's name or value that cannot be looked for.
    """
    wanted: dict[str, list[Any]] = {}
    for field, value in (where or {}).items():
        values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        if not field or '"' in field or not values:
            raise UserError(f"{place}: where {field!r} = {value!r} cannot be looked for")
        if not all(isinstance(one, str | int | float | bool) for one in values):
            raise UserError(f"{place}: where {field!r} must be text or numbers, not {value!r}")
        wanted[field] = values
    return wanted


def check_k(k: int, count: int, place: str) -> None:
    """Refuse to search nothing.

    Raises:
        UserError: The gallery is empty, or no answers are asked for.
    """
    if k < 1:
        raise UserError(f"{place}: {k} answers asked for, choose 1 or more")
    if count == 0:
        raise UserError(f"{place}: the gallery is empty; add something to it first")
