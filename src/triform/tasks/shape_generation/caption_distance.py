"""Distance of prompts to the training captions, which travel in the metadata of the weights.

Of many captions those are selected that are near all others. `scripts/prompt_distance.py`
measures how often known and unknown prompts are further than `MAX_DISTANCE` from them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.paths import cache_dir
from triform.base.printable import shorten
from triform.pretrained.text_encoder import TextEncoder, embed_texts

logger = get_logger(__name__)

ENCODER = "minilm"
"""The text encoder of `MAX_DISTANCE`."""
MAX_DISTANCE = 0.5
"""Cosine distance to the nearest caption beyond which a prompt is unknown."""
MAX_DISTANCES = {ENCODER: MAX_DISTANCE, "use-multilingual": 0.56}
"""The same of each text encoder for which it was measured; for others there is no warning."""
MAX_NAMED = 5
"""Unknown prompts that a warning names; the others are counted."""
MAX_CAPTIONS = 1024
MAX_CANDIDATES = 20_000
TEMPLATE = re.compile(r"^\s*(an? )?3d model of (?=\S)", re.IGNORECASE)
"""Beginning that prompts and training texts share, whatever follows; it would make all near."""


def training_captions(
    encoder: TextEncoder,
    texts: Sequence[str],
    embeddings: NDArray[np.float32],
    max_captions: int = MAX_CAPTIONS,
) -> dict[str, Any]:
    """Select texts that represent all, each the furthest from those before it.

    Args:
        encoder: Their encoder.
        texts: N texts, empty ones allowed.
        embeddings: (N, D) or wider, of length 1.
        max_captions: Texts to select, at most.

    Returns:
        Plain data: the texts, and their embeddings in eight bits as base64; empty for an encoder
        whose distances were not measured.
    """
    rows = np.array([row for row, text in enumerate(texts) if text.strip()], np.int64)
    if encoder.name not in MAX_DISTANCES or not len(rows):
        return {}
    rows = np.random.default_rng(0).permutation(rows)[:MAX_CANDIDATES]
    candidates = embeddings[rows, : encoder.dim]
    selected: list[int] = []
    similarity = np.full(len(rows), -1.0, np.float32)
    while len(selected) < min(max_captions, len(rows)):
        selected.append(int(similarity.argmin()))
        similarity = np.maximum(similarity, candidates @ candidates[selected[-1]])
    vectors = candidates[selected]
    int8 = np.round(vectors / np.abs(vectors).max(axis=1, keepdims=True) * 127).astype(np.int8)
    return {
        "texts": [texts[row] for row in rows[selected]],
        "embeddings": base64.b64encode(int8.tobytes()).decode(),
    }


def nearest_captions(
    embeddings: NDArray[np.float32], captions: Mapping[str, Any]
) -> tuple[NDArray[np.float32], list[str]]:
    """Cosine distances (N,) to the nearest captions, and those captions.

    Args:
        embeddings: (N, D), of length 1.
        captions: Result of `training_captions`, not empty.

    Raises:
        KeyError, TypeError, ValueError: It is not one, or of another width.
    """
    texts = captions["texts"]
    int8 = np.frombuffer(base64.b64decode(captions["embeddings"]), np.int8)
    vectors = int8.reshape(len(texts), embeddings.shape[1]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = embeddings @ vectors.T
    nearest = similarities.argmax(axis=1)
    return 1 - similarities.max(axis=1), [texts[index] for index in nearest]


def warn_of_unknown(
    prompts: Sequence[str], encoder: TextEncoder, captions: Mapping[str, Any], source: object
) -> list[str]:
    """Name the prompts that are far from all training captions in a warning.

    Args:
        prompts: Prompts in any language; empty ones are known.
        encoder: The text encoder of the weights.
        captions: Result of `training_captions`, from the weights' metadata; may be empty.
        source: The weights, for messages.

    Returns:
        The prompts that are far, each once; none where the weights hold no captions, or their
        encoder has no measured threshold.

    Raises:
        UserError: The captions cannot be read.
    """
    texts = list(dict.fromkeys(prompt for prompt in prompts if prompt.strip()))
    max_distance = MAX_DISTANCES.get(encoder.name)
    if not captions or not texts or max_distance is None:
        return []
    bare = [TEMPLATE.sub("", text) for text in texts]
    embeddings = embed_texts(encoder, bare, cache_dir() / "embeddings")
    try:
        distances, nearest = nearest_captions(embeddings, captions)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source}: its captions cannot be read") from error
    unknown = np.flatnonzero(distances > max_distance).tolist()
    named = [
        f"{shorten(texts[i])!r} (nearest {shorten(nearest[i])!r}, distance {distances[i]:.2f})"
        for i in unknown[:MAX_NAMED]
    ]
    if unknown:
        more = f" and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
        logger.warning(
            "far from every training caption (distance above %g), so expect debris: %s%s",
            max_distance,
            ", ".join(named),
            more,
        )
    return [texts[i] for i in unknown]
