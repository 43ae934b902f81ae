"""Inputs of text encoders: token ids of word pieces, or embeddings of a frozen encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from triform.base.logging import get_logger
from triform.pretrained.text_encoder import TextEncoder, embed_texts
from triform.text.bpe import BytePairEncoding

logger = get_logger(__name__)


class TokenInputs:
    """Texts to token ids.

    Attributes:
        size: Number of token ids.
        bpe: The tokenizer.
    """

    def __init__(self, bpe: BytePairEncoding, max_tokens: int):
        self.bpe, self.max_tokens, self.size = bpe, max_tokens, bpe.vocab_size
        self._has_warned = False

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """N texts to (N, T) int64, padded with 0; a longer one is cut, and that is said once."""
        token_ids, num_cut = self.bpe.encode(texts, self.max_tokens)
        if num_cut and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "%d of %d texts are longer than %d tokens and are cut; others may follow",
                num_cut,
                len(texts),
                self.max_tokens,
            )
        return torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(each) for each in token_ids], batch_first=True
        )


class EmbeddingInputs:
    """Texts to embeddings of a frozen encoder, each distinct text once.

    Attributes:
        size: Width of an embedding.
        encoder: The encoder.
    """

    def __init__(self, encoder: TextEncoder, cache: Path | None = None):
        self.encoder, self.size, self._cache = encoder, encoder.dim, cache
        self._embeddings: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """N texts to (N, size) float32."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._embeddings]
        if missing:
            vectors = embed_texts(self.encoder, missing, self._cache)
            self._embeddings.update(zip(missing, vectors, strict=True))
        return torch.from_numpy(np.stack([self._embeddings[text] for text in texts]))


TextInputs = TokenInputs | EmbeddingInputs
