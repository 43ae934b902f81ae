"""Losses of image-text pairs: the softmax loss of CLIP and the sigmoid loss of SigLIP.

With B images, N texts, unit vectors and logits A = scale * I T^T (+ bias) in R^(B x N), and the
positives P in {0, 1}^(B x N):

- softmax (arXiv:2103.00020 figure 3): cross-entropy of every row over the texts and of every column
  over the images, and their mean. Several positives share the target equally (arXiv:2204.03610).
  One positive each and equal logits give ln N and ln B.
- sigmoid (arXiv:2303.15343 algorithm 1): -sum log sigmoid(z A) / B with z = 1 for positives,
  else -1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def image_text_logits(
    images: Tensor, texts: Tensor, scale: Tensor | float, bias: Tensor | float = 0.0
) -> Tensor:
    """Logits (B, N) of unit vectors (B, D) and (N, D), in float32 also under autocast."""
    with torch.autocast(images.device.type, enabled=False):
        return scale * images.float() @ texts.float().T + bias


def softmax_loss(
    logits: Tensor, positives: Tensor, num_texts: int | None = None
) -> dict[str, Tensor]:
    """Symmetric cross-entropy.

    Args:
        logits: (B, N).
        positives: (B, N) bool; every row has one at least, and so has every column of a text that
            searches for images.
        num_texts: Texts that search for images; the others are only searched. All by default.

    Returns:
        Scalars: `loss`, and its directions `image_to_text` and `text_to_image`.
    """
    targets = positives.to(logits)
    by_row = _cross_entropy(logits, targets)
    by_column = _cross_entropy(logits[:, :num_texts].T, targets[:, :num_texts].T)
    return {
        "loss": (by_row + by_column) / 2,
        "image_to_text": by_row,
        "text_to_image": by_column,
    }


def sigmoid_loss(logits: Tensor, positives: Tensor) -> dict[str, Tensor]:
    """Binary cross-entropy of all pairs, summed over texts and averaged over images.

    Args:
        logits: (B, N), with the bias.
        positives: (B, N) bool.

    Returns:
        `loss`, a scalar.
    """
    signs = 2 * positives.to(logits) - 1
    return {"loss": -F.logsigmoid(signs * logits).sum() / len(logits)}


def positive_pairs(
    image_group: Tensor, text_group: Tensor, text_image: Tensor, text_id: Tensor
) -> Tensor:
    """Which texts are about which images.

    A text is about all images of its group, and about all images that have a text of the same
    words in the batch.

    Args:
        image_group: (B,) groups of images that show the same.
        text_group: (N,) groups of the texts.
        text_image: (N,) index in the batch of the image that a text came with.
        text_id: (N,) equal for equal texts.

    Returns:
        (B, N) bool.
    """
    same_group = image_group[:, None] == text_group[None]
    # Matrix product instead of a loop: has image b any text that equals text n?
    came_with = F.one_hot(text_image, len(image_group)).float()
    same_text = (text_id[:, None] == text_id[None]).float()
    return same_group | ((came_with.T @ same_text) > 0)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of the cross-entropy with the positives' equal shares."""
    shares = targets / targets.sum(1, keepdim=True)
    return -(shares * logits.log_softmax(1)).sum(1).mean()
