"""The network that denoises latents: diffusers' `PriorTransformer` (arXiv:2305.02463)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.utils.checkpoint
from diffusers import PriorTransformer
from torch import Tensor, nn

from triform.systems.shap_e.config import ModelConfig

INIT_SCALE = 0.25


class Prior(nn.Module):
    """Predicts latents (or noise) and their variance from noisy latents, a step and a condition.

    Args:
        model: Settings.
        vectors: Vectors of a latent.
        width: Numbers per vector.
        cond_dim: Numbers per vector of a condition.
    """

    def __init__(self, model: ModelConfig, vectors: int, width: int, cond_dim: int):
        super().__init__()
        heads = model.num_heads
        self.is_image = model.model_type == "image300M"
        self.cond_dim = cond_dim
        self.transformer = cast(Any, PriorTransformer)(
            num_attention_heads=heads,
            attention_head_dim=model.prior_width // heads,
            num_layers=model.prior_layers,
            embedding_dim=width,
            num_embeddings=vectors,
            additional_embeddings=0,
            time_embed_act_fn="gelu",
            norm_in_type="layer",
            embedding_proj_norm_type="layer" if self.is_image else None,
            encoder_hid_proj_type=None,
            added_emb_type=None,
            time_embed_dim=4 * model.prior_width,
            embedding_proj_dim=cond_dim,
            clip_embed_dim=2 * width,
        )
        # A causal mask of all pairs of tokens, which nothing here uses: 4 MB at full size.
        self.transformer.register_buffer("causal_attention_mask", None, persistent=False)
        # diffusers has them in every prior; Shap-E's latents are not normalised.
        self.transformer.clip_mean.requires_grad_(False)
        self.transformer.clip_std.requires_grad_(False)
        initialize(self.transformer, model.prior_width)
        if model.lora_rank:
            add_lora(self.transformer, model.lora_rank, model.lora_alpha)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Predict.

        Args:
            x: Noisy latents (B, V, W).
            t: Steps (B,) int64.
            cond: Conditions: (B, D) of length 1 or zeros (text), or (B, P, D) (image).

        Returns:
            (B, V, 2 W): the prediction, and where its variance lies between the bounds, -1 to 1.
        """
        if not self.is_image:
            cond = cond * math.sqrt(self.cond_dim)  # unit variance
        output: Tensor = self.transformer(x, t, cond, return_dict=False)[0]
        return output

    def enable_gradient_checkpointing(self) -> None:
        """Compute the activations of each block again in the backward pass."""
        for block in self.transformer.transformer_blocks:
            block.forward = _checkpointed(block.forward)


def _checkpointed(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A forward pass whose activations are computed again in the backward pass."""

    def run(hidden: Tensor, **options: Any) -> Tensor:
        output: Tensor = torch.utils.checkpoint.checkpoint(
            forward, hidden, use_reentrant=False, **options
        )
        return output

    return run


@torch.no_grad()
def initialize(transformer: Any, width: int) -> None:
    """Initialize as Shap-E does: small normal weights, no biases, an output of zero."""
    scale = INIT_SCALE / math.sqrt(width)
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and name.startswith(("time_embedding", "transformer_b")):
            nn.init.normal_(module.weight, std=scale)
            nn.init.zeros_(module.bias)
    nn.init.normal_(transformer.positional_embedding)
    nn.init.zeros_(transformer.proj_to_clip_embeddings.weight)
    nn.init.zeros_(transformer.proj_to_clip_embeddings.bias)


LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
"""Layers with an update of low rank; the output layer stays trainable as a whole."""


def add_lora(transformer: Any, rank: int, alpha: int) -> None:
    """Freeze a transformer but for its output layer, and add LoRA (arXiv:2106.09685) by PEFT."""
    from peft import LoraConfig

    transformer.add_adapter(
        LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=list(LORA_TARGETS))
    )
    transformer.proj_to_clip_embeddings.requires_grad_(True)
