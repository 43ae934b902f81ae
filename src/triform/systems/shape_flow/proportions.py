"""Ratios of width and depth to height that fit what a text says of a shape.

In training every shape is shown with the ratios of its bounding box; a prompt rarely names them.
So a prompt is given ratios: drawn from those of training shapes of its kind, weighted by what else
it says. Naive Bayes: `p(ratios | kind, words)` is proportional to `p(ratios | kind)` times the
product of all `p(word | kind, ratios)`, smoothed towards the shares of the whole kind. Unlike a
lookup of similar shapes it has an answer to combinations that no training shape has.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.tasks.shape_generation.attributes import VOCABULARY

SLOTS = [slot.name for slot in VOCABULARY.slots]
KIND = SLOTS.index("kind")
RATIOS = [SLOTS.index("width_to_height"), SLOTS.index("depth_to_height")]
EVIDENCE = [
    SLOTS.index(name)
    for name in (
        *("legs", "shelves", "doors", "drawers", "seats", "armrests", "back", "form", "height"),
        "width",
    )
]
"""What tells something of proportions; colours and materials do not."""
PRIOR_COUNT = 1.0
"""Shapes that the share of the whole kind counts for beside those of equal ratios."""
MAX_SHAPES = 1_000_000
"""More are not read: 16 MB."""


class Proportions:
    """Attributes of training shapes, from which ratios are drawn.

    Args:
        attributes: (N, S) ids of `VOCABULARY`; rows without a kind or without both ratios are of
            no use.
    """

    def __init__(self, attributes: NDArray[np.integer]):
        known = (attributes[:, [KIND, *RATIOS]] > 0).all(axis=1)
        self.attributes = attributes[known].astype(np.uint8)

    def metadata(self) -> dict[str, Any]:
        """Plain data for the metadata of weights: one byte an id, compressed, as base64."""
        compressed = zlib.compress(self.attributes.tobytes(), 9)
        return {"shapes": len(self.attributes), "ids": base64.b64encode(compressed).decode()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], source: object) -> Proportions:
        """Read them from weights.

        Args:
            metadata: Result of `metadata`; empty for weights that hold none.
            source: The weights, for messages.

        Raises:
            UserError: They cannot be read.
        """
        if not metadata:
            return cls(np.zeros((0, len(SLOTS)), np.uint8))
        try:
            shape = (metadata["shapes"], len(SLOTS))
            if not 0 <= shape[0] <= MAX_SHAPES:
                raise ValueError("too many shapes")
            # Bounded: compressed data of a stranger could unpack to anything.
            max_length = shape[0] * shape[1] + 1
            ids = zlib.decompressobj().decompress(base64.b64decode(metadata["ids"]), max_length)
            attributes = np.frombuffer(ids, np.uint8).reshape(shape)
            if (attributes >= np.asarray(VOCABULARY.sizes)).any():
                raise ValueError("an id is not in the vocabulary")
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise UserError(f"{source}: its proportions cannot be read") from error
        return cls(attributes)

    def distribution(
        self, ids: NDArray[np.integer]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Ratios (M, 2) of training shapes of the kind of `ids` (S,), and their probabilities (M,).

        Ratios that `ids` have themselves are kept. Where no training shape fits, M is 0.
        """
        rows = self.attributes[self.attributes[:, KIND] == ids[KIND]]
        for slot in RATIOS:
            rows = rows[(rows[:, slot] == ids[slot]) | (ids[slot] == 0)]
        if not len(rows):
            return np.zeros((0, 2), np.uint8), np.zeros(0)
        ratios, inverse, counts = np.unique(
            rows[:, RATIOS], axis=0, return_inverse=True, return_counts=True
        )
        log_probability = np.log(counts)
        for slot in EVIDENCE:
            if ids[slot] == 0:
                continue
            matches = rows[:, slot] == ids[slot]
            share = (matches.sum() + PRIOR_COUNT / 2) / (len(rows) + PRIOR_COUNT)
            of_ratios = np.bincount(inverse.ravel(), weights=matches, minlength=len(counts))
            log_probability += np.log((of_ratios + PRIOR_COUNT * share) / (counts + PRIOR_COUNT))
        probability = np.exp(log_probability - log_probability.max())
        return ratios, probability / probability.sum()

    def complete(self, ids: NDArray[np.integer], quantile: float) -> NDArray[np.int64]:
        """Attributes `ids` (S,) with the ratios at a quantile in [0, 1) of the distribution.

        They stay unknown where the kind is.
        """
        completed = np.array(ids, np.int64)
        if ids[KIND] == 0:
            return completed
        ratios, probability = self.distribution(ids)
        if len(ratios):
            index = int(np.searchsorted(probability.cumsum(), quantile, side="right"))
            completed[RATIOS] = ratios[min(index, len(ratios) - 1)]
        return completed
