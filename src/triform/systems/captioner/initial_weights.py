"""Weights of a captioner with another vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from triform.base.logging import NOTICE, get_logger
from triform.engine.checkpoints.building import mismatch_error
from triform.engine.checkpoints.checkpoint import Weights
from triform.text.vocabulary import Vocabulary

WORD_TENSORS = ("embedding.weight", "output_proj.weight", "output_proj.bias")
"""Tensors of the captioner with a row for each word."""

logger = get_logger(__name__)


def for_vocabulary(
    weights: Weights, words: Sequence[str], new: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Tensors of a captioner for another vocabulary; words it does not know have new rows.

    Args:
        weights: Weights of a captioner.
        words: The vocabulary, in the order of its token ids.
        new: Tensors of the network that is trained.
        path: The file, for messages.

    Raises:
        UserError: The weights have no vocabulary that fits them.
    """
    tensors = dict(weights.networks.get("captioner", {}))
    try:
        row_of = Vocabulary.from_words(weights.metadata["vocabulary"]["words"], 1).word_to_idx
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise mismatch_error(path, f"it has no vocabulary ({error})") from None
    if any(len(tensors.get(name, ())) != len(row_of) for name in WORD_TENSORS):
        raise mismatch_error(path, "its vocabulary has another size than its tensors")
    pairs = [(row, row_of[word]) for row, word in enumerate(words) if word in row_of]
    here, there = torch.tensor(pairs).reshape(-1, 2).T
    for name in WORD_TENSORS:
        if new[name].shape[1:] == tensors[name].shape[1:]:
            rows = new[name].clone()
            rows[here] = tensors[name][there].to(rows)
            tensors[name] = rows
    logger.log(
        NOTICE, "%s: it knows %d of %d words; the others are new", path, len(here), len(words)
    )
    return tensors
