"""Sheets and folders of images."""

import numpy as np
from PIL import Image

from triform.images.grid import image_grid, save_images


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
