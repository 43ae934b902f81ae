"""States of the tokens of texts, for cross-attention, and a compact table of many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK_SIZE = 1024


@dataclass(frozen=True)
class TokenStates:
    """States of the tokens of N texts, and the embeddings of the texts.

    Attributes:
        states: (N, T, D) float32; zeros where the mask is false.
        token_mask: (N, T) bool, true for tokens; T is the largest number of tokens of a text.
        embeddings: (N, dim) float32, the embeddings of the whole texts.
    """

    states: NDArray[np.float32]
    token_mask: NDArray[np.bool_]
    embeddings: NDArray[np.float32]


class TokenEncoder(Protocol):
    """What a table of token states needs of a text encoder."""

    token_dim: int

    def encode_tokens(self, texts: Sequence[str], max_tokens: int = 32) -> TokenStates:
        """N texts to states of their first `max_tokens` tokens, and to their embeddings."""
        ...


def pad_states(
    states: Sequence[NDArray[np.float32]], embeddings: NDArray[np.float32]
) -> TokenStates:
    """Pad the states (T_i, D) of each text with zeros to the longest."""
    longest = max((len(row) for row in states), default=0)
    width = states[0].shape[1] if states else 0
    padded = np.zeros((len(states), longest, width), dtype=np.float32)
    token_mask = np.zeros((len(states), longest), dtype=bool)
    for index, row in enumerate(states):
        padded[index, : len(row)] = row
        token_mask[index, : len(row)] = True
    return TokenStates(padded, token_mask, embeddings)


class TokenTable:
    """Token states and embeddings of many texts in float16 without padding, for batches.

    Attributes:
        embeddings: (N, dim) float32.
    """

    def __init__(self, encoder: TokenEncoder, texts: Sequence[str], max_tokens: int = 32) -> None:
        """Encode N texts; an empty text has no tokens and a zero embedding.

        Args:
            encoder: `minilm` or `use-multilingual`.
            texts: N texts.
            max_tokens: Tokens of a text that are kept, at most.
        """
        rows: list[NDArray[np.float16]] = []
        lengths: list[int] = []
        embeddings: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), CHUNK_SIZE):
            chunk = texts[start : start + CHUNK_SIZE]
            encoded = encoder.encode_tokens(chunk, max_tokens)
            token_mask = encoded.token_mask.copy()
            is_empty = np.array([not text.strip() for text in chunk])
            token_mask[is_empty] = False
            rows.append(encoded.states[token_mask].astype(np.float16))
            lengths += token_mask.sum(1).tolist()
            encoded.embeddings[is_empty] = 0
            embeddings.append(encoded.embeddings)
        empty = np.zeros((0, encoder.token_dim), np.float16)
        self._states = torch.from_numpy(np.concatenate([empty, *rows]))
        self._lengths = torch.tensor(lengths, dtype=torch.int64)
        self._starts = self._lengths.cumsum(0) - self._lengths
        self.embeddings = torch.from_numpy(
            np.concatenate(embeddings or [np.zeros((0, 0), np.float32)])
        )

    def __len__(self) -> int:
        return len(self._lengths)

    def batch(self, indices: Sequence[int] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, T, D) float32, token mask (B, T) bool and embeddings (B, dim) of texts.

        Args:
            indices: B indices of the texts of the constructor, repeats allowed.
        """
        selected = torch.as_tensor(indices, dtype=torch.int64)
        lengths = self._lengths[selected]
        longest = max(int(lengths.max()) if len(lengths) else 0, 1)
        position = torch.arange(longest)
        token_mask = position < lengths[:, None]
        rows = (self._starts[selected, None] + position).clamp(max=max(len(self._states) - 1, 0))
        states = torch.zeros(*token_mask.shape, self._states.shape[1])
        states[token_mask] = self._states[rows[token_mask]].float()
        return states, token_mask, self.embeddings[selected]
