"""What is read from photos, RAW photos and videos."""

import datetime
import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from triform.base.errors import UserError
from triform.datasets.images.photos.read import read_photo, readable
from triform.datasets.images.photos.scan import scan_photos
from triform.images.perceptual_hash import perceptual_hash


def only(folder):
    (file,) = scan_photos([str(folder)]).files
    return file


def test_a_photo_with_a_date(tmp_path):
    exif = Image.Exif()
    exif[274], exif[306] = 6, "2020:02:03 04:05:06"
    path = tmp_path / "a.jpg"
    Image.new("RGB", (80, 40), (200, 30, 30)).save(path, exif=exif)
    photo = read_photo(only(tmp_path), frames=3, shortest=20)
    assert photo.images[0].size == (20, 40) and photo.images[0].mode == "RGB"
    assert (photo.format, photo.width, photo.height) == ("JPEG", 40, 80)
    assert (photo.taken, photo.dated_by) == ("2020-02-03T04:05:06", "camera")
    assert photo.digest == hashlib.sha256(path.read_bytes()).hexdigest() and photo.seconds == ()
    np.testing.assert_array_equal(photo.hashes[0].colors, perceptual_hash(photo.images[0]).colors)


def test_without_a_date_the_time_of_the_file_counts_and_transparent_is_white(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(path)
    time = datetime.datetime(2019, 5, 6, 7, 8, 9)
    os.utime(path, (time.timestamp(), time.timestamp()))
    photo = read_photo(only(tmp_path), frames=1)
    assert (photo.taken, photo.dated_by) == (time.isoformat(), "file")
    assert photo.images[0].getpixel((3, 3)) == (255, 255, 255)


def test_errors_are_returned(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff no image")
    file = only(tmp_path)
    assert isinstance(error := readable(file, frames=1), UserError) and "damaged" in str(error)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match="not there"):
        read_photo(file, frames=1)
