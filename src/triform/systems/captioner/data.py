"""Pictures with all their captions become batches.

| key | shape and type | values |
|---|---|---|
| `images` | (B, C, S, S) float32 | RGB in 0..1, C = 3; of a frozen encoder its feature maps |
| `captions` | (N, T) int64 | numbers of words, from start to end, then padding 0 |
| `picture` | (N) int64 | which picture of the batch a caption is about |
| `shown` | (B, K) bool | which of the words that are looked for any of its captions has |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.datasets.captioned.framing import framed
from triform.datasets.captioned.load import load_captioned
from triform.datasets.captioned.table import CaptionTable
from triform.systems.captioner.config import RESIZE, Config, DataConfig
from triform.text.vocabulary import SPECIAL, UNKNOWN, Vocabulary, words_of

logger = get_logger(__name__)

MANY_UNKNOWN = 0.2
MOST_PICTURES = 0.4
"""A word that more of the training pictures' captions have says nothing about what is shown."""
MOST_KNOWN = 10_000
"""Captions that are kept with the weights, at most."""
_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)
IN_MEMORY = 2**30
"""Bytes of pictures that are kept once they were decoded."""


def load_table(config: Config) -> CaptionTable:
    """The captioned pictures of a run.

    Raises:
        UsageError: No such data.
        UserError: They cannot be brought or used.
    """
    data = config.data
    return load_captioned(
        data.dataset,
        images_dir=data.images_dir,
        caption_file=data.caption_file,
        val_split=data.val_split,
        seed=config.seed,
        download_path=data.download_path,
    )


def find_vocabulary(table: CaptionTable, data: DataConfig) -> Vocabulary:
    """The words of a run: those of `vocab_path` where it exists, else of the training captions.

    Raises:
        UserError: The file is no vocabulary, or the captions have no words.
    """
    from pathlib import Path

    captions = [caption for row in table.rows("train") for caption in table.captions[row]]
    path = Path(data.vocab_path).expanduser()
    if data.vocab_path and path.is_file():
        vocabulary = Vocabulary.load(path)
        unknown = vocabulary.word_to_idx[UNKNOWN]
        numbers = [number for caption in captions for number in vocabulary.encode(caption)]
        if (share := numbers.count(unknown) / len(numbers)) > MANY_UNKNOWN:
            raise UserError(
                f"vocab_path {data.vocab_path}: knows too few of these captions' words "
                f"({share:.0%} are unknown); delete it or name another, it is then made anew"
            )
        if vocabulary.freq_threshold != data.freq_threshold:
            logger.warning(
                "%s was made with freq_threshold %d; %d changes nothing while it exists",
                path, vocabulary.freq_threshold, data.freq_threshold,
            )  # fmt: skip
        return vocabulary
    vocabulary = Vocabulary.build(captions, data.freq_threshold)
    if data.vocab_path:
        path.parent.mkdir(parents=True, exist_ok=True)
        vocabulary.save(path)
    return vocabulary


def learned_captions(table: CaptionTable) -> list[str]:
    """Every caption of the training once; none where there are too many to choose among."""
    captions = {
        " ".join(words_of(text)) for row in table.rows("train") for text in table.captions[row]
    }
    return sorted(captions) if len(captions) <= MOST_KNOWN else []


def telling_words(table: CaptionTable, vocabulary: Vocabulary) -> list[int]:
    """Numbers of the words that tell pictures apart: those that not too many pictures share."""
    rows = table.rows("train")
    pictures = Counter(
        number
        for row in rows
        for number in {each for text in table.captions[row] for each in vocabulary.encode(text)}
    )
    special = {vocabulary.word_to_idx[word] for word in SPECIAL}
    return sorted(
        number
        for number, count in pictures.items()
        if number not in special and count <= MOST_PICTURES * len(rows)
    )


def seen_size(data: DataConfig, *, frozen: bool) -> int:
    """Pixels along each side of decoded pictures, before they are cropped."""
    cached = frozen and data.cache_features
    return round(data.image_size * RESIZE) if data.random_crop and not cached else data.image_size


def squared(picture: np.ndarray | Image.Image, size: int, *, frame: bool = False) -> np.ndarray:
    """A picture resized to (size, size, 3) uint8, averaging where it shrinks.

    Args:
        picture: (H, W, 3) uint8 sRGB.
        size: rows and columns of the result; proportions are not kept.
        frame: cut white edges away and fill up to a square first; proportions are then kept.
    """
    if frame:
        picture = framed(np.asarray(picture))
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    if image.size == (size, size):
        return np.asarray(image)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def as_seen(picture: np.ndarray | Image.Image, data: DataConfig) -> np.ndarray:
    """A picture as it is looked at in validation: resized, and cropped in the middle."""
    size = seen_size(data, frozen=False)
    corner = (size - data.image_size) // 2
    end = corner + data.image_size
    return squared(picture, size, frame=data.frame)[corner:end, corner:end]


