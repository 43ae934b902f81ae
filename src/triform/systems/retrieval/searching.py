"""The verb `search`: a gallery built once, asked by picture, mesh or text."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.paths import cache_dir
from triform.engine.device import pick_device
from triform.geometry.load import load_mesh
from triform.geometry.sheet import contact_sheet
from triform.images.read import HELD_SIDE, read_image
from triform.search.gallery import (
    CHROMA_SCHEME,
    CHROMA_SUFFIX,
    SUFFIX,
    Gallery,
    Hit,
    create_gallery,
    exists,
    is_chroma,
    open_gallery,
    updating,
)
from triform.systems.retrieval import fusion
from triform.systems.retrieval.gallery_building import (
    Changes,
    asked,
    encode_shape,
    encode_views,
    maker,
    update,
    widened,
)
from triform.systems.retrieval.gallery_items import (
    TILE,
    Content,
    list_items,
    mesh_tile,
    picture_tile,
    unpacked_tile,
)
from triform.systems.retrieval.trained import GivenEncoders, Retriever, open_retriever
from triform.systems.retrieval.verbs import SearchConfig

logger = get_logger(__name__)

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Query:
    """A question, ready to be asked.

    Attributes:
        name: The file or the sentence.
        vectors: Its embeddings (n, D + 1); the best of them counts.
        kinds: Kinds of the gallery's vectors that answer it, the better first.
        tile: Picture of it for the sheet.
    """

    name: str
    vectors: Vectors
    kinds: tuple[str, ...]
    tile: Image.Image


def search(settings: SearchConfig) -> list[dict[str, Any]] | dict[str, Any]:
    """Build or open the gallery and answer; without a question, say what is in it.

    Raises:
        UserError: Weights, gallery or a question cannot be read, or nothing answers.
        UsageError: `--where` is no FIELD=VALUE.
    """
    started = time.perf_counter()
    where = read_where(settings.where)
    pick_device(settings.device)
    retriever = open_retriever(settings.checkpoint, settings.device)
    retriever.given = GivenEncoders(
        settings.text_encoder, settings.image_encoder, settings.image_weights
    )
    contents = read_questions(settings)  # before minutes of building
    gallery, changes = find_gallery(settings, retriever)
    try:
        kinds = _kinds(gallery)
        queries = make_queries(settings, contents, retriever, kinds)
        if not queries:
            return {
                "gallery": gallery.place, "vectors": len(gallery), "added": changes.added,
                "removed": changes.removed, "skipped": len(changes.skipped),
                "seconds": round(time.perf_counter() - started, 2),
            }  # fmt: skip
        answers = [answer(gallery, query, settings.top_k, where, kinds) for query in queries]
        if where and not any(answers):
            raise UserError(f"--where {' '.join(settings.where)}: nothing in the gallery has that")
        if settings.sheet is not None:
            save_sheet(gallery, queries, answers, settings.sheet)
        return [
            {
                "query": query.name, "rank": rank, "similarity": round(hit.similarity, 4),
                "id": hit.id, "category": hit.record.get("category", ""),
                "caption": hit.record.get("caption", ""), "path": hit.record.get("path", ""),
            }
            for query, hits in zip(queries, answers, strict=True)
            for rank, hit in enumerate(hits, start=1)
        ]  # fmt: skip
    finally:
        gallery.close()


def read_where(texts: Sequence[str]) -> dict[str, list[str]]:
    """Field -> values, of `FIELD=VALUE` words; one field given twice means either value.

    Raises:
        UsageError: A word without field or `=`.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--where {text}: write FIELD=VALUE, such as category=chair")
        found.setdefault(name.strip(), []).append(value)
    return found


def read_questions(settings: SearchConfig) -> list[tuple[str, str, Content | None]]:
    """Kind, name and content of every question.

    Raises:
        UserError: A file cannot be read, or a sentence is empty.
    """
    found: list[tuple[str, str, Content | None]] = []
    for name in settings.picture:
        picture = read_image(name, longest=HELD_SIDE)
        found.append(("picture", name, Content(tile=picture_tile(picture), pictures=(picture,))))
    for name in settings.mesh:
        mesh = load_mesh(name, appearance=True)
        found.append(("mesh", name, Content(tile=mesh_tile(mesh), mesh=mesh)))
    for name in settings.text:
        if not name.strip():
            raise UsageError("--text: an empty sentence; say what is looked for")
        found.append(("text", name, None))
    return found


def make_queries(
    settings: SearchConfig,
    contents: Sequence[tuple[str, str, Content | None]],
    retriever: Retriever,
    kinds: frozenset[str],
) -> list[Query]:
    """Questions as vectors."""
    queries = []
    for kind, name, content in contents:
        if content is None:
            vectors = retriever.encode_texts([name])
            tile = Image.new("RGB", (TILE, TILE), "white")
            queries.append(Query(name, asked(vectors), ("whole", "points", "picture"), tile))
        elif kind == "picture":
            vectors = retriever.encode_images(content.pictures)
            order = ("view", "points", "picture")
            queries.append(Query(name, asked(vectors), order, content.tile))
        else:
            vectors = encode_shape(content, retriever)
            if "picture" in kinds and settings.views:  # what a mesh is found by, the other way
                weight = fusion.POINT_WEIGHT
                seen = encode_views(content, retriever)
                fused = widened((seen + weight * vectors) / (1 + weight))
                queries.append(Query(name, fused, ("points", "picture"), content.tile))
            else:
                queries.append(Query(name, asked(vectors), ("points", "picture"), content.tile))
    return queries


