"""The verb `search`: finds entries of a gallery by images, meshes or texts."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write
from triform.base.folder_listing import left_out, list_files
from triform.base.logging import get_logger
from triform.datasets.shape import COMPANION_SUFFIXES, MESH_SUFFIXES
from triform.engine.device import pick_device
from triform.geometry.io.load import load_mesh
from triform.images.contact_sheet import contact_sheet
from triform.images.read import HELD_SIDE, IMAGE_SUFFIXES, read_image
from triform.search.base_gallery import Gallery, Hit
from triform.systems.retrieval.gallery.build import KINDS, MAIN_KINDS, open_or_build
from triform.systems.retrieval.gallery.entries import (
    Content,
    blank_tile,
    decode_tile,
    image_tile,
    mesh_tile,
)
from triform.systems.retrieval.gallery.fusion import (
    Embeddings,
    embed_points,
    embed_views,
    with_points,
)
from triform.systems.retrieval.trained import EncoderOverrides, Retriever, open_retriever
from triform.systems.retrieval.verb_config import SearchConfig

logger = get_logger(__name__)

Where = dict[str, list[str]]


def search(settings: SearchConfig) -> list[dict[str, Any]] | dict[str, Any]:
    """Open the gallery, bring it up to date, and search it; without a query, describe it.

    Raises:
        UserError: Weights, gallery or a query cannot be read, or nothing is found.
        UsageError: `--where` is no FIELD=VALUE.
    """
    started = time.perf_counter()
    where = read_where(settings.where)
    pick_device(settings.device)
    overrides = EncoderOverrides(
        settings.text_encoder, settings.image_encoder, settings.image_weights
    )
    retriever = open_retriever(settings.checkpoint, settings.device, overrides)
    queries = read_queries(settings)  # before minutes of building
    gallery, changes = open_or_build(settings, retriever)
    try:
        if not queries:
            return {
                "gallery": gallery.location,
                "vectors": len(gallery),
                "added": changes.added,
                "removed": changes.removed,
                "skipped": len(changes.skipped),
                "seconds": round(time.perf_counter() - started, 2),
            }
        available = {kind for kind in KINDS if gallery.records({"kind": kind}, limit=1)}
        as_views = settings.views and "image" in available
        results = [
            find(
                gallery,
                embed_query(query, retriever, as_views=as_views),
                settings.top_k,
                {"kind": query.kinds_among(available), **where},
                words=query.name if query.kind == "text" and settings.words else "",
            )
            for query in queries
        ]
        if where and not any(results):
            raise UserError(f"--where {' '.join(settings.where)}: nothing in the gallery has that")
        if settings.sheet is not None:
            _save_sheet(settings.sheet, queries, results, gallery)
        return [
            _row(query, rank, hit)
            for query, hits in zip(queries, results, strict=True)
            for rank, hit in enumerate(hits, start=1)
        ]
    finally:
        gallery.close()


def find(
    gallery: Gallery, embeddings: Embeddings, k: int, where: Where, *, words: str = ""
) -> list[Hit]:
    """The k entries most similar to any of the embeddings (N, D) of a query.

    Args:
        gallery: Where to look.
        embeddings: Of the query; one alone where it has words.
        k: How many.
        where: Conditions on the records.
        words: What somebody typed, if entries are to be found by their names as well.
    """
    if words and gallery.has_words:
        found = gallery.search(embeddings, k, encoder=gallery.encoder, words=[words], where=where)
        return found[0]
    if words:
        logger.info("%s: names are not searched in Chroma, only embeddings", gallery.location)
    best: dict[str, Hit] = {}
    for hits in gallery.search(embeddings, k, encoder=gallery.encoder, where=where):
        for hit in hits:
            if hit.id not in best or hit.similarity > best[hit.id].similarity:
                best[hit.id] = hit
    return sorted(best.values(), key=lambda hit: -hit.similarity)[:k]


def _row(query: Query, rank: int, hit: Hit) -> dict[str, Any]:
    return {
        "query": query.name,
        "rank": rank,
        "similarity": round(hit.similarity, 4),
        "word_rank": hit.word_rank,
        "id": hit.id,
        "category": hit.record.get("category", ""),
        "caption": hit.record.get("caption", ""),
        "path": hit.record.get("path", ""),
    }


def _save_sheet(
    path: Path, queries: list[Query], results: list[list[Hit]], gallery: Gallery
) -> None:
    """Draw a row for each query: the query, then its results with their similarities."""
    found = {hit.id for hits in results for hit in hits}
    records = gallery.get([f"{one}#{kind}0" for one in found for kind in MAIN_KINDS])
    tiles = {key.rpartition("#")[0]: str(one.get("tile", "")) for key, one in records.items()}
    columns = max(len(hits) for hits in results) + 1
    images: list[np.ndarray[Any, Any]] = []
    labels: list[str] = []
    for query, hits in zip(queries, results, strict=True):
        blanks = columns - 1 - len(hits)
        row = [query.content.tile, *(decode_tile(tiles.get(hit.id, "")) for hit in hits)]
        images += [np.asarray(one) for one in [*row, *[blank_tile()] * blanks]]
        labels.append(Path(query.name).name if Path(query.name).suffix else query.name)
        labels += [f"{hit.similarity:.3f} {_label(hit)}" for hit in hits]
        labels += [""] * blanks
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        contact_sheet(images, labels, columns).save(file, format="PNG")


def _label(hit: Hit) -> str:
    return str(hit.record.get("caption") or hit.id.rpartition("/")[2])


COMPARED_KINDS = {
    "image": ("view", "points", "image"),
    "mesh": ("points", "image"),
    "text": ("whole", "points", "image"),
}
"""Kinds of the gallery's vectors that each query is compared with, the better first."""


