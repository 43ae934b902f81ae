"""Quality of made pictures: real ones are good, noise is bad, copies are found."""

import numpy as np
import pytest
import torch
from PIL import Image

from triform.metrics.nearest_sheet import save_beside_nearest
from triform.metrics.picture_quality import picture_quality, share_of_copies


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    pixels = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(pixels)[:, None]


def test_real_pictures_are_better_than_noise(digits):
    train, real, others = digits[:900], digits[900:1300], digits[1300:]
    noise = torch.randint(256, others.shape, generator=torch.Generator().manual_seed(0))
    good = picture_quality(others, real, train)
    bad = picture_quality(noise.byte(), real, train)
    for name in ("kernel_distance", "frechet_distance"):
        assert good[name] < 0.2 * bad[name]
    assert good["precision"] > 0.5 > bad["precision"] and good["recall"] > 0.5 > bad["recall"]
    assert good["features"].startswith("fashion-cnn-")
    assert "fid" not in " ".join(good).lower()


def test_copies_are_counted(digits):
    train, real = digits[:900], digits[900:1300]
    made = torch.cat([train[:50], digits[1300:1350]])
    assert 0.5 <= share_of_copies(made, real, train) < 0.6


def test_a_sheet_shows_pictures_above_their_nearest(digits, tmp_path):
    path = tmp_path / "sheet.png"
    save_beside_nearest(digits[:36], digits[:900], path)
    sheet = np.asarray(Image.open(path))
    zoom, cell = 8, 10
    rows = [sheet[row * cell * zoom : (row + 1) * cell * zoom] for row in range(6)]
    for above, below in zip(rows[::2], rows[1::2], strict=True):
        assert np.array_equal(above, below)  # the nearest to a training picture is itself
