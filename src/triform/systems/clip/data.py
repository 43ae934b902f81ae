"""Batches of images with captions.

| key | shape and type | values |
|---|---|---|
| `images` | (B, 3, S, S) float32 | RGB in [0, 1]; or features (B, F) of a frozen encoder |
| `texts` | (B, K, T) int64 | token ids, then padding 0; embeddings (float32) of a frozen encoder |
| `group` | (B) int64 | equal for images that show the same |
| `text_id` | (B, K) int64 | equal for equal captions |
| `extra_texts` | (M, T) | captions of contents drawn from all, if the settings ask for them |
| `extra_group`, `extra_text_id` | (M) int64 | of those captions |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from triform.base.paths import cache_dir
from triform.base.seeding import hash_seed
from triform.datasets.captioned.table import CaptionTable
from triform.images.erasing import random_erase
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.clip.config import TRANSFORMER, DataConfig, ModelConfig
from triform.systems.clip.encoded_images import EncodedImages
from triform.tasks.contrastive.augmentation import jitter
from triform.tasks.contrastive.images import ResizedImages, to_tensor
from triform.tasks.contrastive.text_inputs import EmbeddingInputs, TextInputs, TokenInputs
from triform.text.bpe import BytePairEncoding


def make_text_inputs(model: ModelConfig, captions: Sequence[str]) -> TextInputs:
    """Inputs of the text encoder: word pieces trained on captions, or a frozen encoder."""
    if model.text_encoder == TRANSFORMER:
        return TokenInputs(BytePairEncoding.train(captions, model.vocab_size), model.max_tokens)
    encoder = load_text_encoder(model.text_encoder)
    inputs = EmbeddingInputs(encoder, cache_dir() / "texts")
    inputs(list(captions))
    return inputs


def group_ids(table: CaptionTable) -> np.ndarray:
    """(N,) int64, equal for images with the same content, or captions if no content is known."""
    ids: dict[object, int] = {}
    contents = table.contents or table.captions
    return np.array([ids.setdefault(content, len(ids)) for content in contents], np.int64)


class PairBatches:
    """Collates rows of a table into batches, for the engine's loader.

    Args:
        table: Captioned images.
        rows: Rows to use.
        images: Resized images of the table, or their features.
        text_inputs: Of the text encoder.
        data: Preprocessing and augmentation.
        training: Augment, and sample captions; otherwise the first ones are taken.
    """

    def __init__(
        self,
        table: CaptionTable,
        rows: np.ndarray,
        images: ResizedImages | EncodedImages,
        text_inputs: TextInputs,
        data: DataConfig,
        *,
        training: bool,
    ):
        self.table, self.rows, self.data, self.training = table, rows, data, training
        self.images, self.text_inputs, self.group = images, text_inputs, group_ids(table)
        _, first = np.unique(self.group[rows], return_index=True)
        self.distinct = rows[first]

    def __call__(self, indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
        """Collate the rows at these indices of `rows`."""
        rows = self.rows[list(indices)]
        count = self.data.captions_per_image
        captions = [text for row in rows for text in self._captions(row, count, random)]
        images = self.inputs(rows)
        if self.training and self.data.jitter:
            images = jitter(images, self.data.jitter, random)
        if self.training and self.data.erase:
            images = random_erase(images, self.data.erase, random)
        return {
            "images": images,
            "group": torch.from_numpy(self.group[rows]),
            **self._texts(captions, random),
        }

    def inputs(self, rows: np.ndarray) -> Tensor:
        """Images (B, 3, S, S) in [0, 1], or their features (B, F) if they were encoded."""
        images = self.images(rows)
        return images if isinstance(images, Tensor) else to_tensor(images)

    def _texts(self, captions: list[str], random: torch.Generator) -> dict[str, Tensor]:
        """Inputs and numbers of captions, and of captions of further contents in training."""
        count, num_extra = self.data.captions_per_image, self.data.extra_texts
        if not self.training or not num_extra:
            return text_batch(captions, count, self.text_inputs)
        order = torch.randperm(len(self.distinct), generator=random)[:num_extra]
        rows = self.distinct[order.numpy()]
        extra = [text for row in rows for text in self._captions(row, 1, random)]
        # In one call, so that all have the same padding.
        texts, others = self.text_inputs(captions + extra).split([len(captions), len(extra)])
        return {
            "texts": texts.unflatten(0, (-1, count)),
            "text_id": text_ids(captions).view(-1, count),
            "extra_texts": others,
            "extra_group": torch.from_numpy(self.group[rows]),
            "extra_text_id": text_ids(extra),
        }

    def _captions(self, row: int, count: int, random: torch.Generator) -> list[str]:
        """Captions of a row, sampled in training."""
        known = self.table.captions[row]
        order = list(range(len(known)))
        if self.training and len(known) > 1:
            order = torch.randperm(len(known), generator=random).tolist()
        return [known[order[index % len(known)]] for index in range(count)]


def text_batch(captions: Sequence[str], count: int, text_inputs: TextInputs) -> dict[str, Tensor]:
    """`texts` and `text_id` of a batch whose images have `count` captions each."""
    return {
        "texts": text_inputs(captions).unflatten(0, (-1, count)),
        "text_id": text_ids(captions).view(-1, count),
    }


def text_ids(texts: Sequence[str]) -> Tensor:
    """(N) int64, equal for equal texts, whatever their case."""
    return torch.tensor([hash_seed(text.lower()) for text in texts])
