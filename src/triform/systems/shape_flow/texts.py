"""Texts of shapes as conditions: every caption with its words, its sentence and its attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triform.base.errors import UserError
from triform.pretrained.text_encoder import TokenTextEncoder, load_text_encoder
from triform.pretrained.token_states import TokenTable
from triform.systems.shape_flow.condition import Condition
from triform.tasks.shape_generation.attribute_parser import parse_attributes
from triform.tasks.shape_generation.attributes import Attributes, attribute_ids


def load_token_encoder(name: str) -> TokenTextEncoder:
    """Load a text encoder that gives a state of each word.

    Raises:
        UserError: It is not there, or gives vectors of whole texts only.
    """
    encoder = load_text_encoder(name)
    if not hasattr(encoder, "encode_tokens"):
        raise UserError(
            f"--text_encoder {name}: it gives no states of single words; "
            "choose minilm or use-multilingual"
        )
    return encoder  # type: ignore[return-value]


class TextTable:
    """Conditions of many texts, each encoded once.

    Attributes:
        texts: The distinct texts.
    """

    def __init__(self, encoder: TokenTextEncoder, texts: Sequence[str], max_tokens: int):
        self.texts = list(dict.fromkeys(texts))
        self.index_of = {text: index for index, text in enumerate(self.texts)}
        self._table = TokenTable(encoder, self.texts, max_tokens)
        self._attributes = [parse_attributes(text) for text in self.texts]
        self._max_tokens = max_tokens

    def attributes(self, text: str) -> Attributes:
        """What a text says."""
        return self._attributes[self.index_of[text]]

    def sentences(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings (N, D) of texts of this table."""
        indices = [self.index_of[text] for text in texts]
        return np.asarray(self._table.embeddings[indices].numpy())

    def condition(self, texts: Sequence[str], attributes: Tensor | None = None) -> Condition:
        """Conditions of texts of this table.

        Args:
            texts: B texts.
            attributes: (B, S) int64; by default those that the texts say.
        """
        indices = [self.index_of[text] for text in texts]
        states, mask, sentences = self._table.batch(indices)
        width = self._max_tokens - states.shape[1]
        if attributes is None:
            rows = [attribute_ids(self._attributes[index]) for index in indices]
            attributes = torch.from_numpy(np.stack(rows))
        return Condition(
            attributes,
            torch.nn.functional.pad(states, (0, 0, 0, width)),
            torch.nn.functional.pad(mask, (0, width)),
            sentences,
        )


def shape_attributes(captions: Sequence[str], table: TextTable, extents: Sequence[float]) -> Tensor:
    """Ids (S,) of all that any caption of a shape says, with the ratios of its bounding box."""
    known = Attributes()
    for caption in captions:
        known = known.merged(table.attributes(caption))
    return torch.from_numpy(attribute_ids(known.with_extents(extents)))


def prompt_condition(
    encoder: TokenTextEncoder, prompts: Sequence[str], max_tokens: int
) -> Condition:
    """Conditions of prompts; an empty one is unknown altogether."""
    return TextTable(encoder, prompts, max_tokens).condition(prompts)
