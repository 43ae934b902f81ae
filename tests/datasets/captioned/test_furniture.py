"""Furniture by name: head nouns, framing, and a division without copies."""

import numpy as np
import pytest
from PIL import Image

from triform.datasets.captioned.furniture import (
    SIDE,
    _assign_splits,
    _thumbnail,
    head_noun,
    plain_name,
)


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("Chair 2", "chair"),
        ("Bar stool (oak)", "stool"),
        ("Table with four legs", "table"),
        ("Chest of drawers", "chest"),
        ("Concept_Sedan_02_Sport", "sport"),
        ("With", "with"),
    ],
)
def test_head_nouns(name, noun):
    assert head_noun(plain_name(name)) == noun


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_thing_fills_a_white_square(mode):
    ground = (255, 255, 255, 0) if mode == "RGBA" else (255, 255, 255)
    image = Image.new(mode, (200, 120), ground)
    image.paste((200, 0, 0, 255)[: len(mode)], (140, 20, 180, 40))
    framed = _thumbnail(image)
    assert framed.shape == (SIDE, SIDE, 3)
    rows, columns = np.nonzero((framed < 128)[..., 1])
    assert columns.max() - columns.min() + 1 == pytest.approx(SIDE / 1.12, abs=2)
    assert rows.max() - rows.min() + 1 == pytest.approx(SIDE / 2.24, abs=2)
    assert framed[0].min() > 200 and framed[:, 0].min() > 200 and framed[:, -1].min() > 200


def test_copies_are_on_one_side():
    class Named:
        def __init__(self, number):
            self.object_id = f"thing {number}"

    shapes = [Named(number) for number in range(400)]
    random = np.random.default_rng(0)
    previews = random.integers(0, 256, (400, 8, 8, 3), dtype=np.uint8)
    previews[200:] = np.clip(previews[:200].astype(int) + random.integers(-2, 3), 0, 255)
    splits = _assign_splits(shapes, previews)
    assert splits[:200] == splits[200:]
    shares = {split: splits.count(split) / 400 for split in ("train", "val", "test")}
    assert 0.65 < shares["train"] < 0.85 and 0.1 < shares["test"] < 0.3
