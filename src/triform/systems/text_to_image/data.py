"""Batches of images with text embeddings.

| key | shape and type | values |
|---|---|---|
| `images` | (B, C, S, S) float32 | [0, 1]; RGB, or RGB times alpha and alpha |
| `text` | (B, D) float32 | embedding of a caption, of length 1 |
| `sentence` | (B, D) float32 | that embedding, or a noisy one of the image, of length 1 |
| `words` | (B, T, W) float32 | states of the caption's words; T and W may be 0 |
| `word_mask` | (B, T) bool | true for words |
| `index` | (B) int64 | index among the training rows |

For the VAE alone there are `images` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triform.datasets.captioned.table import CaptionTable
from triform.images.read import on_background
from triform.pretrained.text_encoder import TextEncoder
from triform.systems.text_to_image.condition import TextCondition, sentence_condition
from triform.systems.text_to_image.condition_encoding import ConditionTable
from triform.systems.text_to_image.config import TextToImageTrainingConfig
from triform.systems.text_to_image.text_embedding import ClipRunEncoder, embed
from triform.tasks.contrastive.images import ResizedImages


class CaptionedImages:
    """Images of a table with embeddings of their captions.

    Attributes:
        table: The table.
        channels: 3, or 4 with transparency.
        texts: Distinct captions.

    Args:
        table: Captioned images.
        size: Pixels along each side.
        encoder: Of the captions.
        max_words: Words of a caption whose states are used; 0 = only embeddings of captions.
    """

    def __init__(self, table: CaptionTable, size: int, encoder: TextEncoder, max_words: int = 0):
        self.table = table
        self.channels = int(table.images.image(0).shape[2])
        self._pixels = ResizedImages(table, size, channels=self.channels)
        self.texts = tuple(dict.fromkeys(text for texts in table.captions for text in texts))
        self._encoder, self._max_words = encoder, max_words
        self._text_index = {text: index for index, text in enumerate(self.texts)}
        self._conditions = ConditionTable(encoder, max_words)

    @cached_property
    def text_embeddings(self) -> Tensor:
        """Embeddings (T, D) float32 of length 1 of all captions; computed when first needed."""
        return torch.from_numpy(embed(self._encoder, self.texts))

    def pixels(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images (N, S, S, C) uint8."""
        return self._pixels(rows)

    def images(self, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Images (N, C, S, S) float32 in [0, 1], colours times alpha."""
        floats = torch.from_numpy(self.pixels(rows)).permute(0, 3, 1, 2).float() / 255
        if self.channels == 4:
            floats[:, :3] *= floats[:, 3:]
        return floats.contiguous()

    def embeddings(self, captions: Sequence[str]) -> Tensor:
        """Embeddings (N, D) of captions of the table."""
        if self._max_words:
            return torch.from_numpy(embed(self._encoder, captions))
        return self.text_embeddings[[self._text_index[caption] for caption in captions]]

    def condition(self, captions: Sequence[str]) -> TextCondition:
        """Conditions of captions of the table."""
        if self._max_words:
            return self._conditions(captions)
        return sentence_condition(self.embeddings(captions))

    def first_captions(self, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """The first caption of each row."""
        return [self.table.captions[row][0] for row in rows]

    def encode_images(self, encoder: ClipRunEncoder, rows: NDArray[np.int64]) -> Tensor:
        """CLIP embeddings (N, D) of images on white."""
        images = [on_background(Image.fromarray(image)) for image in self.pixels(rows)]
        return torch.from_numpy(encoder.encode_images(images))


class TrainingBatches:
    """Batches of training rows, for the engine's loader.

    Args:
        data: Images and captions.
        training: How conditions are made.
        encoder: Embeds images as well where it is a CLIP.
    """

    def __init__(
        self, data: CaptionedImages, training: TextToImageTrainingConfig, encoder: TextEncoder
    ):
        self.data, self.training = data, training
        self.rows = data.table.rows("train")
        self.image_embeddings: Tensor | None = None
        if isinstance(encoder, ClipRunEncoder) and training.image_condition > 0:
            self.image_embeddings = data.encode_images(encoder, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __call__(self, indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
        """A batch of the rows at these indices, each with a random one of its captions."""
        rows = self.rows[list(indices)]
        draws = torch.rand(len(rows), generator=random).tolist()
        images = self.data.images(rows)
        if self.training.stage == "vae":
            return {"images": images}
        known = [self.data.table.captions[row] for row in rows]
        captions = [each[int(draw * len(each))] for each, draw in zip(known, draws, strict=True)]
        condition = self.data.condition(captions)
        text = condition.sentence
        sentence, word_mask = text.clone(), condition.word_mask
        if self.image_embeddings is not None:
            is_image = torch.rand(len(rows), generator=random) < self.training.image_condition
            noise = torch.randn(text.shape, generator=random)
            noisy = perturb(
                self.image_embeddings[list(indices)], noise, self.training.image_condition_noise
            )
            sentence[is_image] = noisy[is_image]
            word_mask = word_mask & ~is_image[:, None]
        return {
            "images": images,
            "text": text,
            "sentence": sentence,
            "words": condition.words,
            "word_mask": word_mask,
            "index": torch.tensor(list(indices)),
        }


def perturb(embeddings: Tensor, noise: Tensor, share: float) -> Tensor:
    """Embeddings (N, D) of length 1 with a share of noise, as pseudo texts.

    arXiv:2111.13792 section 3.1: image embeddings are not where text embeddings are.
    """
    mixed = (1 - share) * embeddings + share * F.normalize(noise, dim=1)
    return F.normalize(mixed, dim=1)
