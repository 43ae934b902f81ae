"""Conditions of the prior: embeddings of captions, and patches of images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.images.read import on_background
from triform.pretrained.feature_maps import load_feature_maps
from triform.pretrained.fingerprint import state_fingerprint
from triform.pretrained.image_text import TransformersModel, load_image_text_model
from triform.pretrained.named_models import is_known
from triform.pretrained.open_clip_text import published_file
from triform.pretrained.text_encoder import TextEncoder, embed_texts

OPEN_CLIP = "open_clip:"
TIMM_SIZE = 224
BATCH_SIZE = 16


def text_conditions(encoder: TextEncoder, texts: Sequence[str]) -> Tensor:
    """Embeddings (N, 1, D) of length 1; an empty text is zeros, the null condition."""
    rows = torch.from_numpy(embed_texts(encoder, list(texts), cache_dir() / "embeddings"))
    rows = F.normalize(rows.float(), dim=-1)
    rows[[index for index, text in enumerate(texts) if not text.strip()]] = 0
    return rows[:, None]


class PatchEncoder:
    """Patches of images by the image tower of a CLIP, before its last norm; or by timm.

    Attributes:
        name: Its name.
        dim: Numbers per patch; 1024 of ViT-L/14.
        patches: Patches of an image; 256 of ViT-L/14.
        fingerprint: Changes with the outputs.
    """

    def __init__(
        self, name: str, model: nn.Module, encode: Callable[[list[Image.Image]], Tensor]
    ) -> None:
        self.name, self._encode = name, encode
        self.fingerprint = f"{name}-{state_fingerprint(model.state_dict())}"
        self.patches, self.dim = self.encode([Image.new("RGB", (8, 8))]).shape[1:]

    @torch.inference_mode()
    def encode(self, images: Sequence[Image.Image]) -> Tensor:
        """N images, composited on white, to (N, P, D) float32 on the CPU."""
        rows = []
        for start in range(0, len(images), BATCH_SIZE):
            batch = [on_background(image) for image in images[start : start + BATCH_SIZE]]
            rows.append(self._encode(batch).float().cpu())
        return torch.cat(rows)


def load_patch_encoder(name: str) -> PatchEncoder:
    """Load an encoder of patches.

    Args:
        name: `open_clip:NAME/TAG`, a folder of a CLIP in the format of transformers, or a network
            of timm (`random:NAME` for random weights).

    Raises:
        UserError: It is not there, cannot be downloaded or cannot be read.
    """
    folder = Path(name).expanduser()
    if name.startswith(OPEN_CLIP):
        return _open_clip(name)
    if folder.is_dir() and not is_known(name, "image encoder"):
        model = load_image_text_model(name)
        if not isinstance(model, TransformersModel):
            raise UserError(f"--image_encoder {name}: expected a CLIP in transformers' format")
        return _transformers(name, model)
    return _timm(name)


def _transformers(name: str, clip: TransformersModel) -> PatchEncoder:
    vision, processor = clip.vision_model, clip.processor

    def encode(images: list[Image.Image]) -> Tensor:
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        hidden: Tensor = vision(pixel_values=pixels).last_hidden_state
        return hidden[:, 1:]  # without the class token; not yet normed

    return PatchEncoder(name, vision, encode)


def _timm(name: str) -> PatchEncoder:
    network = load_feature_maps(name).eval()

    def encode(images: list[Image.Image]) -> Tensor:
        arrays = [
            np.asarray(image.resize((TIMM_SIZE, TIMM_SIZE), Image.Resampling.BICUBIC))
            for image in images
        ]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
        return network(pixels).flatten(2).transpose(1, 2)

    return PatchEncoder(name, network, encode)


def patch_key(encoder: PatchEncoder, images: Sequence[str]) -> str:
    """Name of the cache of the patches of images, given their names and versions."""
    digest = hashlib.sha256("\n".join([encoder.fingerprint, *images]).encode())
    return f"patches-{digest.hexdigest()[:24]}"
