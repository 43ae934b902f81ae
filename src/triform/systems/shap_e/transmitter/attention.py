"""Blocks of self-attention and cross-attention with the weights of Shap-E's."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

INIT_SCALE = 0.25


def linear(inputs: int, outputs: int, std: float) -> nn.Linear:
    """A linear layer with normal weights and no bias at the beginning."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, std: float):
        super().__init__()
        self.c_fc = linear(width, 4 * width, std)
        self.c_proj = linear(4 * width, width, std)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, W) to (B, T, W)."""
        output: Tensor = self.c_proj(F.gelu(self.c_fc(x)))
        return output


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of (B, T, H, C) to (B, S, H, C): (B, T, H C)."""
    output = F.scaled_dot_product_attention(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    )
    return output.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Self-attention; queries, keys and values of a head lie side by side in the projection."""

    def __init__(self, width: int, heads: int, std: float):
        super().__init__()
        self.heads = heads
        self.c_qkv = linear(width, 3 * width, std)
        self.c_proj = linear(width, width, std)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, W) to (B, T, W)."""
        qkv = self.c_qkv(x).unflatten(-1, (self.heads, -1))
        output: Tensor = self.c_proj(attend(*qkv.chunk(3, dim=-1)))
        return output


class CrossAttention(nn.Module):
    """Attention of tokens to data."""

    def __init__(self, width: int, heads: int, std: float):
        super().__init__()
        self.heads = heads
        self.c_q = linear(width, width, std)
        self.c_kv = linear(width, 2 * width, std)
        self.c_proj = linear(width, width, std)

    def forward(self, x: Tensor, data: Tensor) -> Tensor:
        """Tokens (B, T, W) and data (B, S, W) to (B, T, W)."""
        query = self.c_q(x).unflatten(-1, (self.heads, -1))
        key, value = self.c_kv(data).unflatten(-1, (self.heads, -1)).chunk(2, dim=-1)
        output: Tensor = self.c_proj(attend(query, key, value))
        return output


class SelfAttentionBlock(nn.Module):
    """Self-attention and MLP, each with a norm before and a residual."""

    def __init__(self, width: int, heads: int, std: float):
        super().__init__()
        self.attn = SelfAttention(width, heads, std)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = MLP(width, std)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, W) to (B, T, W)."""
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x


class CrossAttentionBlock(nn.Module):
    """Cross-attention and MLP, each with a norm before and a residual."""

    def __init__(self, width: int, heads: int, std: float):
        super().__init__()
        self.attn = CrossAttention(width, heads, std)
        self.ln_1 = nn.LayerNorm(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width, std)
        self.ln_3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, data: Tensor) -> Tensor:
        """Tokens (B, T, W) and data (B, S, W) to (B, T, W)."""
        x = x + self.attn(self.ln_1(x), self.ln_2(data))
        x = x + self.mlp(self.ln_3(x))
        return x


class Transformer(nn.Module):
    """Blocks of self-attention."""

    def __init__(self, width: int, layers: int, heads: int):
        super().__init__()
        std = INIT_SCALE / math.sqrt(width)
        self.resblocks = nn.ModuleList(SelfAttentionBlock(width, heads, std) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, W) to (B, T, W)."""
        for block in self.resblocks:
            x = block(x)
        return x


class Perceiver(nn.Module):
    """Blocks of cross-attention to the same data (arXiv:2103.03206)."""

    def __init__(self, width: int, layers: int, heads: int):
        super().__init__()
        std = INIT_SCALE / math.sqrt(width)
        self.resblocks = nn.ModuleList(
            CrossAttentionBlock(width, heads, std) for _ in range(layers)
        )

    def forward(self, x: Tensor, data: Tensor) -> Tensor:
        """Tokens (B, T, W) and data (B, S, W) to (B, T, W)."""
        for block in self.resblocks:
            x = block(x, data)
        return x
