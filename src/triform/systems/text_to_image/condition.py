"""Texts as conditions: the vector of a whole text, and the states of its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TextCondition:
    """Texts of B images.

    Attributes:
        sentence: (B, D) float32 of length 1, or zeros without a text.
        words: (B, T, W) float32 states of a text's tokens; T is 0 where a model knows no words.
        word_mask: (B, T) bool, which tokens are there; none without a text.
    """

    sentence: Tensor
    words: Tensor
    word_mask: Tensor

    def __len__(self) -> int:
        return len(self.sentence)

    def __getitem__(self, rows: slice | Tensor | list[int]) -> TextCondition:
        return TextCondition(self.sentence[rows], self.words[rows], self.word_mask[rows])

    def to(self, device: torch.device) -> TextCondition:
        """The same on a device."""
        parts = (self.sentence, self.words, self.word_mask)
        return TextCondition(*(part.to(device) for part in parts))

    def repeat_interleave(self, count: int) -> TextCondition:
        """Each row `count` times in a row."""
        return self[torch.arange(len(self), device=self.sentence.device).repeat_interleave(count)]

    def without_text(self, rows: Tensor) -> TextCondition:
        """No text in the rows of a mask (B,)."""
        keep = ~rows
        return TextCondition(
            self.sentence * keep[:, None], self.words, self.word_mask & keep[:, None]
        )

    def with_unknown(self) -> TextCondition:
        """All rows, and then as many without a text."""
        unknown = self.without_text(torch.ones_like(self.sentence[:, 0], dtype=torch.bool))
        return concatenate([self, unknown])


def concatenate(conditions: Sequence[TextCondition]) -> TextCondition:
    """The rows of several."""
    return TextCondition(
        torch.cat([each.sentence for each in conditions]),
        torch.cat([each.words for each in conditions]),
        torch.cat([each.word_mask for each in conditions]),
    )


def sentence_condition(sentence: Tensor) -> TextCondition:
    """Vectors (B, D) of whole texts without their words."""
    empty = sentence.new_zeros(len(sentence), 0, 0)
    return TextCondition(sentence, empty, empty.flatten(1).bool())
