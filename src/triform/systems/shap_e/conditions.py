"""Conditions of the prior: embeddings of captions, and patches of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from triform.base.paths import cache_dir
from triform.images.read import on_background
from triform.pretrained.feature_maps import load_feature_maps
from triform.pretrained.image_text import load_image_text_model
from triform.pretrained.named_models import is_known
from triform.pretrained.text_encoder import TextEncoder, embed_texts

OPEN_CLIP = "open_clip:"
TIMM_SIZE = 224


def text_conditions(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """Embeddings (N, 1, D) of length 1; an empty text is zeros, the null condition."""
    rows = torch.from_numpy(embed_texts(encoder, list(texts), cache_dir() / "embeddings"))
    rows = F.normalize(rows.float(), dim=-1)
    rows[[index for index, text in enumerate(texts) if not text.strip()]] = 0
    return rows[:, None]


class PatchEncoder(Protocol):
    """An encoder of images into patches.

    Attributes:
        name: Its name.
    """

    name: str

    def encode_patches(self, images: Sequence[Image.Image]) -> Tensor:
        """N images to (N, P, D) float32 on the CPU."""
        ...


class TimmPatches:
    """Patches of images by a network of timm; attributes as in `PatchEncoder`."""

    def __init__(self, name: str):
        self.name, self._network = name, load_feature_maps(name).eval()

    @torch.inference_mode()
    def encode_patches(self, images: Sequence[Image.Image]) -> Tensor:
        """As in `PatchEncoder`."""
        rows = []
        for image in images:
            square = on_background(image).resize((TIMM_SIZE, TIMM_SIZE), Image.Resampling.BICUBIC)
            pixels = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255
            rows.append(self._network(pixels).flatten(2).transpose(1, 2))
        return torch.cat(rows)


def load_patch_encoder(name: str) -> PatchEncoder:
    """Load an encoder of patches.

    Args:
        name: `open_clip:NAME/TAG`, a folder of a CLIP, or a network of timm (`random:NAME` for
            random weights).

    Raises:
        UserError: It is not there, cannot be downloaded or cannot be read.
    """
    if name.startswith(OPEN_CLIP):
        return load_image_text_model(name.removeprefix(OPEN_CLIP))
    if Path(name).expanduser().is_dir() and not is_known(name, "image encoder"):
        return load_image_text_model(name)
    return TimmPatches(name)


def image_conditions(encoder: PatchEncoder, images: Sequence[Image.Image]) -> Tensor:
    """Patches (N, P, D) of images, transparent parts on white."""
    return encoder.encode_patches(images)
