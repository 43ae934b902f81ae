"""Emoji whose caption is their name."""

from __future__ import annotations

import zlib

import numpy as np

from triform.datasets.captioned.table import CaptionTable, DrawnPictures, make_table
from triform.datasets.pictures import emoji
from triform.datasets.pictures.load import load_pictures
from triform.text.vocabulary import words_of

SIDE = 96
_VAL_SHARE = 0.05


UNSEEN = "joypixels"
"""The maker whose drawings were looked at by nobody while the captioner was made."""


def load_unseen_emoji(download_path: str) -> CaptionTable:
    """The training drawings of `load_emoji`, and as its test those of a maker not among them.

    The training part is that of `load_emoji` and there is no validation part, so that nothing can
    be trained on or chosen by the drawings of that maker.

    Raises:
        UserError: the drawings cannot be brought.
    """
    known = load_emoji(download_path)
    assert isinstance(known.pictures, DrawnPictures)
    drawn = load_pictures(
        UNSEEN, size=SIDE, channels=3, download_path=download_path, for_tests=True
    )
    train = known.rows("train")
    learned = {known.contents[row] for row in train}
    names = [" ".join(words_of(drawn.classes[label])) for label in drawn.labels]
    asked = [row for row, name in enumerate(names) if name in learned]
    said = [known.captions[row] for row in train] + [(names[row],) for row in asked]
    called = [known.pictures.name(int(row)) for row in train]
    called += [f"{drawn.classes[drawn.labels[row]]} ({drawn.maker_names[0]})" for row in asked]
    images = np.concatenate([known.pictures.images[train], drawn.images[asked]])
    splits = {"train": np.arange(len(train)), "test": np.arange(len(train), len(said))}
    return make_table(
        UNSEEN, DrawnPictures(images, called), said, splits,
        licence=drawn.licence, contents=tuple(own[0] for own in said),
    )  # fmt: skip


def load_emoji(download_path: str) -> CaptionTable:
    """Emoji by name: twelve makers' drawings to learn from, another's ("twemoji") for the test.

    The test asks for things that some other maker drew for the training; validation is a twentieth
    of the twelve makers' drawings, of such things as well.

    Raises:
        UserError: the drawings cannot be brought.
    """
    table = load_pictures("emoji", size=SIDE, channels=3, download_path=download_path)
    unseen = table.maker(emoji.UNSEEN_MAKER)
    names = [
        f"{table.classes[label]} ({table.maker_names[maker]})"
        for label, maker in zip(table.labels, table.makers, strict=True)
    ]
    shares = np.array([zlib.crc32(name.encode()) / 2**32 for name in names])
    val = (table.makers != unseen) & (shares < _VAL_SHARE)
    train = (table.makers != unseen) & ~val
    known = np.isin(table.labels, table.labels[train])
    splits = {
        "train": np.nonzero(train)[0],
        "val": np.nonzero(val & known)[0],
        "test": np.nonzero((table.makers == unseen) & known)[0],
    }
    said = [(" ".join(words_of(table.classes[label])),) for label in table.labels]
    return make_table(
        "emoji", DrawnPictures(table.images, names), said, splits,
        licence=table.licence, contents=tuple(own[0] for own in said),
    )  # fmt: skip
