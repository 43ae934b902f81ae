"""The verb `search`: finds photos by words, by images, and by both."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.printable import printable
from triform.images.contact_sheet import save_contact_sheet
from triform.search.base_gallery import Gallery, Hit, Vectors
from triform.search.conditions import Where
from triform.search.exclusion import search_without
from triform.search.words import index_tokens
from triform.systems.clip.gallery import index_file
from triform.systems.clip.gallery.filters import conditions
from triform.systems.clip.gallery.index_file import original_path
from triform.systems.clip.gallery.journal import journal_path
from triform.systems.clip.gallery.opening import open_index
from triform.systems.clip.gallery.query import Term, parse_query
from triform.systems.clip.gallery.query_vector import query_exclusion, query_vector
from triform.systems.clip.gallery.thumbnails import thumbnail
from triform.systems.clip.trained import load_model
from triform.systems.clip.verb_config import SearchConfig

logger = get_logger(__name__)

RANKED = 1000
"""Places of the ranking of all photos that are looked at first for the percentiles."""
MOST_COMPARED = 200_000
"""Photos of which all are compared for percentiles below these places."""
SHEET_COLUMNS = 5


def search(settings: SearchConfig) -> list[dict[str, Any]]:
    """Search the index.

    Returns:
        For each hit its rank; cosine similarity; percentile, the share of all photos that are less
        similar; file; when it was taken, and whether the camera says so; whether words of its
        name or folders were found.

    Raises:
        UsageError: The query or a filter makes no sense.
        UserError: No model, no index, an image of the query cannot be read, or no photo meets the
            conditions.
    """
    terms = parse_query(settings.query, settings.without)
    where = conditions(settings)
    location = index_file.check_location(settings.index_file)
    encoder = index_file.encoder_id(settings)
    model = load_model(settings)
    gallery = open_index(location)
    try:
        index_file.check_encoder(location, gallery.encoder, encoder, settings)
        _warn_of_journal(location)
        vector = query_vector(terms, model)
        words = " ".join(term.text for term in terms if not (term.is_image or term.is_negative))
        refused = _refused_tokens(terms)
        query_files = {os.path.abspath(term.text) for term in terms if term.is_image}
        k = settings.top_k + len(query_files) + (3 * settings.top_k if refused else 0)
        hits = search_without(
            gallery,
            vector,
            k,
            query_exclusion(terms, model),
            encoder=encoder,
            words=words if settings.words else None,
            where=where,
        )
        if not hits:
            raise UserError(_no_photo(gallery, terms, where))
        hits = [hit for hit in hits if original_path(hit.id) not in query_files]
        hits = [hit for hit in hits if not _has_refused(hit, refused)]
        hits = _cut(hits, settings.cutoff)[: settings.top_k]
        percentiles = _percentiles(gallery, vector, encoder, [hit.similarity for hit in hits])
    finally:
        gallery.close()
    rows = [
        _row(rank, hit, percentile)
        for rank, (hit, percentile) in enumerate(zip(hits, percentiles, strict=True), start=1)
    ]
    if settings.sort != "similarity":
        rows.sort(key=lambda row: str(row["taken"]), reverse=settings.sort == "newest")
    if settings.sheet is not None:
        _save_sheet(rows, settings)
    return rows


def _no_photo(gallery: Gallery, terms: Sequence[Term], where: Where) -> str:
    """Why nothing is found."""
    excluded = ", ".join(term.text for term in terms if term.is_negative)
    if not excluded or not gallery.records(where, limit=1):
        return f"{gallery.location}: no photo in it has what the filters ask for"
    return f"{gallery.location}: no photo fits without {printable(excluded)}; exclude less"


def _warn_of_journal(location: str) -> None:
    if journal_path(index_file.local_path(location)).exists():
        logger.warning(
            "%s: an index run is under way or was stopped; what it did is searched after "
            "`triform clip index` has ended",
            location,
        )


def _refused_tokens(terms: Sequence[Term]) -> list[set[str]]:
    """Words of each negative text."""
    texts = [term.text for term in terms if term.is_negative and not term.is_image]
    return [tokens for text in texts if (tokens := set(index_tokens(text)))]


def _has_refused(hit: Hit, refused: Sequence[set[str]]) -> bool:
    """Whether the name of a file says what must not be there."""
    if not refused:
        return False
    path = original_path(str(hit.record.get("path", "")))
    tokens = set(index_tokens(os.path.splitext(os.path.basename(path))[0]))
    return any(words <= tokens for words in refused)


def _cut(hits: list[Hit], cutoff: float) -> list[Hit]:
    """Hits that are not much less similar than the best one, or found by words."""
    if not cutoff or not hits:
        return hits
    least = max(hit.similarity for hit in hits) - cutoff
    return [hit for hit in hits if hit.similarity >= least or hit.word_rank]


def _percentiles(
    gallery: Gallery, vector: Vectors, encoder: str, similarities: Sequence[float]
) -> list[float | None]:
    """Share of all photos that are less similar, in percent; None where that takes too long."""
    (ranked,) = gallery.search(vector[None], RANKED, encoder=encoder)
    values = np.array([hit.similarity for hit in ranked])
    is_all = len(ranked) < RANKED
    if not is_all and min(similarities, default=1.0) <= values[-1] and len(gallery) < MOST_COMPARED:
        values, is_all = _all_similarities(gallery, vector), True
    count = len(values) if is_all else _num_groups(gallery)
    ascending = np.sort(values)
    shares: list[float | None] = []
    for value in similarities:
        if not is_all and value < ascending[0]:
            shares.append(None)
            continue
        # Rounding differs between the searches.
        better_or_equal = len(ascending) - int(np.searchsorted(ascending, value - 1e-6))
        shares.append(round(100 * (count - better_or_equal) / count, 2))
    return shares


def _all_similarities(gallery: Gallery, vector: Vectors) -> Vectors:
    """Similarities of all photos, for a video that of its best frame."""
    ids = list(gallery.records())
    best: dict[str, float] = {}
    for identity, value in zip(ids, gallery.vectors(ids) @ vector, strict=True):
        path = identity.rpartition("#")[0]
        best[path] = max(best.get(path, -1.0), float(value))
    return np.array(list(best.values()), np.float32)


def _num_groups(gallery: Gallery) -> int:
    return len({identity.rpartition("#")[0] for identity in gallery.records()})


def _row(rank: int, hit: Hit, percentile: float | None) -> dict[str, Any]:
    record = hit.record
    row: dict[str, Any] = {
        "rank": rank,
        "similarity": round(hit.similarity, 4),
        "percentile": percentile,
        "file": original_path(str(record.get("path", ""))),
    }
    if "second" in record:
        row["second"] = record["second"]
    return {
        **row,
        "taken": record.get("taken", ""),
        "dated_by": record.get("dated_by", ""),
        "words": bool(hit.word_rank),
    }


def _save_sheet(rows: Sequence[Mapping[str, Any]], settings: SearchConfig) -> None:
    """Draw the hits, each above its similarity and name."""
    assert settings.sheet is not None
    if not rows:
        logger.warning("--sheet %s: there are no hits to draw", settings.sheet)
        return
    images = [thumbnail(str(row["file"]), row.get("second")) for row in rows]
    labels = [
        f"{row['similarity']:.3f} {printable(os.path.basename(str(row['file'])))}" for row in rows
    ]
    save_contact_sheet(images, labels, settings.sheet, columns=SHEET_COLUMNS)
