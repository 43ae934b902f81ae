"""Images in memory: divided without overlap, the same each time, whole when they leave."""

import pytest
import torch

from triform.base.errors import UsageError
from triform.tasks.image_generation.config import ImageDataConfig
from triform.tasks.image_generation.image_splits import (
    ImageSplits,
    real_images,
    to_float,
    to_uint8,
)

DIGITS = ImageDataConfig(dataset="digits")


def test_parts_do_not_overlap_and_are_the_same_again():
    first, repeated, other = ImageSplits(DIGITS, 0), ImageSplits(DIGITS, 0), ImageSplits(DIGITS, 1)
    rows = [set(first.rows[name].tolist()) for name in ("train", "val", "test")]
    assert sum(map(len, rows)) == len(set().union(*rows)) == 1797
    assert torch.equal(first.rows["val"], repeated.rows["val"])
    assert not torch.equal(first.rows["val"], other.rows["val"])
    assert first.shape == (1, 8) and first.part("test", 10).shape == (10, 1, 8, 8)


def test_a_batch_is_the_images_in_the_range_0_to_1():
    images = ImageSplits(DIGITS)
    batch = images.fetch([3, 5], torch.Generator())
    rows = images.rows["train"][[3, 5]]
    assert torch.equal(to_uint8(batch["images"]), images.images[rows])
    assert torch.equal(batch["labels"], images.labels[rows])
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(every)), every)


def test_some_classes_only_and_a_wrong_one():
    selected = ImageSplits(DIGITS.model_copy(update={"classes": ("3", "7")}))
    assert set(selected.labels[selected.rows["train"]].tolist()) == {3, 7}
    with pytest.raises(UsageError, match="no class 'ten'"):
        ImageSplits(DIGITS.model_copy(update={"classes": ("ten",)}))


def test_real_images_come_in_the_size_of_the_training(tmp_path):
    small = DIGITS.model_copy(update={"image_size": 12, "channels": 3})
    real = real_images(small, 0, dataset="", download_path=str(tmp_path))
    assert real.shape == (3, 12)