def find_gallery(settings: SearchConfig, retriever: Retriever) -> tuple[Gallery, Changes]:
    """The gallery that was asked for, up to date with what it is made of.

    Raises:
        UserError: It cannot be read, is another encoder's, or there is nothing to put into it.
    """
    encoder = maker(retriever, views=settings.views)
    if len(settings.gallery) == 1 and _is_saved(settings.gallery[0]):
        return _checked(open_gallery(settings.gallery[0]), encoder), Changes()
    items = list_items(settings.gallery, settings.download_path)
    place = settings.index or str(_cached(settings, encoder))
    if not place.startswith(CHROMA_SCHEME) and Path(place).suffix not in (SUFFIX, CHROMA_SUFFIX):
        raise UsageError(
            f"--index {place}: must end in {SUFFIX} (a file) or {CHROMA_SUFFIX} (a folder), or be "
            f"{CHROMA_SCHEME}HOST:PORT/NAME"
        )
    with updating(place):
        gallery = _open_or_create(place, encoder, settings)
        changes = update(gallery, items, retriever, views=settings.views)
    return gallery, changes


def _is_saved(name: str) -> bool:
    """Whether this is a gallery that was built before, not what one is made of."""
    return name.startswith(CHROMA_SCHEME) or name.endswith(SUFFIX) or is_chroma(name)


def _checked(gallery: Gallery, encoder: str) -> Gallery:
    """The gallery, where its vectors are of this encoder."""
    if gallery.encoder != encoder:
        raise UserError(
            f"{gallery.place}: made by {gallery.encoder}, asked with {encoder}; use the weights "
            "and --views it was built with, or build it anew with --rebuild"
        )
    return gallery


def _open_or_create(place: str, encoder: str, settings: SearchConfig) -> Gallery:
    if settings.rebuild or not exists(place):
        return create_gallery(place, encoder=encoder)
    try:
        gallery = open_gallery(place)
    except UserError as error:
        if is_chroma(place) and "has no collection" in str(error):
            return create_gallery(place, encoder=encoder)
        if settings.index is not None:
            raise UserError(f"{error}; --rebuild does") from None
        logger.warning("%s", error)
        return create_gallery(place, encoder=encoder)
    return _checked(gallery, encoder)


def _cached(settings: SearchConfig, encoder: str) -> Path:
    """The file in the cache folder for these sources and this encoder."""
    sources = [os.path.abspath(s) if os.path.exists(s) else s for s in settings.gallery]
    digest = hashlib.sha256(repr((sources, encoder)).encode("utf-8", "surrogatepass")).hexdigest()
    return cache_dir() / "galleries" / f"{digest[:24]}{SUFFIX}"


def _kinds(gallery: Gallery) -> frozenset[str]:
    """Kinds of vectors that the gallery has."""
    kinds = ("points", "picture", "view", "whole")
    return frozenset(kind for kind in kinds if gallery.records({"kind": kind}, limit=1))


def answer(
    gallery: Gallery, query: Query, k: int, where: dict[str, list[str]], kinds: frozenset[str]
) -> list[Hit]:
    """The k best items for one question.

    Each kind of item answers with the best kind of vector that it has: in a gallery of meshes and
    pictures both take part.
    """
    answering = [kind for kind in query.kinds if kind in kinds and kind != "picture"][:1]
    answering += ["picture"] if "picture" in kinds else []
    best: dict[str, Hit] = {}
    found = gallery.search(
        query.vectors, k, encoder=gallery.encoder, where={"kind": answering, **where}
    )
    for hit in (hit for hits in found for hit in hits):
        if hit.id not in best or hit.similarity > best[hit.id].similarity:
            best[hit.id] = hit
    return sorted(best.values(), key=lambda hit: -hit.similarity)[:k]


def save_sheet(
    gallery: Gallery, queries: Sequence[Query], answers: Sequence[Sequence[Hit]], path: Path
) -> None:
    """A row for each question: itself, then its answers with their similarities."""
    columns = max(len(hits) for hits in answers) + 1
    pictures, labels = [], []
    for query, hits in zip(queries, answers, strict=True):
        tiles = _tiles(gallery, [hit.id for hit in hits])
        row = [query.tile, *tiles]
        row += [Image.new("RGB", (TILE, TILE), "white")] * (columns - len(row))
        pictures += [np.asarray(tile) for tile in row]
        name = Path(query.name).name if Path(query.name).suffix else query.name
        words = [name, *(f"{hit.similarity:.3f} {_label(hit)}" for hit in hits)]
        labels += [*words, *[""] * (columns - len(words))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        contact_sheet(pictures, labels, columns).save(file, format="PNG")


def _label(hit: Hit) -> str:
    """What an answer is called on the sheet."""
    return str(hit.record.get("caption") or hit.id.rpartition("/")[2])


def _tiles(gallery: Gallery, ids: Sequence[str]) -> list[Image.Image]:
    records = gallery.get([f"{one}#{kind}0" for one in ids for kind in ("points", "picture")])
    texts = (
        next(
            (str(records[key].get("tile", "")) for kind in ("points", "picture")
             if (key := f"{one}#{kind}0") in records), "",
        )
        for one in ids
    )  # fmt: skip
    return [unpacked_tile(text) for text in texts]
