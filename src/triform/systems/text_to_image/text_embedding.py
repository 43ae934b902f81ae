"""Text embeddings of length 1: by the project's own CLIP, or by another frozen text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from triform import systems
from triform.base.checksum import file_sha256
from triform.base.errors import UserError
from triform.base.paths import cache_dir
from triform.engine.checkpoints.finding import find_checkpoint
from triform.pretrained import shipped_weights
from triform.pretrained.image_text import ImageTextModel
from triform.pretrained.named_models import TEXT_ENCODER, check_named_file, select_model
from triform.pretrained.text_encoder import TextEncoder, embed_texts, load_text_encoder
from triform.systems.text_to_image.config import TRIFORM_CLIP

CLIP_SYSTEM = "clip"
BATCH_SIZE = 256


class ClipRunEncoder:
    """The project's CLIP as a text encoder; attributes as in `TextEncoder`.

    Attributes:
        model: Encodes images as well.
    """

    name = TRIFORM_CLIP

    def __init__(self, path: Path, device: str = "auto"):
        self.model: ImageTextModel = systems.from_checkpoint(path, device)
        if not hasattr(self.model, "encode_texts"):
            raise UserError(f"--clip {path}: not weights of the system {CLIP_SYSTEM}")
        self.fingerprint = file_sha256(path)
        self.dim = self.encode(["a"]).shape[1]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """N texts to (N, dim) float32 of length 1."""
        return self.model.encode_texts(texts).numpy().astype(np.float32)

    def encode_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """N images to (N, dim) float32 of length 1."""
        parts = [
            self.model.encode_images(images[start : start + BATCH_SIZE]).numpy()
            for start in range(0, len(images), BATCH_SIZE)
        ]
        return np.concatenate(parts).astype(np.float32)


def load_encoder(name: str, clip: str, device: str = "auto") -> TextEncoder:
    """Load the text encoder that the settings of a training name.

    Args:
        name: `triform-clip` or a name of `load_text_encoder`.
        clip: Checkpoint or run of the own CLIP; empty = shipped, or else the newest run here.
        device: Device of the own CLIP.

    Raises:
        UserError: It is not there or cannot be read.
    """
    if name != TRIFORM_CLIP:
        return load_text_encoder(name)
    shipped = CLIP_SYSTEM if CLIP_SYSTEM in shipped_weights.names() else None
    path = find_checkpoint(clip or None, CLIP_SYSTEM, shipped=shipped, flag="--clip")
    return ClipRunEncoder(path, device)


def load_trained_encoder(
    encoder_choice: str, clip_choice: str, name: str, clip: str, digest: str, source: Path
) -> TextEncoder:
    """Load the text encoder of trained weights.

    Args:
        encoder_choice: Value of the user's flag `--text_encoder`; may be empty.
        clip_choice: Value of the user's flag `--clip`; may be empty.
        name: Text encoder that the file names.
        clip: Checkpoint of the CLIP that the file names.
        digest: Fingerprint of the encoder of the training.
        source: The file, for messages.

    Raises:
        UserError: It is another one than that of the training, or cannot be read.
    """
    if not encoder_choice and name == TRIFORM_CLIP:
        if clip and not clip_choice:
            check_named_file(clip, source=source, flag="--clip")
        encoder = load_encoder(name, clip_choice or clip)
    else:
        selected = select_model(encoder_choice, name, TEXT_ENCODER, source=source)
        encoder = load_encoder(selected, clip_choice)
    if encoder.fingerprint != digest:
        flag = "--clip" if encoder.name == TRIFORM_CLIP else "--text_encoder"
        raise UserError(
            f"{source}: trained with other weights of the text encoder {name} than those found "
            f"here; name the right ones with {flag}"
        )
    return encoder


def embed(encoder: TextEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """N texts to (N, dim) float32 of length 1, cached on disk."""
    vectors = embed_texts(encoder, texts, cache_dir() / "texts")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-8)
    return unit