@dataclass(frozen=True)
class Query:
    """An image, a mesh or a text to search with.

    Attributes:
        kind: What it is.
        name: The file or the text.
        content: What the encoders see of it.
    """

    kind: Literal["image", "mesh", "text"]
    name: str
    content: Content

    def kinds_among(self, available: Collection[str]) -> list[str]:
        """Kinds of the gallery's vectors that are compared with it.

        Each kind of entry takes part with the best kind of vector that it has: in a gallery of
        meshes and images both do.
        """
        kinds = [kind for kind in COMPARED_KINDS[self.kind] if kind in available]
        shapes = [kind for kind in kinds if kind != "image"]
        return shapes[:1] + (["image"] if "image" in available else [])


def read_queries(settings: SearchConfig) -> list[Query]:
    """Read images and meshes that are searched with, those of folders as well.

    Raises:
        UserError: A file cannot be read.
        UsageError: A text is empty.
    """
    queries: list[Query] = []
    for name in _files(settings.image, IMAGE_SUFFIXES, "--image"):
        image = read_image(name, longest=HELD_SIDE)
        queries.append(Query("image", name, Content(tile=image_tile(image), images=(image,))))
    for name in _files(settings.mesh, MESH_SUFFIXES, "--mesh"):
        mesh = load_mesh(name, appearance=True, up=settings.up)
        queries.append(Query("mesh", name, Content(tile=mesh_tile(mesh), mesh=mesh)))
    for name in settings.text:
        queries.append(Query("text", name, Content(tile=blank_tile())))
    return queries


def _files(names: Sequence[str], suffixes: Sequence[str], flag: str) -> Iterator[str]:
    """Names of files, with those below each folder in its place."""
    for name in names:
        if not Path(name).is_dir():
            yield name
        elif found := list_files(Path(name), suffixes, companions=COMPANION_SUFFIXES):
            yield from map(str, found)
        else:
            raise UserError(
                f"{flag} {name}: nothing in it; looked for files that end in {' '.join(suffixes)}"
                f"{left_out(Path(name), suffixes, COMPANION_SUFFIXES)}"
            )


def embed_query(query: Query, retriever: Retriever, *, as_views: bool) -> Embeddings:
    """Embeddings (N, D) of a query; the best of them counts.

    Args:
        query: What is searched with.
        retriever: The encoders.
        as_views: Whether a mesh is compared with images by its rendered views.
    """
    if query.kind == "text":
        return retriever.encode_texts([query.name])
    if query.kind == "image":
        return retriever.encode_images(query.content.images)
    points = embed_points(query.content, retriever)
    if not as_views:
        return points
    return with_points(embed_views(query.content, retriever), points)


def read_where(texts: Sequence[str]) -> dict[str, list[str]]:
    """Field -> values, of `FIELD=VALUE` texts; a field that is named twice may have either value.

    Raises:
        UsageError: A text without field or `=`.
    """
    where: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--where {text}: write FIELD=VALUE, such as category=chair")
        where.setdefault(name.strip(), []).append(value)
    return where
