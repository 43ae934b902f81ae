"""Emoji captioned with their names."""

from __future__ import annotations

import zlib

import numpy as np

from triform.datasets.captioned.table import ArrayImages, CaptionTable, make_table
from triform.datasets.images import emoji
from triform.datasets.images.load import load_images
from triform.text.vocabulary import tokenize

SIDE = 96
_VAL_SHARE = 0.05
UNSEEN = "joypixels"
"""The maker whose drawings were not looked at while the captioner was developed."""


def load_emoji(download_path: str) -> CaptionTable:
    """Load emoji with their names: twelve makers for training, another ("twemoji") for the test.

    The test holds only emoji that some other maker drew for the training; validation is a
    twentieth of the twelve makers' drawings, restricted in the same way.

    Raises:
        UserError: The drawings cannot be downloaded.
    """
    table = load_images("emoji", size=SIDE, channels=3, download_path=download_path)
    test_maker = table.maker(emoji.UNSEEN_MAKER)
    names = [
        f"{table.classes[label]} ({table.maker_names[maker]})"
        for label, maker in zip(table.labels, table.makers, strict=True)
    ]
    hashes = np.array([zlib.crc32(name.encode()) / 2**32 for name in names])
    is_test = table.makers == test_maker
    is_val = ~is_test & (hashes < _VAL_SHARE)
    is_train = ~is_test & ~is_val
    in_training = np.isin(table.labels, table.labels[is_train])
    splits = {
        "train": np.flatnonzero(is_train),
        "val": np.flatnonzero(is_val & in_training),
        "test": np.flatnonzero(is_test & in_training),
    }
    captions = [" ".join(tokenize(table.classes[label])) for label in table.labels]
    return _name_table("emoji", table.images, names, captions, splits, table.licence)


def load_unseen_emoji(download_path: str) -> CaptionTable:
    """Load the training split of `load_emoji`, and as its test the drawings of an unseen maker.

    There is no validation split: nothing can be trained on those drawings or selected by them.

    Raises:
        UserError: The drawings cannot be downloaded.
    """
    known = load_emoji(download_path)
    assert isinstance(known.images, ArrayImages)
    unseen = load_images(UNSEEN, size=SIDE, channels=3, download_path=download_path, for_tests=True)
    train = known.rows("train")
    train_captions = {known.contents[row] for row in train}
    unseen_captions = [" ".join(tokenize(unseen.classes[label])) for label in unseen.labels]
    test = [row for row, caption in enumerate(unseen_captions) if caption in train_captions]
    captions = [known.captions[row][0] for row in train]
    captions += [unseen_captions[row] for row in test]
    names = [known.images.name(int(row)) for row in train]
    names += [f"{unseen.classes[unseen.labels[row]]} ({unseen.maker_names[0]})" for row in test]
    images = np.concatenate([known.images.images[train], unseen.images[test]])
    splits = {"train": np.arange(len(train)), "test": np.arange(len(train), len(captions))}
    return _name_table(UNSEEN, images, names, captions, splits, unseen.licence)


def _name_table(
    name: str,
    images: np.ndarray,
    names: list[str],
    captions: list[str],
    splits: dict[str, np.ndarray],
    licence: str,
) -> CaptionTable:
    """A table in which the only caption of an image is also its content."""
    sentences = [(caption,) for caption in captions]
    return make_table(
        name, ArrayImages(images, names), sentences, splits, licence=licence, contents=captions
    )
