"""The map of latents is drawn, the same each time."""

import numpy as np
from PIL import Image

from triform.images.latent_map import save_latent_map


def test_a_point_for_each_image(tmp_path):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 60)
    for dims in (1, 2, 16):
        latents = random.normal(size=(60, dims)) + 5 * labels[:, None]
        for name in ("a.png", "b.png"):
            save_latent_map(latents, labels, ["x", "y", "z"], tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        image = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
        for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):  # matplotlib's first three
            assert (image == colour).all(-1).sum() > 50
