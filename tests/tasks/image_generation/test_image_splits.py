"""Images in memory: divided without overlap, the same each time, whole when they leave."""

import numpy as np
import pytest
import torch
from PIL import Image

from triform.base.errors import UsageError, UserError
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
    real = real_images(small, 0, shape=(3, 12), dataset="", download_path=str(tmp_path))
    assert real.shape == (3, 12)


def test_images_of_another_set_come_in_the_size_of_the_training(tmp_path):
    """Where the training kept the size of its images, too: the network takes no other."""
    clothes = ImageDataConfig(dataset="fashion-mnist", classes=("Bag",))
    other = real_images(clothes, 0, shape=(3, 28), dataset="digits", download_path=str(tmp_path))
    assert other.shape == (3, 28) and other.name == "digits" and len(other.classes) == 10


def folder_of(path, count):
    rng = np.random.default_rng(count)
    for number in range(count):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(path / f"{number}.png")
    return ImageDataConfig(dataset=str(path))


def test_a_few_images_are_measured_together_and_said(tmp_path, caplog):
    splits = ImageSplits(folder_of(tmp_path, 48))
    assert [len(splits.rows[name]) for name in ("train", "val", "test")] == [46, 2, 2]
    assert torch.equal(splits.reference("val", 1000), splits.images)
    (record,) = caplog.records
    assert "2 held-out images are too few" in record.getMessage()
    assert "48 together" in record.getMessage()
    caplog.clear()
    digits = ImageSplits(DIGITS)
    assert torch.equal(digits.reference("val", 60), digits.part("val", 60))
    assert not caplog.records


@pytest.mark.parametrize(("count", "train"), [(6, 4), (5, None)])
def test_the_fewest_images(count, train, tmp_path):
    data = folder_of(tmp_path, count)
    if train is None:
        with pytest.raises(UserError, match="3 training images are too few; at least 4"):
            ImageSplits(data)
    else:
        assert len(ImageSplits(data).rows["train"]) == train
