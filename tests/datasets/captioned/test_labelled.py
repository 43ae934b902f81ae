"""Folders of classes as captioned images."""

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UsageError
from triform.datasets.captioned.load import load_captioned


@pytest.fixture
def folder(tmp_path):
    for name, value in (("red_fox", 200), ("grey wolf", 90)):
        (tmp_path / name).mkdir()
        for number in range(6):
            image = Image.new("RGB", (8, 8), (value, number, 0))
            image.save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_captions_are_made_of_the_names_of_classes(folder):
    table = load_captioned(str(folder), val_split=0.25, seed=1)
    assert set(table.contents) == {"red fox", "grey wolf"}
    for row in range(12):
        name = table.contents[row]
        assert table.captions[row] == (name, f"a photo of a {name}", f"a picture of a {name}")
        assert table.images.image(row)[0, 0, 0] == {"red fox": 200, "grey wolf": 90}[name]
    train, val = table.rows("train"), table.rows("val")
    assert len(val) == 3 and sorted([*train, *val]) == list(range(12))
    again = load_captioned(str(folder), val_split=0.25, seed=1)
    np.testing.assert_array_equal(again.rows("val"), val)


def test_own_splits_of_a_folder_are_kept(tmp_path):
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (8, 8)).save(tmp_path / split / name / f"{number}.png")
    table = load_captioned(str(tmp_path), val_split=0.25)
    assert {key: len(rows) for key, rows in table.splits.items()} == {
        "train": 6,
        "test": 8,
        "val": 2,
    }


def test_unknown_names_list_what_there_is():
    with pytest.raises(UsageError, match=r"neither a folder nor known.*emoji:en,ru.*fashion-mnist"):
        load_captioned("nowhere")
