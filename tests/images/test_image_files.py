"""Images of files as a sequence."""

from pathlib import Path

import numpy as np
from PIL import Image

from triform.images.image_files import ImageFiles


def test_images_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    files = tuple(tmp_path / f"{value}.png" for value in (10, 20, 30))
    images = ImageFiles(files)
    assert len(images) == 3
    for value, file in zip((10, 20, 30), files, strict=True):
        Image.new("RGB", (4, 2), (value, 0, 0)).save(file)
    assert [image[0, 0, 0] for image in images] == [10, 20, 30]
    assert images[-1].shape == (2, 4, 3) and images[-1].dtype == np.uint8
    assert images[1:].files == files[1:] and isinstance(images[1:], ImageFiles)
