"""Encoding of texts as conditions, by a frozen text encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.pretrained.text_encoder import TextEncoder
from triform.systems.text_to_image.condition import TextCondition, sentence_condition
from triform.systems.text_to_image.text_embedding import embed


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
