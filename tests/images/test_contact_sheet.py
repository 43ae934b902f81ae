import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UserError
from triform.images.contact_sheet import MARGIN, contact_sheet, save_contact_sheet


def tile(color, height=40, width=60):
    return np.full((height, width, len(color)), color, np.uint8)


def test_images_stand_in_rows():
    sheet = contact_sheet([tile([255, 0, 0]), tile([0, 255, 0]), tile([0, 0, 255])], columns=2)
    assert sheet.size == (2 * 68 + MARGIN, 2 * 48 + MARGIN)
    pixels = np.asarray(sheet)
    assert pixels[30, 30].tolist() == [255, 0, 0]
    assert pixels[30, 100].tolist() == [0, 255, 0]
    assert pixels[80, 30].tolist() == [0, 0, 255]
    assert pixels[80, 100].tolist() == [255, 255, 255]


def test_labels_are_drawn_below_and_never_wider_than_the_image():
    long = "a round table with three legs and a lower shelf " * 4
    plain = contact_sheet([tile([9, 9, 9])] * 2, columns=2)
    sheet = contact_sheet([tile([9, 9, 9])] * 2, [long, "Стол 桌 x" + "y" * 99], columns=2)
    assert sheet.width == plain.width
    assert 20 < sheet.height - plain.height < 60
    pixels = np.asarray(sheet)[48:]
    assert (pixels[:, 8:68].min(axis=(0, 2)) < 200).any()
    assert (pixels[:, 68:76] == 255).all() and (pixels[:, :6] == 255).all()


def test_labels_are_read_beyond_latin_letters():
    tiles = [
        np.asarray(contact_sheet([tile([9, 9, 9])], [word])) for word in ("жук", "щит", "žluť")
    ]
    assert (tiles[0] != tiles[1]).any() and (tiles[1] != tiles[2]).any()


def test_transparent_and_smaller_images_are_centred():
    clear = tile([255, 0, 0, 0], 20, 20)
    clear[5:15, 5:15, 3] = 255
    pixels = np.asarray(contact_sheet([tile([0, 0, 0]), clear], columns=2))
    assert pixels[MARGIN + 20, 76 + 30].tolist() == [255, 0, 0]
    assert pixels[MARGIN + 11, 76 + 21].tolist() == [255, 255, 255]


def test_what_makes_no_sheet():
    one = [tile([1, 1, 1])]
    for images, labels, columns in (([], None, 1), (one, ["a", "b"], 1), (one, None, 0)):
        with pytest.raises(UserError, match="contact sheet"):
            contact_sheet(images, labels, columns)


def test_a_saved_sheet_is_the_sheet(tmp_path):
    images = [tile([9, 9, 9]), tile([200, 0, 0])]
    save_contact_sheet(images, ["a", "b"], tmp_path / "new" / "sheet.png", columns=2)
    saved = np.asarray(Image.open(tmp_path / "new" / "sheet.png"))
    assert np.array_equal(saved, np.asarray(contact_sheet(images, ["a", "b"], columns=2)))
