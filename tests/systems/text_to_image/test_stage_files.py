"""Images of embeddings, latents and of the decoder."""

import numpy as np
import torch
from PIL import Image

from triform.systems.text_to_image.stage_files import as_grey, embedding_image, save_stages
from triform.systems.text_to_image.trained import Stages


def test_numbers_become_greys_around_128():
    assert as_grey(torch.tensor([0.0, 2.0, -2.0, 1.0])).tolist() == [128, 255, 1, 192]
    assert as_grey(torch.zeros(2)).tolist() == [128, 128]


def test_an_embedding_is_a_rectangle():
    assert embedding_image(torch.ones(12)).shape == (1, 1, 3, 4)
    assert embedding_image(torch.ones(7)).shape == (1, 1, 1, 7)


def test_files_of_two_prompts(tmp_path):
    files = [tmp_path / f"0000{index}.png" for index in range(4)]
    decoded = torch.zeros(4, 3, 2, 2, dtype=torch.uint8)
    decoded[3] = 200
    stages = Stages(torch.randn(4, 4, 2, 2), decoded, decoded)
    rows = save_stages(tmp_path, torch.eye(2, 6), stages, files)
    folder = tmp_path / "stages"
    assert [row["embedding"] for row in rows] == [
        str(folder / f"embedding_{prompt}.png") for prompt in (0, 0, 1, 1)
    ]
    assert rows[3]["latent"] == str(folder / "00003_latent.png")
    assert rows[3]["image"] == str(files[3])
    with Image.open(rows[3]["decoder"]) as image:
        assert np.asarray(image).tolist() == np.full((2, 2, 3), 200).tolist()
    with Image.open(rows[0]["embedding"]) as image:  # 2 x 3 numbers
        assert image.size == (24, 16)
        assert image.getpixel((0, 0)) == 255 and image.getpixel((8, 0)) == 128
    with Image.open(rows[0]["latent"]) as image:  # 2 x 2 channels of 2 x 2 numbers, gaps of 2
        assert image.size == (38, 38)