def to_tensor(pictures: np.ndarray) -> Tensor:
    """(B, S, S, 3) uint8 to (B, 3, S, S) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


class Decoded:
    """Decoded pictures (size, size, 3) by row; kept in memory where all have room."""

    def __init__(self, table: CaptionTable, size: int, *, frame: bool = False):
        self.table, self.size, self.frame = table, size, frame
        room = len(table) * size * size * 3 <= IN_MEMORY
        self._kept: dict[int, np.ndarray] | None = {} if room else None

    def __call__(self, row: int) -> np.ndarray:
        if self._kept is not None and row in self._kept:
            return self._kept[row]
        picture = squared(self.table.pictures.picture(row), self.size, frame=self.frame)
        if self._kept is not None:
            self._kept[row] = picture
        return picture


class Batches:
    """Makes batches of some rows for the engine's loader: `fetch(indices, generator)`.

    Args:
        table: the captioned pictures.
        rows: which of them.
        vocabulary: the words.
        data: how they are shown.
        features: (len(table), C, s, s) of a frozen encoder, in the place of pictures.
        looked_for: numbers of K words; none leaves `shown` out.
        training: crop, mirror and jitter at random, and choose among many captions.
    """

    def __init__(
        self,
        table: CaptionTable,
        rows: np.ndarray,
        vocabulary: Vocabulary,
        data: DataConfig,
        features: np.ndarray | None = None,
        looked_for: Sequence[int] = (),
        *,
        training: bool,
    ):
        self.rows, self.data, self.features, self.training = rows, data, features, training
        self.looked_for = {number: place for place, number in enumerate(looked_for)}
        self.encoded = [[vocabulary.encode(text) for text in own] for own in table.captions]
        self.mirrored = self.encoded
        if training and data.mirror:
            self.mirrored = [
                [vocabulary.encode(exchanged(text)) for text in own] for own in table.captions
            ]
        size = seen_size(data, frozen=features is not None)
        self.decoded = Decoded(table, size, frame=data.frame)

    def __call__(self, indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
        rows = self.rows[list(indices)]
        turned = torch.zeros(len(rows), dtype=torch.bool)
        if self.training and self.data.mirror and self.features is None:
            turned = torch.rand(len(rows), generator=random) < 0.5
        captions, picture = [], []
        shown = torch.zeros(len(rows), len(self.looked_for), dtype=torch.bool)
        for place, row in enumerate(rows):
            own = (self.mirrored if turned[place] else self.encoded)[row]
            said = {number for caption in own for number in caption}
            shown[place, [self.looked_for[each] for each in said & self.looked_for.keys()]] = True
            order = list(range(len(own)))
            if self.training and len(own) > self.data.captions_per_picture:
                order = torch.randperm(len(own), generator=random).tolist()
            for number in order[: self.data.captions_per_picture]:
                captions.append(torch.tensor(own[number]))
                picture.append(place)
        images = self.images(rows, random)
        extra = {"shown": shown} if self.looked_for else {}
        return extra | {
            "images": torch.where(turned[:, None, None, None], images.flip(3), images),
            "captions": torch.nn.utils.rnn.pad_sequence(captions, batch_first=True),
            "picture": torch.tensor(picture),
        }

    def images(self, rows: np.ndarray, random: torch.Generator | None = None) -> Tensor:
        """What the network sees of these rows of the table."""
        if self.features is not None:
            return torch.from_numpy(self.features[rows].astype(np.float32))
        size, spare = self.data.image_size, self.decoded.size - self.data.image_size
        seen = np.empty((len(rows), size, size, 3), np.uint8)
        for place, row in enumerate(rows):
            top = left = spare // 2
            if self.training and spare and random is not None:
                top, left = torch.randint(spare + 1, (2,), generator=random).tolist()
            seen[place] = self.decoded(int(row))[top : top + size, left : left + size]
        images = to_tensor(seen)
        if self.training and random is not None:
            if self.data.jitter:
                images = jittered(images, self.data.jitter, random)
            if self.data.erase:
                images = erased(images, self.data.erase, random)
        return images


def exchanged(caption: str) -> str:
    """What a caption becomes when its picture is mirrored: left and right change places."""
    other = {"left": "right", "right": "left"}
    return _SIDES.sub(lambda match: other[match[0].lower()], caption)


def jittered(images: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Pictures (B, 3, S, S) in [0, 1] turned, stretched, shifted and recoloured by chance.

    Each of its own: turned by up to `share` of a radian, each side stretched by a factor of up to
    `1 + share`, shifted by up to half that share, each colour channel multiplied and all of them
    raised or lowered by up to half that share. Edges are repeated outwards.
    """

    def drawn(*shape: int) -> Tensor:
        """Evenly in -share..share."""
        return share * (2 * torch.rand(len(images), *shape, generator=random) - 1)

    turn, stretch = drawn(), 1 + drawn(2)
    turned = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], 1).view(-1, 2, 2)
    affine = torch.cat([turned * stretch[:, None], drawn(2, 1) / 2], 2)
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    recoloured = moved * (1 + drawn(3, 1, 1) / 2) + drawn(1, 1, 1) / 2
    # What is white stays white: the ground says nothing about the light.
    return torch.where(moved.amin(1, keepdim=True) > 0.97, moved, recoloured).clamp(0, 1)


def erased(images: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Pictures (B, 3, S, S) in [0, 1], some with a rectangle of noise (arXiv:1708.04896).

    A picture is spared by a chance of `1 - share`; a rectangle's sides are 1/16 to 1/4 of the
    picture's.
    """
    size = images.shape[3]
    hit = torch.rand(len(images), generator=random) < share
    sides = (torch.rand(len(images), 2, generator=random) * 3 + 1) / 16 * size
    corner = torch.rand(len(images), 2, generator=random) * (size - sides)
    along = torch.arange(size)
    inside = (along >= corner[..., None]) & (along < (corner + sides)[..., None])
    covered = inside[:, 0, :, None] & inside[:, 1, None, :] & hit[:, None, None]
    noise = torch.rand(images.shape, generator=random)
    return torch.where(covered[:, None], noise, images)
