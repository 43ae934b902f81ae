"""Contrastive losses with several positives for each anchor.

With points P (B, D) and images I (B, V, D), all of length 1, and logits A = scale * P I^T in
R^(B x BV), the two directions are

- from P to I: -log of the summed probability of the V positives in softmax(A), per row
  (`positives="logsumexp"`), or the mean over the V positives of -log of each one's probability
  (`positives="mean"`, arXiv:2004.11362 equation 2), or the same with the other positives left out
  of the softmax (`positives="each"`), so that they do not repel each other;
- from I to P: cross-entropy of every image over the B objects.

The loss is their mean. Where all logits are equal, the second is ln B and the first is ln B
(logsumexp), ln(B V) (mean) or ln(B V - V + 1) (each); where objects are separated perfectly, the
second is 0 and the first is 0, ln V and 0. With V = 1 all variants are the loss of CLIP
(arXiv:2103.00020 figure 3).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

Positives = Literal["logsumexp", "mean", "each"]
MAX_SCALE = 100.0


class LogitScale(nn.Module):
    """1 / temperature, learned or fixed, at most 100."""

    log_scale: Tensor

    def __init__(self, temperature: float = 0.07, *, learned: bool = False):
        super().__init__()
        value = torch.tensor(math.log(1 / temperature))
        if learned:
            self.log_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_scale", value)

    def forward(self) -> Tensor:
        # Clamped after the exponential the gradient would vanish for ever at the limit.
        return self.log_scale.clamp(max=math.log(MAX_SCALE)).exp()


def multi_positive_contrastive(
    points: Tensor,
    images: Tensor,
    scale: Tensor | float,
    *,
    positives: Positives = "logsumexp",
    ignore: Tensor | None = None,
) -> dict[str, Tensor]:
    """Mean of both directions, for any number of views.

    Args:
        points: One embedding of each object (B, D), of length 1.
        images: V embeddings of each object (B, V, D), of length 1.
        scale: 1 / temperature.
        positives: How several positives count.
        ignore: Pairs (B, B) of objects that are no negatives of each other (equal captions): bool;
            its diagonal has no meaning.

    Returns:
        Scalars: `loss`, and the directions `forward` (points to images) and `backward`.
    """
    batch, views, _ = images.shape
    logits = scale * _similarities(points, images.flatten(0, 1)).view(batch, batch, views)
    same = torch.eye(batch, dtype=torch.bool, device=logits.device)
    if ignore is not None:
        logits = logits.masked_fill((ignore & ~same)[..., None], -torch.inf)
    positive = logits.diagonal(dim1=0, dim2=1).T  # (B, V)
    negative = logits.masked_fill(same[..., None], -torch.inf).flatten(1).logsumexp(1)
    forward = _negative_log_likelihood(positive, negative, positives).mean()
    backward = (logits.logsumexp(0) - positive).mean()
    return {"loss": (forward + backward) / 2, "forward": forward, "backward": backward}


def info_nce(
    first: Tensor, second: Tensor, scale: Tensor | float, *, ignore: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE of pairs (B, D) and (B, D): the loss of CLIP."""
    return multi_positive_contrastive(first, second[:, None], scale, ignore=ignore)["loss"]


def within_views(
    images: Tensor,
    scale: Tensor | float,
    *,
    positives: Positives = "each",
    negatives: Tensor | None = None,
    is_other: Tensor | None = None,
) -> Tensor:
    """Views (B, V, D), V >= 2, of length 1: every view finds the others of its object.

    With `positives="mean"` this is SupCon (arXiv:2004.11362 equation 2); with V = 2 all variants
    are NT-Xent (arXiv:2002.05709 equation 1).

    Args:
        images: Embeddings of the views.
        scale: 1 / temperature.
        positives: How several positives count.
        negatives: Embeddings (M, D) of earlier images.
        is_other: Which of them are of another object (B, M).
    """
    batch, views, _ = images.shape
    flat = images.flatten(0, 1)
    logits = (scale * _similarities(flat, flat)).view(batch, views, batch, views)
    same = torch.eye(batch, dtype=torch.bool, device=flat.device)[:, None, :, None]
    negative = logits.masked_fill(same, -torch.inf).flatten(2).logsumexp(2)
    if negatives is not None and len(negatives):
        more = (scale * _similarities(flat, negatives)).view(batch, views, -1)
        if is_other is not None:
            more = more.masked_fill(~is_other[:, None], -torch.inf)
        negative = torch.logaddexp(negative, more.logsumexp(2))
    of_object = logits.diagonal(dim1=0, dim2=2).permute(2, 0, 1)  # (B, V, V)
    is_other_view = ~torch.eye(views, dtype=torch.bool, device=flat.device)
    positive = of_object[:, is_other_view].view(batch, views, views - 1)
    return _negative_log_likelihood(positive, negative, positives).mean()


def _negative_log_likelihood(positive: Tensor, negative: Tensor, positives: Positives) -> Tensor:
    """Loss (...) of the logits of positives (..., V) and the logsumexp (...) of negatives."""
    if positives == "each":
        return (torch.logaddexp(positive, negative[..., None]) - positive).mean(-1)
    summed = positive.logsumexp(-1)
    numerator = summed if positives == "logsumexp" else positive.mean(-1)
    return torch.logaddexp(summed, negative) - numerator


def _similarities(first: Tensor, second: Tensor) -> Tensor:
    """Inner products in float32, also under autocast: at scale 14 bf16 errs by 0.05 nat."""
    with torch.autocast(first.device.type, enabled=False):
        return first.float() @ second.float().T


def gather_with_gradient(embeddings: Tensor) -> Tensor:
    """Rows of all processes, in their order, with gradients (open_clip's `gather_with_grad`).

    Every process then computes the same loss over the whole batch. Gradients are summed in the
    backward pass, and data-parallel training takes their mean: together that is exactly the
    gradient which one process would have with the whole batch.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return embeddings
    if torch.distributed.get_world_size() == 1:
        return embeddings
    gathered: Tensor = _Gather.apply(embeddings)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, rows)
        ctx.count = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        torch.distributed.all_reduce(total)
        start = torch.distributed.get_rank() * ctx.count
        return total[start : start + ctx.count]


class MultiPositiveContrastiveLoss(nn.Module):
    """`multi_positive_contrastive` with its temperature.

    Args:
        temperature: First, or fixed, temperature.
        learned: Whether it is learned.
        positives: How several positives count.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        *,
        learned: bool = False,
        positives: Positives = "logsumexp",
    ):
        super().__init__()
        self.scale = LogitScale(temperature, learned=learned)
        self.positives: Positives = positives

    def forward(self, points: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Embeddings (B, D) and (B, V, D) of any length to the loss and its directions."""
        points, images = F.normalize(points.float(), dim=-1), F.normalize(images.float(), dim=-1)
        points, images = gather_with_gradient(points), gather_with_gradient(images)
        return multi_positive_contrastive(points, images, self.scale(), positives=self.positives)
