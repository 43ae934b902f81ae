"""Opens the gallery that a search names, builds it, and brings it up to date with its sources.

An image finds a mesh by its best view v and its points p: similarity is the largest
(q . v + w q . p) / (1 + w), with the weight w of `fusion.py`. That is one inner product with each
vector (v + w p) / (1 + w), whose length is at most 1. A text is compared with the mean view and
the points, a mesh with the points.

| kind | vectors | compared with |
|---|---|---|
| `view` | one for each view | images |
| `whole` | one | texts |
| `points` | one; alone where there are no views | meshes |
| `image` | one, of a gallery of images | all |
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.base.paths import cache_dir
from triform.base.progress import progress_bar
from triform.search.base_gallery import Gallery, Record
from triform.search.chroma import ADDRESS_PREFIX, is_chroma
from triform.search.gallery import SUFFIX, create_gallery, exists, open_gallery, updating
from triform.systems.retrieval.gallery import fusion
from triform.systems.retrieval.gallery.entries import (
    Content,
    GalleryEntry,
    encode_tile,
    list_entries,
)
from triform.systems.retrieval.gallery.fusion import (
    Embeddings,
    embed_points,
    embed_views,
    with_points,
)
from triform.systems.retrieval.trained import Retriever
from triform.systems.retrieval.verb_config import SearchConfig

logger = get_logger(__name__)

VERSION = 2
ENTRIES_AT_ONCE = 16
SECONDS_BETWEEN_SAVES = 60.0
KINDS = ("points", "image", "view", "whole")
MAIN_KINDS = ("points", "image")
"""Every entry has exactly one vector of these kinds; its record describes the entry."""


@dataclass
class Changes:
    """What was changed in a gallery.

    Attributes:
        added: Number of entries that are new or have changed.
        removed: Number of entries that are gone or have changed.
        skipped: Entries that cannot be read, and why.
    """

    added: int = 0
    removed: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def open_or_build(settings: SearchConfig, retriever: Retriever) -> tuple[Gallery, Changes]:
    """Open a saved gallery, or build one from its sources or bring it up to date with them.

    Raises:
        UserError: It cannot be read, is another encoder's, or there is nothing to put into it.
        UsageError: `--index` is no location of a gallery.
    """
    encoder = encoder_id(retriever, views=settings.views)
    source = settings.gallery[0]
    if len(settings.gallery) == 1 and (source.endswith(SUFFIX) or is_chroma(source)):
        return _checked(open_gallery(source), encoder), Changes()
    entries = list_entries(settings.gallery, settings.download_path, settings.up)
    location = settings.index or str(_cache_path(settings, encoder))
    if not is_chroma(location) and Path(location).suffix != SUFFIX:
        raise UsageError(
            f"--index {location}: must end in {SUFFIX} (a file) or be "
            f"{ADDRESS_PREFIX}HOST:PORT/NAME (a Chroma server)"
        )
    with updating(location):
        gallery = _open_or_create(location, encoder, settings)
        changes = update(gallery, entries, retriever, views=settings.views)
    return gallery, changes


def encoder_id(retriever: Retriever, *, views: bool) -> str:
    """Name of a gallery's encoder; changes with the weights and with how vectors are composed."""
    composition = f"views, points {fusion.POINT_WEIGHT}" if views else "points"
    return f"retrieval {retriever.fingerprint} ({composition}, version {VERSION})"


def _checked(gallery: Gallery, encoder: str) -> Gallery:
    """The gallery, if its vectors are of this encoder."""
    if gallery.encoder != encoder:
        raise UserError(
            f"{gallery.location}: made by {gallery.encoder}, asked with {encoder}; use the "
            "weights and --views it was built with, or build it anew with --rebuild"
        )
    return gallery


def _open_or_create(location: str, encoder: str, settings: SearchConfig) -> Gallery:
    if settings.rebuild or not exists(location):
        return _create(location, encoder)
    try:
        gallery = open_gallery(location)
    except UserError as error:
        is_missing = is_chroma(location) and "has no collection" in str(error)
        if settings.index is not None and not is_missing:
            raise UserError(f"{error}; --rebuild does") from None
        if not is_missing:
            logger.warning("%s", error)
        return _create(location, encoder)
    return _checked(gallery, encoder)


def _create(location: str, encoder: str) -> Gallery:
    return create_gallery(location, encoder=encoder, metric="inner_product")


def _cache_path(settings: SearchConfig, encoder: str) -> Path:
    """The file in the cache folder for these sources and this encoder."""
    sources = [_absolute(source) for source in settings.gallery]
    digest = hashlib.sha256(repr((sources, encoder)).encode("utf-8", "surrogatepass")).hexdigest()
    return cache_dir() / "galleries" / f"{digest[:24]}{SUFFIX}"


