"""Sheets and folders of images."""

import numpy as np
from PIL import Image

from triform.images.grid import image_grid, save_images, save_row_groups


def test_every_image_is_at_its_place():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 3, 4, 6), np.uint8)
    sheet = np.asarray(image_grid(images, columns=2, zoom=2))
    assert sheet.shape == (2 * (3 * 6 + 2), 2 * (2 * 8 + 2), 3)
    for number in range(5):
        top, left = 2 * (2 + number // 2 * 6), 2 * (2 + number % 2 * 8)
        assert (sheet[top : top + 8, left : left + 12] == number).all()
    assert (sheet[-12:, -16:] == 255).all()


def test_a_folder_gets_each_image_unchanged(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 7, 7), dtype=np.uint8)
    paths = save_images(images, tmp_path / "made")
    assert [path.name for path in paths] == ["00000.png", "00001.png", "00002.png"]
    for path, image in zip(paths, images, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), image[0])
    (sheet,) = save_images(images, tmp_path / "sheet.png")
    assert Image.open(sheet).mode == "L"


def test_rows_of_several_arrays_take_turns(tmp_path):
    first, second = (
        np.full((3, 1, 64, 64), 40 * (row + 1), np.uint8) + np.arange(3)[:, None, None, None]
        for row in range(2)
    )
    save_row_groups([first.astype(np.uint8), second.astype(np.uint8)], tmp_path / "rows.png", 2)
    sheet = np.asarray(Image.open(tmp_path / "rows.png"))
    cells = [[int(sheet[2 + 66 * row, 2 + 66 * column]) for column in (0, 1)] for row in range(4)]
    assert cells == [[40, 41], [80, 81], [42, 255], [82, 255]]
    assert sheet.shape == (4 * 66 + 2, 2 * 66 + 2)
