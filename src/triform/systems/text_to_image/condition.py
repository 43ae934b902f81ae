"""Texts as conditions: the vector of a whole text, and the states of its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.pretrained.text_encoder import TextEncoder
from triform.systems.text_to_image.text_embedding import embed


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


def word_dim(encoder: TextEncoder, max_words: int) -> int:
    """Width of the states of words; 0 if none are used.

    Raises:
        UserError: The encoder has none.
    """
    if not max_words:
        return 0
    if not hasattr(encoder, "encode_tokens"):
        raise UserError(
            f"--text_encoder {encoder.name}: it gives no states of single words; choose "
            "use-multilingual or minilm, or --max_words 0"
        )
    return int(encoder.token_dim)  # type: ignore[attr-defined]


def encode_condition(encoder: TextEncoder, texts: Sequence[str], max_words: int) -> TextCondition:
    """Conditions of texts, words padded to the longest text.

    Args:
        encoder: The text encoder.
        texts: B texts.
        max_words: Tokens of a text that are kept; 0 = the vector of the whole text alone.

    Raises:
        UserError: The encoder has no states of words.
    """
    width = word_dim(encoder, max_words)
    if not width:
        return sentence_condition(torch.from_numpy(embed(encoder, texts)))
    # A training in mixed precision must not reach the frozen encoder.
    with torch.autocast("cpu", enabled=False):
        encoded = encoder.encode_tokens(texts, max_words)  # type: ignore[attr-defined]
    words, word_mask = torch.from_numpy(encoded.states), torch.from_numpy(encoded.token_mask)
    lengths = np.linalg.norm(encoded.embeddings, axis=1, keepdims=True)
    sentence = torch.from_numpy(encoded.embeddings / np.maximum(lengths, 1e-8))
    return TextCondition(sentence, words, word_mask)


class ConditionTable:
    """Conditions of texts, each encoded when it is first needed and kept in half precision."""

    def __init__(self, encoder: TextEncoder, max_words: int):
        self._encoder, self._max_words = encoder, max_words
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    def __call__(self, texts: Sequence[str]) -> TextCondition:
        """Conditions of B texts."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._known))
        if missing:
            encoded = encode_condition(self._encoder, missing, self._max_words)
            for index, text in enumerate(missing):
                words = encoded.words[index][encoded.word_mask[index]]
                # A copy, so that the padded states of the batch are freed.
                self._known[text] = (encoded.sentence[index].clone(), words.half().clone())
        rows = [self._known[text] for text in texts]
        longest = max(len(states) for _, states in rows)
        words = torch.zeros(len(rows), longest, rows[0][1].shape[1])
        word_mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for index, (_, states) in enumerate(rows):
            words[index, : len(states)] = states.float()
            word_mask[index, : len(states)] = True
        return TextCondition(torch.stack([row[0] for row in rows]), words, word_mask)
