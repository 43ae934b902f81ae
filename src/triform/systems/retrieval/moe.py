"""The mixture-of-experts head that takes picture features into the common space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MoEImgHead(nn.Module):
    """A gate weighs linear experts (arXiv:1701.06538; dense: arXiv:1308.4214 section 2).

    Args:
        in_dim: Width of the features.
        out_dim: Width of the common space.
        n_experts: Experts.
        top_k: Only the best so many experts of each picture count; 0 = all of them (dense).
    """

    def __init__(self, in_dim: int, out_dim: int, n_experts: int = 8, top_k: int = 0):
        super().__init__()
        if not 0 <= top_k <= n_experts:
            raise ValueError(f"top_k {top_k} of {n_experts} experts")
        self.in_dim, self.out_dim, self.top_k = in_dim, out_dim, top_k
        self.experts = nn.ModuleList(nn.Linear(in_dim, out_dim) for _ in range(n_experts))
        self.gate = nn.Sequential(nn.LayerNorm(in_dim), nn.Linear(in_dim, n_experts))

    def forward(self, features: Tensor, normalize: bool = True) -> Tensor:
        """(N, in_dim) to (N, out_dim), of length 1 unless told otherwise."""
        return self.with_balance(features, normalize)[0]

    def with_balance(self, features: Tensor, normalize: bool = True) -> tuple[Tensor, Tensor]:
        """The same, and how unevenly the experts are used.

        The second is E * sum_e share_e * probability_e (arXiv:2101.03961 equation 4): 1 where
        all are used alike, E where one does everything.
        """
        logits = self.gate(features).float()
        probabilities = logits.softmax(-1)
        weights = probabilities
        if self.top_k:
            chosen = logits.topk(self.top_k, dim=-1).indices
            kept = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, chosen, True)
            weights = logits.masked_fill(~kept, -torch.inf).softmax(-1)
            share = kept.float().mean(0) / self.top_k
        else:
            share = probabilities.mean(0)
        balance = len(self.experts) * (share * probabilities.mean(0)).sum()
        # One multiplication for all experts instead of eight.
        experts = [expert for expert in self.experts if isinstance(expert, nn.Linear)]
        weight = torch.cat([expert.weight for expert in experts])
        bias = torch.cat([expert.bias for expert in experts])
        each = F.linear(features, weight, bias).unflatten(-1, (len(self.experts), -1))
        mixed = (weights.to(each.dtype)[..., None] * each).sum(1)
        return (F.normalize(mixed.float(), dim=-1) if normalize else mixed), balance
