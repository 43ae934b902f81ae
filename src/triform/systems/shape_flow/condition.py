"""Conditions of the flows: attributes, a text's words and its sentence vector."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triform.layers.rectified_flow import time_embedding
from triform.systems.shape_flow.config import ModelConfig

TIME_DIM = 64


@dataclass(frozen=True)
class Condition:
    """What is known about each of B shapes.

    Attributes:
        attributes: (B, S) int64 ids of a vocabulary of attributes; 0 is unknown.
        words: (B, L, D) float32 states of a text's tokens.
        word_mask: (B, L) bool, which tokens are there; none without a text.
        sentence: (B, D) float32 of length 1, or zeros without a text.
    """

    attributes: Tensor
    words: Tensor
    word_mask: Tensor
    sentence: Tensor

    def __len__(self) -> int:
        return len(self.attributes)

    def repeat(self, count: int) -> Condition:
        """All rows, `count` times."""
        return Condition(
            self.attributes.repeat(count, 1),
            self.words.repeat(count, 1, 1),
            self.word_mask.repeat(count, 1),
            self.sentence.repeat(count, 1),
        )

    def concatenate(self, other: Condition) -> Condition:
        """The rows of both."""
        return Condition(
            torch.cat([self.attributes, other.attributes]),
            torch.cat([self.words, other.words]),
            torch.cat([self.word_mask, other.word_mask]),
            torch.cat([self.sentence, other.sentence]),
        )

    def without_text(self, rows: Tensor) -> Condition:
        """No text in the rows of a mask (B,)."""
        keep = ~rows
        return replace(
            self,
            word_mask=self.word_mask & keep[:, None],
            sentence=self.sentence * keep[:, None],
        )

    def without_attributes(self, dropped: Tensor) -> Condition:
        """Unknown attributes where a mask (B, S) is true."""
        return replace(self, attributes=self.attributes.masked_fill(dropped, 0))

    def unknown(self) -> Condition:
        """Nothing is known of any row: the condition that guidance leads away from."""
        everything = torch.ones_like(self.attributes, dtype=torch.bool)
        return self.without_text(everything[:, 0]).without_attributes(everything)


def drop_conditions(
    condition: Condition, *, whole: float, text: float, attribute: float
) -> Condition:
    """Drop shares of the conditions at random: all of a row, its text, or single attributes."""
    batch, slots = condition.attributes.shape
    device = condition.attributes.device
    draws = torch.rand(batch, slots + 2, device=device)
    dropped = draws[:, 0] < whole
    without = condition.without_attributes((draws[:, 2:] < attribute) | dropped[:, None])
    return without.without_text((draws[:, 1] < text) | dropped)


class AttributeEmbedding(nn.Module):
    """A vector for each attribute (B, S) to (B, S, A), from one table for all slots."""

    offsets: Tensor

    def __init__(self, sizes: tuple[int, ...], dim: int):
        super().__init__()
        self.table = nn.Embedding(sum(sizes), dim)
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.table(ids + self.offsets)
        return embedded


class ConditionVector(nn.Module):
    """Time, attributes and sentence as one vector (B, condition_dim)."""

    def __init__(self, model: ModelConfig, sizes: tuple[int, ...], text_dim: int):
        super().__init__()
        self.attributes = AttributeEmbedding(sizes, model.attribute_dim)
        inputs = TIME_DIM + len(sizes) * model.attribute_dim + text_dim
        self.layers = nn.Sequential(
            nn.Linear(inputs, 2 * model.condition_dim),
            nn.SiLU(),
            nn.Linear(2 * model.condition_dim, model.condition_dim),
        )
        self.scale = math.sqrt(text_dim)

    def forward(self, t: Tensor, condition: Condition) -> Tensor:
        embedded = self.attributes(condition.attributes).flatten(1)
        # The unit vector is scaled to unit variance in each dimension.
        inputs = [time_embedding(t, TIME_DIM), embedded, condition.sentence * self.scale]
        vector: Tensor = F.silu(self.layers(torch.cat(inputs, dim=1)))
        return vector