def update(
    gallery: Gallery, entries: Sequence[GalleryEntry], retriever: Retriever, *, views: bool
) -> Changes:
    """Make a gallery hold these entries, embedding only what it lacks.

    It is saved while it grows: an interrupted build continues where it was.

    Raises:
        UserError: None of the entries can be read, or the gallery is another encoder's.
    """
    records = list(gallery.records({"kind": list(MAIN_KINDS)}).values())
    _check_sources(gallery, records, entries)
    stored = {str(record["item"]): str(record["fingerprint"]) for record in records}
    current = {entry.id: entry.fingerprint for entry in entries}
    outdated = [name for name, fingerprint in stored.items() if current.get(name) != fingerprint]
    changes = Changes(removed=len(outdated))
    if outdated:
        gallery.remove(outdated)
    missing = [entry for entry in entries if stored.get(entry.id) != entry.fingerprint]
    saved = time.monotonic()
    with progress_bar(desc="gallery", total=len(missing)) as bar:
        try:
            for batch, count in _read(missing, changes):
                changes.added += _add(gallery, batch, retriever, changes, views=views)
                bar.update(count)
                if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    gallery.save()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            gallery.save()
            raise
    if entries and not len(gallery):
        name, reason = next(iter(changes.skipped.items()))
        raise UserError(f"--gallery: nothing in it can be read; {name}: {reason}")
    if changes.added or changes.removed:
        gallery.save()
    for name, reason in changes.skipped.items():
        logger.warning("left out %s: %s", name, reason)
    return changes


def _check_sources(
    gallery: Gallery, records: Sequence[Record], entries: Sequence[GalleryEntry]
) -> None:
    """Refuse to remove what another command has added from elsewhere."""
    named = {_absolute(entry.source) for entry in entries}
    others = [str(one["source"]) for one in records if one.get("source", "") not in ("", *named)]
    if others:
        raise UserError(
            f"{gallery.location}: {len(others)} of its entries are from {others[0]}, which "
            "--gallery does not name; name it too, choose another --index, or --rebuild"
        )


def _absolute(source: str) -> str:
    return os.path.abspath(source) if os.path.exists(source) else source


def _read(
    entries: Sequence[GalleryEntry], changes: Changes
) -> Iterator[tuple[list[tuple[GalleryEntry, Content]], int]]:
    """Entries with their contents, and how many were tried; the next batch is read meanwhile."""

    def read(entry: GalleryEntry) -> Content | str:
        try:
            return entry.read()
        except UserError as error:
            return str(error)

    size = ENTRIES_AT_ONCE
    with ThreadPoolExecutor() as pool:
        batches = [entries[start : start + size] for start in range(0, len(entries), size)]
        pending = [[(entry, pool.submit(read, entry)) for entry in batch] for batch in batches[:1]]
        for next_batch in [*batches[1:], []][: len(batches)]:
            pending.append([(entry, pool.submit(read, entry)) for entry in next_batch])
            contents = []
            batch = pending.pop(0)
            for entry, future in batch:
                content = future.result()
                if isinstance(content, str):
                    changes.skipped[entry.id] = content
                else:
                    contents.append((entry, content))
            yield contents, len(batch)


def _add(
    gallery: Gallery,
    batch: Sequence[tuple[GalleryEntry, Content]],
    retriever: Retriever,
    changes: Changes,
    *,
    views: bool,
) -> int:
    """Embed and add entries; returns their number. One with damaged points is left out."""
    ids: list[str] = []
    groups: list[str] = []
    rows: list[Embeddings] = []
    records: list[Record] = []
    words: list[str] = []
    for entry, content in batch:
        is_image = content.mesh is None and content.points is None
        try:
            points = None if is_image else embed_points(content, retriever)
        except UserError as error:
            changes.skipped[entry.id] = str(error)
            continue
        for kind, some in _vectors(content, points, retriever, views=views).items():
            ids += [f"{entry.id}#{kind}{index}" for index in range(len(some))]
            groups += [entry.id] * len(some)
            rows.append(some)
            record: Record = {"kind": kind, **entry.metadata}
            if kind in MAIN_KINDS:
                tile = encode_tile(content.tile)
                record |= {"item": entry.id, "fingerprint": entry.fingerprint, "tile": tile}
                record["source"] = _absolute(entry.source)
            records += [record] * len(some)
            words += [entry.words] * len(some)
    if rows:
        encoder = encoder_id(retriever, views=views)
        vectors = np.concatenate(rows)
        gallery.add(ids, vectors, records, encoder=encoder, groups=groups, words=words)
    return len(set(groups))


def _vectors(
    content: Content, points: Embeddings | None, retriever: Retriever, *, views: bool
) -> dict[str, Embeddings]:
    """Kind -> vectors (N, D) of length at most 1."""
    if points is None:
        return {"image": retriever.encode_images(content.images)}
    if not views:
        return {"points": points}
    if not content.images and content.mesh is None:  # a cloud of points has no views
        return {"points": points, "view": points, "whole": points}
    of_views = embed_views(content, retriever)
    mean = of_views.mean(axis=0, keepdims=True)
    mean /= max(float(np.linalg.norm(mean)), 1e-9)
    return {
        "points": points,
        "view": with_points(of_views, points),
        "whole": np.asarray((mean + points) / 2),
    }
