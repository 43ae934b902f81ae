"""Pictures in memory: divided without overlap, the same each time, whole when they leave."""

import pytest
import torch

from triform.base.errors import UsageError
from triform.datasets.picture_batches import Pictures, as_floats, as_pixels, real_pictures
from triform.datasets.picture_settings import EvaluatePicturesConfig, PictureDataConfig

DIGITS = PictureDataConfig(dataset="digits")


def test_parts_do_not_overlap_and_are_the_same_again():
    first, again, other = Pictures(DIGITS, 0), Pictures(DIGITS, 0), Pictures(DIGITS, 1)
    rows = [set(first.rows[name].tolist()) for name in ("train", "val", "test")]
    assert sum(map(len, rows)) == len(set().union(*rows)) == 1797
    assert torch.equal(first.rows["val"], again.rows["val"])
    assert not torch.equal(first.rows["val"], other.rows["val"])
    assert first.shape == (1, 8) and first.part("test", 10).shape == (10, 1, 8, 8)


def test_a_batch_is_the_pictures_in_the_range_0_to_1():
    pictures = Pictures(DIGITS)
    batch = pictures.fetch([3, 5], torch.Generator())
    rows = pictures.rows["train"][[3, 5]]
    assert torch.equal(as_pixels(batch["images"]), pictures.images[rows])
    assert torch.equal(batch["labels"], pictures.labels[rows])
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_pixels(as_floats(every)), every)


def test_some_classes_only_and_a_wrong_one():
    chosen = Pictures(DIGITS.model_copy(update={"classes": ("3", "7")}))
    assert set(chosen.labels[chosen.rows["train"]].tolist()) == {3, 7}
    with pytest.raises(UsageError, match="no class 'ten'"):
        Pictures(DIGITS.model_copy(update={"classes": ("ten",)}))


def test_real_pictures_come_in_the_size_of_the_training(tmp_path):
    small = DIGITS.model_copy(update={"image_size": 12, "channels": 3})
    real = real_pictures(small, EvaluatePicturesConfig(download_path=str(tmp_path)), 0)
    assert real.shape == (3, 12)
