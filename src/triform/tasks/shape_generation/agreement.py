"""Agreement of generated shapes with the groups that their prompts name, by a classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from triform.metrics.intervals import mcnemar_exact, share_interval
from triform.tasks.shape_generation.categories import GROUPS
from triform.tasks.shape_generation.voxel_classifier import VoxelClassifier

BATCH_SIZE = 16
MAX_CONFUSED = 6


@torch.no_grad()
def predict_groups(classifier: VoxelClassifier, inputs: Tensor) -> list[str]:
    """The predicted group of each input (N, 1, 32, 32, 32)."""
    batches = torch.split(inputs, BATCH_SIZE)
    labels = torch.cat([classifier(batch).argmax(1) for batch in batches])
    return [list(GROUPS)[label] for label in labels.tolist()]


def agreement(predictions: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    """Share of predictions that equal the group, with its 95 % interval (Wilson's)."""
    num_correct = sum(_is_correct(predictions, groups))
    return {
        "agreement": round(num_correct / len(groups), 4),
        "agreement_interval": [round(end, 4) for end in share_interval(num_correct, len(groups))],
    }


def agreement_by_group(
    predictions: Sequence[str], groups: Sequence[str], names: Sequence[str] | None = None
) -> dict[str, float]:
    """Agreement within each group that occurs, in the order of names or of occurrence."""
    correct = _is_correct(predictions, groups)
    by_group = {
        name: [right for right, group in zip(correct, groups, strict=True) if group == name]
        for name in names or dict.fromkeys(groups)
    }
    return {
        name: round(sum(values) / len(values), 3) for name, values in by_group.items() if values
    }


def most_confused(predictions: Sequence[str], groups: Sequence[str]) -> dict[str, int]:
    """The most frequent wrong pairs, as "group -> predicted group": their number."""
    confusions = Counter(
        f"{group} -> {predicted}"
        for predicted, group in zip(predictions, groups, strict=True)
        if predicted != group
    )
    return dict(confusions.most_common(MAX_CONFUSED))


def compare_with_lookup(
    predictions: Sequence[str], lookup: Sequence[str], groups: Sequence[str]
) -> dict[str, Any]:
    """Agreement of a lookup, and McNemar's test between it and the generator.

    Args:
        predictions: Predicted group of the shape generated for each prompt.
        lookup: Predicted group of the shape looked up for each prompt.
        groups: Groups that the prompts name.
    """
    only_generator, only_lookup, p_value = mcnemar_exact(
        _is_correct(predictions, groups), _is_correct(lookup, groups)
    )
    return {
        **agreement(lookup, groups),
        "agreement_by_group": agreement_by_group(lookup, groups),
        "generator_alone_right": only_generator,
        "nearest_caption_alone_right": only_lookup,
        "mcnemar_p": round(p_value, 4),
    }


def _is_correct(predictions: Sequence[str], groups: Sequence[str]) -> list[bool]:
    return [predicted == group for predicted, group in zip(predictions, groups, strict=True)]
