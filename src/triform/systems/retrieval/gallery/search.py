"""The verb `search`: finds entries of a gallery by images, meshes or texts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from triform.base.errors import UserError
from triform.engine.device import pick_device
from triform.search.base_gallery import Gallery, Hit
from triform.systems.retrieval.gallery.build import KINDS, MAIN_KINDS, open_or_build
from triform.systems.retrieval.gallery.embed import Embeddings
from triform.systems.retrieval.gallery.queries import Query, embed_query, read_queries, read_where
from triform.systems.retrieval.gallery.tiles import save_sheet
from triform.systems.retrieval.trained import EncoderOverrides, open_retriever
from triform.systems.retrieval.verb_config import SearchConfig

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


def find(gallery: Gallery, embeddings: Embeddings, k: int, where: Where) -> list[Hit]:
    """The k entries most similar to any of the embeddings (N, D) of a query."""
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
        "id": hit.id,
        "category": hit.record.get("category", ""),
        "caption": hit.record.get("caption", ""),
        "path": hit.record.get("path", ""),
    }


def _save_sheet(
    path: Path, queries: list[Query], results: list[list[Hit]], gallery: Gallery
) -> None:
    found = {hit.id for hits in results for hit in hits}
    records = gallery.get([f"{one}#{kind}0" for one in found for kind in MAIN_KINDS])
    tiles = {key.rpartition("#")[0]: str(one.get("tile", "")) for key, one in records.items()}
    save_sheet(path, [(query.name, query.content.tile) for query in queries], results, tiles)
