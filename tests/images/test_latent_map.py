"""The map of codes is drawn, the same each time."""

import numpy as np
from PIL import Image

from triform.images.latent_map import save_latent_map


def test_a_point_for_each_picture(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 60)
    for dims in (1, 2, 16):
        codes = random.normal(size=(60, dims)) + 5 * labels[:, None]
        for name in ("a.png", "b.png"):
            save_latent_map(codes, labels, ["x", "y", "z"], tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
        for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):  # matplotlib's first three
            assert (picture == colour).all(-1).sum() > 50
