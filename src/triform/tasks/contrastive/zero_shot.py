"""Zero-shot classification: classes are embedded by sentences with their names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from triform.base.errors import UsageError
from triform.pretrained.image_text import ImageTextModel

SLOT = "{}"


def check_templates(templates: Sequence[str]) -> None:
    """Refuse sentences without a slot for the name of a class.

    Raises:
        UsageError: One has none.
    """
    for template in templates:
        if SLOT not in template:
            raise UsageError(f"--templates {template!r}: expected {SLOT} where the class stands")


def class_embeddings(
    model: ImageTextModel, classes: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """Embed classes: the mean over the sentences of each, of length 1 again.

    Args:
        model: Encoders.
        classes: N names.
        templates: Sentences in which `{}` stands for the name.

    Returns:
        (N, D) float32.
    """
    sentences = [text.replace(SLOT, name) for name in classes for text in templates]
    embeddings = model.encode_texts(sentences).unflatten(0, (len(classes), -1))
    return F.normalize(embeddings.mean(1), dim=-1)


def zero_shot_scores(
    similarity: Tensor, labels: Tensor, ks: Sequence[int] = (1, 5)
) -> dict[str, float]:
    """Accuracy of similarities (B, N) to classes with labels (B,).

    Returns:
        `accuracy@K` for each K below N, and `mean_per_class`, its mean over classes.
    """
    right = similarity.gather(1, labels[:, None])
    # Classes that are exactly as similar rank before the right one.
    rank = (similarity >= right).sum(1)
    is_right = (rank == 1).double()
    scores = {
        f"accuracy@{k}": float((rank <= k).double().mean()) for k in ks if k < similarity.shape[1]
    }
    per_class = [is_right[labels == label].mean() for label in labels.unique()]
    return {**scores, "mean_per_class": float(torch.stack(per_class).mean())}
