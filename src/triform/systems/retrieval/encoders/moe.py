"""Mixture-of-experts head: image features to the shared embedding space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MoEImgHead(nn.Module):
    """Linear experts, weighted by a gate (arXiv:1701.06538; dense: arXiv:1308.4214 section 2).

    Args:
        in_dim: Width of the features.
        out_dim: Width of the embedding space.
        n_experts: Experts.
        top_k: Number of experts used for each image, the largest by the gate; 0 = all (dense).
    """

    def __init__(self, in_dim: int, out_dim: int, n_experts: int = 8, top_k: int = 0):
        super().__init__()
        if not 0 <= top_k <= n_experts:
            raise ValueError(f"top_k {top_k} of {n_experts} experts")
        self.in_dim, self.out_dim, self.top_k = in_dim, out_dim, top_k
        self.experts = nn.ModuleList(nn.Linear(in_dim, out_dim) for _ in range(n_experts))
        self.gate = nn.Sequential(nn.LayerNorm(in_dim), nn.Linear(in_dim, n_experts))

    def forward(self, features: Tensor, normalize: bool = True) -> Tensor:
        """(N, in_dim) to (N, out_dim), of length 1 if `normalize`."""
        return self.with_balance(features, normalize)[0]

    def with_balance(self, features: Tensor, normalize: bool = True) -> tuple[Tensor, Tensor]:
        """Embeddings as in `forward`, and the load-balancing loss of the experts.

        The loss is E * sum_e share_e * probability_e (arXiv:2101.03961 equation 4): 1 where all
        experts are used equally, E where one is used alone.
        """
        logits = self.gate(features).float()
        probs = logits.softmax(-1)
        weights = probs
        if self.top_k:
            top = logits.topk(self.top_k, dim=-1).indices
            mask = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top, True)
            weights = logits.masked_fill(~mask, -torch.inf).softmax(-1)
            share = mask.float().mean(0) / self.top_k
        else:
            share = probs.mean(0)
        balance = len(self.experts) * (share * probs.mean(0)).sum()
        # One multiplication for all experts instead of eight.
        experts = [expert for expert in self.experts if isinstance(expert, nn.Linear)]
        weight = torch.cat([expert.weight for expert in experts])
        bias = torch.cat([expert.bias for expert in experts])
        outputs = F.linear(features, weight, bias).reshape(len(features), len(experts), -1)
        mixed = (weights.to(outputs.dtype)[..., None] * outputs).sum(1)
        return (F.normalize(mixed.float(), dim=-1) if normalize else mixed), balance
