"""Images of the stages between a prompt and its image: embedding, latent, decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from triform.images.grid import image_grid, save_png, to_pil
from triform.systems.text_to_image.trained import Stages

ZOOM = 8
"""Pixels along a side of a number of an embedding or of a latent."""


def save_stages(
    output: Path, embeddings: Tensor, stages: Stages, files: Sequence[Path]
) -> list[dict[str, str]]:
    """Save the stages of N images below `output/stages`.

    Args:
        output: Folder of the images.
        embeddings: Text embeddings (P, D) of the prompts, each of N / P images in order.
        stages: Stages of the images.
        files: Files of the images.

    Returns:
        For each image its files: `embedding`, `latent`, `decoder`, `image`.
    """
    folder = output / "stages"
    per_prompt = len(files) // len(embeddings)
    rows = []
    for index, file in enumerate(files):
        prompt = index // per_prompt
        row = {
            "embedding": folder / f"embedding_{prompt}.png",
            "latent": folder / f"{file.stem}_latent.png",
            "decoder": folder / f"{file.stem}_decoder.png",
            "image": file,
        }
        if index % per_prompt == 0:
            save_png(to_pil(enlarged(embedding_image(embeddings[prompt]))[0]), row["embedding"])
        channels = enlarged(as_grey(stages.latents[index][:, None]))
        save_png(image_grid(channels), row["latent"])
        save_png(to_pil(stages.decoded[index].numpy()), row["decoder"])
        rows.append({name: str(path) for name, path in row.items()})
    return rows


def embedding_image(embedding: Tensor) -> np.ndarray:
    """An embedding (D,) as a grey image (1, 1, H, W) with H * W = D, as square as that allows."""
    count = len(embedding)
    height = next(each for each in range(math.isqrt(count), 0, -1) if count % each == 0)
    return as_grey(embedding.reshape(1, 1, height, count // height))


def enlarged(images: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) with squares of pixels for their numbers."""
    return images.repeat(ZOOM, 2).repeat(ZOOM, 3)


def as_grey(values: Tensor) -> np.ndarray:
    """Numbers as greys (uint8): 0 is 128, the largest absolute value is 1 or 255."""
    numbers = values.detach().cpu().numpy().astype(np.float64)
    largest = max(float(np.abs(numbers).max()), 1e-12)
    return np.rint(128 + 127 * numbers / largest).astype(np.uint8)
