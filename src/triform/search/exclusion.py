"""Searches that leave out what must not be there, and not only what the query's vector avoids.

A vector without its part along an excluded term still finds things that show it: the sentence
"biking" itself is close to a man on a bicycle. Every candidate is therefore compared with two
texts, the query ("biking") and the query with the excluded term ("man biking"). It is left out
where the second fits better, both in standard deviations over the gallery: similarities to two
texts have no common zero. Measured in `docs/log.md`, beside thresholds and subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triform.search.base_gallery import Gallery, Hit, Vectors
from triform.search.conditions import Where

SAMPLE = 4096
"""Vectors of a gallery that give mean and deviation of its similarities."""
MIN_SAMPLE = 100
"""Below so many vectors a deviation says nothing, and nothing is left out."""
MAX_COMPARED = 4096
"""Hits that are compared, unless more are asked for: what comes later fits the query no more."""
_GROWTH = 4


@dataclass(frozen=True)
class Exclusion:
    """What a query looks for, and the same with what must not be there.

    Attributes:
        query: (D,) of length 1.
        combined: (M, D) of length 1, each of the query together with an excluded term.
    """

    query: Vectors
    combined: Vectors


def is_excluded(vectors: Vectors, exclusion: Exclusion, sample: Vectors) -> NDArray[np.bool_]:
    """Which of N vectors are closer to a combined text than to the query.

    Args:
        vectors: (N, D).
        exclusion: What is compared.
        sample: (S, D) of the gallery, for mean and deviation of the similarities.
    """
    directions = np.concatenate([exclusion.query[None], exclusion.combined]).T
    reference = sample @ directions
    deviation = np.maximum(reference.std(axis=0), 1e-12)
    standardized = (vectors @ directions - reference.mean(axis=0)) / deviation
    excluded: NDArray[np.bool_] = (standardized[:, 1:] > standardized[:, :1]).any(axis=1)
    return excluded


def search_without(
    gallery: Gallery,
    query: Vectors,
    k: int,
    exclusion: Exclusion | None,
    *,
    encoder: str,
    words: str | None = None,
    where: Where | None = None,
) -> list[Hit]:
    """The k best hits that are not excluded, in the order of `Gallery.search`.

    A group is judged by its best vector. Fewer than k where not so many are left.

    Args:
        gallery: What is searched.
        query: (D,), which gives the order.
        k: How many.
        exclusion: What must not be there; None for nothing.
        encoder: Of the query.
        words: As in `Gallery.search`.
        where: As in `Gallery.search`.
    """
    texts = None if words is None else [words]
    compares = exclusion is not None and len(gallery) >= MIN_SAMPLE
    sample = gallery.sample(SAMPLE if compares else 0)
    depth = _GROWTH * k if compares else k
    while True:
        (hits,) = gallery.search(query[None], depth, encoder=encoder, words=texts, where=where)
        if exclusion is None or not compares or not hits:
            return hits
        excluded = is_excluded(gallery.vectors([hit.vector_id for hit in hits]), exclusion, sample)
        remaining = [hit for hit, out in zip(hits, excluded, strict=True) if not out]
        if len(remaining) >= k or len(hits) < depth or depth >= max(k, MAX_COMPARED):
            return remaining[:k]
        depth *= _GROWTH
