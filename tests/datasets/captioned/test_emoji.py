"""Emoji captioned with their names: the splits by maker."""

import zlib

import numpy as np
import pytest

from triform.datasets.captioned import emoji
from triform.datasets.images.emoji import UNSEEN_MAKER
from triform.datasets.images.table import ImageTable

MAKERS = ("noto", UNSEEN_MAKER, "openmoji")
CLASSES = 400


@pytest.fixture
def table(monkeypatch):
    """400 emoji: a third by all makers, a third by one and the test maker, the rest by one."""
    drawn = [
        (number, maker)
        for number in range(CLASSES)
        for maker in ((0, 1, 2), (0, 1), (2,))[number % 3]
    ]
    labels, makers = np.array(drawn).T
    images = np.zeros((len(drawn), 1, 1, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = labels % 256, makers
    images = ImageTable(
        name="emoji",
        images=images,
        labels=labels,
        classes=tuple(f"Thing, No. {number}" for number in range(CLASSES)),
        makers=makers,
        maker_names=MAKERS,
        licence="free",
    )

    def load(name, *, size, channels, download_path):
        assert (name, size, channels, download_path) == ("emoji", 96, 3, "here")
        return images

    monkeypatch.setattr(emoji, "load_images", load)
    return images


def test_nothing_of_validation_or_of_the_unseen_maker_is_learned_from(table):
    """Each row stands where a loop over names puts it; nothing stands in two splits."""
    captioned = emoji.load_emoji("here")
    expected: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row, (label, maker) in enumerate(zip(table.labels, table.makers, strict=True)):
        name = f"{table.classes[label]} ({MAKERS[maker]})"
        assert captioned.images.name(row) == name
        is_val = zlib.crc32(name.encode()) < 0.05 * 2**32
        split = "test" if MAKERS[maker] == UNSEEN_MAKER else "val" if is_val else "train"
        expected[split].append(row)
    known = set(table.labels[expected["train"]].tolist())
    # A thing whose only drawing would be in validation, or known from the unseen maker alone.
    unknown = [
        row
        for split in ("val", "test")
        for row in expected[split]
        if table.labels[row] not in known
    ]
    assert {MAKERS[maker] == UNSEEN_MAKER for maker in table.makers[unknown]} == {True, False}
    for split, rows in expected.items():
        assert captioned.rows(split).tolist() == [row for row in rows if row not in unknown]
    parts = [set(captioned.rows(split).tolist()) for split in expected]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert 0.02 < len(parts[1]) / len(parts[0]) < 0.09


def test_the_caption_is_the_name(table):
    captioned = emoji.load_emoji("here")
    for row in (0, 5, len(table) - 1):
        caption = f"thing no {table.labels[row]}"
        assert captioned.captions[row] == (caption,) and captioned.contents[row] == caption
        assert np.array_equal(captioned.images.image(row), table.images[row])
    assert (captioned.name, captioned.licence) == ("emoji", "free")
