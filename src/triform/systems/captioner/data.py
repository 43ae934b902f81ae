"""Batches of images with their captions.

| key | shape and type | values |
|---|---|---|
| `images` | (B, C, S, S) float32 | RGB in 0..1, C = 3; feature maps of a cached encoder |
| `captions` | (N, T) int64 | token ids, from start to end, then padding 0 |
| `image_index` | (N) int64 | index in the batch of the image that a caption is about |
| `detection_targets` | (B, K) bool | which of the detected words any caption of the image has |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.captioned.table import CaptionTable
from triform.images.erasing import random_erase
from triform.images.framing import frame_on_white
from triform.systems.captioner.augmentation import jitter, swap_left_right
from triform.systems.captioner.config import RESIZE, DataConfig
from triform.text.vocabulary import SPECIAL_TOKENS, UNKNOWN, Vocabulary, tokenize

logger = get_logger(__name__)

MAX_UNKNOWN = 0.2
"""Share of unknown words above which a vocabulary is refused."""
MAX_FREQUENCY = 0.4
"""Words in captions of more than this share of the training images are not informative."""
MAX_KNOWN_CAPTIONS = 10_000
"""Captions that are saved with the model, at most."""
CACHE_BYTES = 2**30
"""Images are kept in memory after decoding if all of them fit into this."""


def load_vocabulary(table: CaptionTable, data: DataConfig) -> Vocabulary:
    """Load the vocabulary from `vocab_path` if it exists, else build it from training captions.

    It is not written here: a run that fails before its first step leaves nothing behind.

    Raises:
        UserError: The file is no vocabulary, or the captions have no words.
    """
    captions = [caption for row in table.rows("train") for caption in table.captions[row]]
    path = Path(data.vocab_path).expanduser()
    if data.vocab_path and path.is_file():
        vocabulary = Vocabulary.load(path)
        unknown_id = vocabulary.word_to_idx[UNKNOWN]
        token_ids = [token_id for caption in captions for token_id in vocabulary.encode(caption)]
        if (share := token_ids.count(unknown_id) / len(token_ids)) > MAX_UNKNOWN:
            raise UserError(
                f"vocab_path {data.vocab_path}: knows too few of these captions' words "
                f"({share:.0%} are unknown); delete it or name another, it is then built again"
            )
        if vocabulary.freq_threshold != data.freq_threshold:
            logger.warning(
                "%s was built with freq_threshold %d; %d has no effect while the file exists",
                path,
                vocabulary.freq_threshold,
                data.freq_threshold,
            )
        return vocabulary
    return Vocabulary.build(captions, data.freq_threshold)


def known_captions(table: CaptionTable) -> list[str]:
    """The different training captions in order; empty if there are too many to choose among."""
    captions = {
        " ".join(tokenize(text)) for row in table.rows("train") for text in table.captions[row]
    }
    return sorted(captions) if len(captions) <= MAX_KNOWN_CAPTIONS else []


def informative_words(table: CaptionTable, vocabulary: Vocabulary) -> list[int]:
    """Token ids of words that tell images apart: those of not too many training images."""
    rows = table.rows("train")
    num_images = Counter(
        token_id
        for row in rows
        for token_id in {each for text in table.captions[row] for each in vocabulary.encode(text)}
    )
    special = {vocabulary.word_to_idx[word] for word in SPECIAL_TOKENS}
    return sorted(
        token_id
        for token_id, count in num_images.items()
        if token_id not in special and count <= MAX_FREQUENCY * len(rows)
    )


def resized_side(data: DataConfig, *, cached: bool = False) -> int:
    """Pixels along each side of an image before it is cropped; cached features need no margin."""
    return round(data.image_size * RESIZE) if data.random_crop and not cached else data.image_size


def resize(image: np.ndarray | Image.Image, size: int, *, frame: bool = False) -> np.ndarray:
    """Resize an image to (size, size, 3) uint8 with antialiasing.

    Args:
        image: (H, W, 3) uint8 sRGB.
        size: Rows and columns of the result; proportions are not kept.
        frame: First crop white edges and pad to a square; proportions are then kept.
    """
    if frame:
        image = frame_on_white(np.asarray(image))
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    if image.size == (size, size):
        return np.asarray(image)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def preprocess(image: np.ndarray | Image.Image, data: DataConfig) -> np.ndarray:
    """Preprocess an image as in validation: resize and crop from the middle."""
    size = resized_side(data)
    start = (size - data.image_size) // 2
    end = start + data.image_size
    return resize(image, size, frame=data.frame)[start:end, start:end]


def to_tensor(images: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


class ResizedImages:
    """Resized images (size, size, 3) by row; kept in memory if all of them fit."""

    def __init__(self, table: CaptionTable, size: int, *, frame: bool = False):
        self.table, self.size, self.frame = table, size, frame
        fits = len(table) * size * size * 3 <= CACHE_BYTES
        self._cache: dict[int, np.ndarray] | None = {} if fits else None

    def __call__(self, row: int) -> np.ndarray:
        if self._cache is not None and row in self._cache:
            return self._cache[row]
        image = resize(self.table.images.image(row), self.size, frame=self.frame)
        if self._cache is not None:
            self._cache[row] = image
        return image


class CaptionBatches:
    """Collates rows of a table into batches, for the engine's loader.

    Args:
        table: Captioned images.
        rows: Rows to use.
        vocabulary: Maps words to token ids.
        data: Preprocessing and augmentation.
        features: (len(table), C, s, s) of a frozen encoder, instead of images.
        detected: Token ids of the K words of word detection; none leaves `detection_targets` out.
        training: Augment, and sample among many captions.
    """

    def __init__(
        self,
        table: CaptionTable,
        rows: np.ndarray,
        vocabulary: Vocabulary,
        data: DataConfig,
        features: np.ndarray | None = None,
        detected: Sequence[int] = (),
        *,
        training: bool,
    ):
        self.rows, self.data, self.features, self.training = rows, data, features, training
        self.column_of = {token_id: column for column, token_id in enumerate(detected)}
        self.captions = [[vocabulary.encode(text) for text in texts] for texts in table.captions]
        self.mirrored_captions = self.captions
        if training and data.mirror:
            self.mirrored_captions = [
                [vocabulary.encode(swap_left_right(text)) for text in texts]
                for texts in table.captions
            ]
        size = resized_side(data, cached=features is not None)
        self.resized = ResizedImages(table, size, frame=data.frame)

    def __call__(self, indices: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
        """Collate the rows at these indices of `rows`."""
        rows = self.rows[list(indices)]
        mirror = torch.zeros(len(rows), dtype=torch.bool)
        if self.training and self.data.mirror and self.features is None:
            mirror = torch.rand(len(rows), generator=generator) < 0.5
        captions, image_index = [], []
        targets = torch.zeros(len(rows), len(self.column_of), dtype=torch.bool)
        for index, row in enumerate(rows):
            sentences = (self.mirrored_captions if mirror[index] else self.captions)[row]
            token_ids = {token_id for sentence in sentences for token_id in sentence}
            present = [self.column_of[each] for each in token_ids & self.column_of.keys()]
            targets[index, present] = True
            order = list(range(len(sentences)))
            if self.training and len(sentences) > self.data.captions_per_image:
                order = torch.randperm(len(sentences), generator=generator).tolist()
            for choice in order[: self.data.captions_per_image]:
                captions.append(torch.tensor(sentences[choice]))
                image_index.append(index)
        images = self.images(rows, generator)
        batch = {"detection_targets": targets} if self.column_of else {}
        return batch | {
            "images": torch.where(mirror[:, None, None, None], images.flip(3), images),
            "captions": torch.nn.utils.rnn.pad_sequence(captions, batch_first=True),
            "image_index": torch.tensor(image_index),
        }

    def images(self, rows: np.ndarray, generator: torch.Generator | None = None) -> Tensor:
        """Images or features of rows of the table, augmented if there is a generator."""
        if self.features is not None:
            return torch.from_numpy(self.features[rows].astype(np.float32))
        size, margin = self.data.image_size, self.resized.size - self.data.image_size
        crops = np.empty((len(rows), size, size, 3), np.uint8)
        for index, row in enumerate(rows):
            top = left = margin // 2
            if self.training and margin and generator is not None:
                top, left = torch.randint(margin + 1, (2,), generator=generator).tolist()
            crops[index] = self.resized(int(row))[top : top + size, left : left + size]
        images = to_tensor(crops)
        if self.training and generator is not None:
            if self.data.jitter:
                images = jitter(images, self.data.jitter, generator)
            if self.data.erase:
                images = random_erase(images, self.data.erase, generator)
        return images
