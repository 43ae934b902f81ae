"""Training batches from WebDataset shards, resumable at the sample."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.seeding import generator, hash_seed
from triform.datasets.captioned.shards import Sample, Shards
from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table
from triform.images.erasing import random_erase
from triform.images.read import HELD_SIDE, on_background, read_image
from triform.systems.clip.config import DataConfig
from triform.systems.clip.data import text_batch
from triform.tasks.contrastive.augmentation import jitter
from triform.tasks.contrastive.images import resize, to_tensor
from triform.tasks.contrastive.text_inputs import TextInputs

MAX_CAPTIONS = 200_000
"""Captions that the word pieces are trained on, at most."""
MAX_TABLE = 5000
"""Images of shards that are evaluated on, at most."""
THREADS = 4
logger = get_logger(__name__)


class ShardLoader:
    """Batches of shards, one epoch per iteration; keys as in `data.py`.

    Every process gives the same number of batches, each of its own samples. A sample whose image
    cannot be read is replaced by the next one, and that is said once.

    Args:
        shards: Samples of this process.
        text_inputs: Of the text encoder.
        data: Preprocessing, augmentation, size of a batch.
        seed: Of captions and augmentation.
    """

    def __init__(self, shards: Shards, text_inputs: TextInputs, data: DataConfig, seed: int):
        self.shards, self.text_inputs, self.data, self.seed = shards, text_inputs, data, seed
        self.epoch, self.num_samples_read = 0, 0
        self.position = 0
        self._has_warned = False
        if not len(self):
            raise UserError(
                f"{shards.num_samples} samples make no batch: --batch_size {data.batch_size} on "
                f"{shards.count} processes is too large"
            )

    def __len__(self) -> int:
        """Batches in one epoch."""
        return self.shards.num_samples // (self.data.batch_size * self.shards.count)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Iterate over the rest of this epoch; a batch counts as soon as it is yielded."""
        # Where samples were left out a process begins its share again.
        samples = itertools.chain.from_iterable(
            self.shards.epoch(self.epoch) for _ in itertools.count()
        )
        stream = itertools.islice(samples, self.num_samples_read, None)
        with ThreadPoolExecutor(THREADS) as pool:
            while self.position < len(self):
                batch = self._collate(stream, pool)
                self.position += 1
                yield batch
        self.epoch, self.position, self.num_samples_read = self.epoch + 1, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Epoch, position, samples read in it, and what the order depends on."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "num_samples_read": self.num_samples_read,
            "num_samples": self.shards.num_samples,
            "batch_size": self.data.batch_size * self.shards.count,
            "seed": self.seed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved position; the beginning of the epoch if the data changed."""
        self.epoch, current = state["epoch"], self.state_dict()
        same = all(state[key] == current[key] for key in ("num_samples", "batch_size", "seed"))
        self.position = state["position"] if same else 0
        self.num_samples_read = state["num_samples_read"] if same else 0

    def _collate(self, stream: Iterator[Sample], pool: ThreadPoolExecutor) -> dict[str, Tensor]:
        """Decode the next samples into a batch."""
        size, count = self.data.batch_size, self.data.captions_per_image
        random = generator("shard batch", self.seed, self.epoch, self.shards.index, self.position)
        samples: list[Sample] = []
        pixels: list[np.ndarray] = []
        attempts = 0
        while len(samples) < size:
            chunk = list(itertools.islice(stream, size - len(samples)))
            self.num_samples_read += len(chunk)
            attempts += len(chunk)
            if attempts > size + self.shards.num_samples:
                raise UserError(f"{chunk[0].name}: no image of the shards can be read")
            for sample, image in zip(chunk, pool.map(self._decode, chunk), strict=True):
                if image is not None:
                    samples.append(sample)
                    pixels.append(image)
        captions: list[str] = []
        for sample in samples:
            order = torch.randperm(len(sample.captions), generator=random).tolist()
            captions += [sample.captions[order[each % len(order)]] for each in range(count)]
        images = to_tensor(np.stack(pixels))
        if self.data.jitter:
            images = jitter(images, self.data.jitter, random)
        if self.data.erase:
            images = random_erase(images, self.data.erase, random)
        return {
            "images": images,
            "group": torch.tensor([hash_seed(sample.name) for sample in samples]),
            **text_batch(captions, count, self.text_inputs),
        }

    def _decode(self, sample: Sample) -> np.ndarray | None:
        try:
            image = read_image(sample.image, sample.name, longest=HELD_SIDE)
        except UserError as error:
            if not self._has_warned:
                self._has_warned = True
                logger.warning("%s; such samples are left out, others may follow", error)
            return None
        return resize(on_background(image), self.data.image_size, frame=self.data.frame)


def first_captions(pattern: str) -> list[str]:
    """Captions of the first samples, the same on every process, to train word pieces on."""
    texts = (text for sample in Shards(pattern).epoch(0) for text in sample.captions)
    return list(dict.fromkeys(itertools.islice(texts, MAX_CAPTIONS)))


def shard_table(pattern: str, split: str, size: int) -> CaptionTable:
    """The first samples of shards as a table in memory, all in one split.

    Args:
        pattern: Of the shards.
        split: Name of the split.
        size: Pixels along each side.
    """
    shards = Shards(pattern)
    images, captions, names = [], [], []
    for sample in itertools.islice(shards.epoch(0), MAX_TABLE):
        image = read_image(sample.image, sample.name, longest=HELD_SIDE)
        images.append(resize(on_background(image), size))
        captions.append(sample.captions)
        names.append(sample.name)
    if len(images) < shards.num_samples:
        logger.info("%s: the first %d of %d samples", pattern, len(images), shards.num_samples)
    rows = {split: np.arange(len(images))}
    return make_table(pattern, ArrayImages(np.stack(images), names), captions, rows)
