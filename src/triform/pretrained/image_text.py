"""Models of images and texts in one space by name: CLIP and SigLIP, of open_clip or transformers.

| name | model |
|---|---|
| `ARCHITECTURE/TAG`, such as `ViT-B-32/openai` | published by open_clip |
| a folder | saved by open_clip (`open_clip_config.json`) or transformers (`config.json`) |
| any other name | a model of the hub, in one of those formats |
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from triform.base.errors import UserError
from triform.images.read import on_background
from triform.pretrained import hub, open_clip_text, transformers_text
from triform.pretrained.model_folder import checked_copy, read_settings
from triform.pretrained.network_loading import import_open_clip, one_line_errors
from triform.pretrained.open_clip_text import NEEDED_BY
from triform.pretrained.text_encoder import OPEN_CLIP_CONFIG, published_tag
from triform.pretrained.transformers_text import TransformersText

ALTERNATIVES = "name a folder that holds the model, or run once where there is a network"
PREPROCESSING = "preprocessor_config.json"
BATCH_SIZE = 64
CPU_BATCH_SIZE = 16
"""Images at once on a processor, whose caches then hold more of what a layer hands to the next."""


def image_batch_size(device: torch.device) -> int:
    """Images that are encoded together on a device."""
    return CPU_BATCH_SIZE if device.type == "cpu" else BATCH_SIZE


class ImageTextModel(Protocol):
    """Encoders of images and texts into one space.

    Attributes:
        name: Its name or file.
        image_size: Pixels of the shorter side of an image that it looks at.
        scale: 1 / temperature.
        bias: Added to the logits of a model with the sigmoid loss; None for one with a softmax.
    """

    name: str
    scale: float
    image_size: int
    bias: float | None

    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """N images of any size to (N, D) float32 of length 1, on the CPU."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """N texts to (N, D) float32 of length 1, on the CPU."""
        ...


class ImagePatchModel(ImageTextModel, Protocol):
    """A model of images and texts that gives the patches of an image as well."""

    def encode_patches(self, images: Sequence[Image.Image]) -> Tensor:
        """N images of any size to their patches (N, P, C) float32, on the CPU."""
        ...


class OpenCLIPModel:
    """A model of open_clip; attributes as in `ImageTextModel`."""

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        """Wrap a loaded model.

        Args:
            name: Its name.
            model: In evaluation mode.
            tokenizer: Texts to (N, T) int64.
        """
        open_clip = import_open_clip(NEEDED_BY)
        self.name, self._model, self._tokenizer = name, model, tokenizer
        self._device = next(model.parameters()).device
        self.scale, self.bias = scale_and_bias(model)
        config = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
        self.image_size = int(np.max(config.size))
        self._transform: Callable[[Image.Image], Tensor] = open_clip.transform.image_transform_v2(
            config, is_train=False
        )

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """As in `ImageTextModel`."""
        rows, size = [], image_batch_size(self._device)
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            pixels = torch.stack([self._transform(on_background(image)) for image in batch])
            rows.append(self._model.encode_image(pixels.to(self._device)).float().cpu())
        return F.normalize(torch.cat(rows), dim=-1)

    @torch.inference_mode()
    def encode_patches(self, images: Sequence[Image.Image]) -> Tensor:
        """N images to their patches (N, P, C) by a vision transformer, before its last norm.

        Raises:
            UserError: The image tower is no vision transformer.
        """
        transformer = getattr(self._model.visual, "transformer", None)
        if transformer is None:
            raise UserError(f"model {self.name!r}: its image tower has no patches")
        outputs: list[Tensor] = []
        hook = transformer.register_forward_hook(lambda *values: outputs.append(values[2]))
        rows = []
        try:
            for start in range(0, len(images), BATCH_SIZE):
                batch = [on_background(image) for image in images[start : start + BATCH_SIZE]]
                pixels = torch.stack([self._transform(image) for image in batch])
                self._model.visual(pixels.to(self._device))
                rows.append(outputs.pop()[:, 1:].float().cpu())  # without the class token
        finally:
            hook.remove()
        return torch.cat(rows)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """As in `ImageTextModel`."""
        rows = []
        for start in range(0, len(texts), BATCH_SIZE):
            tokens = self._tokenizer(list(texts[start : start + BATCH_SIZE]))
            rows.append(self._model.encode_text(tokens.to(self._device)).float().cpu())
        return F.normalize(torch.cat(rows), dim=-1)


class TransformersModel:
    """A two-tower model of transformers (CLIP, SigLIP); attributes as in `ImageTextModel`."""

    def __init__(self, name: str, folder: Path, device: str | torch.device = "cpu") -> None:
        """Load a folder.

        Args:
            name: Its name.
            folder: Holds `config.json`, `preprocessor_config.json`, safetensors weights and the
                tokenizer's files.
            device: Torch device.

        Raises:
            UserError: The folder cannot be read, or holds another kind of model.
        """
        self.name, self._text = name, TransformersText(name, folder, device)
        model = self._text.model
        if not hasattr(model, "get_image_features"):
            raise UserError(
                f"model {name!r}: {folder} holds a text model alone ({model.config.model_type}); "
                "expected a model of images and texts, such as clip or siglip"
            )
        if not (folder / PREPROCESSING).is_file():
            raise UserError(f"model {name!r}: {folder} lacks {PREPROCESSING}")
        from transformers import AutoImageProcessor

        with (
            checked_copy(folder, pickled=False) as copy,
            one_line_errors(name, folder, copy, "image encoder"),
        ):
            settings = read_settings(folder / PREPROCESSING)
            (copy / PREPROCESSING).write_text(json.dumps(settings), encoding="utf-8")
            self._processor = AutoImageProcessor.from_pretrained(
                copy, local_files_only=True, trust_remote_code=False
            )
        self.scale, self.bias = scale_and_bias(model)
        # The shorter edge, or both sides.
        self.image_size = max(int(each) for each in dict(self._processor.size).values() if each)

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """As in `ImageTextModel`."""
        rows, size = [], image_batch_size(torch.device(self._text.device))
        for start in range(0, len(images), size):
            batch = [on_background(image) for image in images[start : start + size]]
            pixels = self._processor(images=batch, return_tensors="pt").to(self._text.device)
            output = self._text.model.get_image_features(**pixels)
            features = output if isinstance(output, Tensor) else output.pooler_output
            rows.append(features.float().cpu())
        return F.normalize(torch.cat(rows), dim=-1)

    @torch.inference_mode()
    def encode_patches(self, images: Sequence[Image.Image]) -> Tensor:
        """As in `OpenCLIPModel`."""
        vision: Any = getattr(self._text.model, "vision_model", None)
        if not hasattr(getattr(vision, "embeddings", None), "class_embedding"):
            raise UserError(f"model {self.name!r}: its image tower is not that of a CLIP")
        rows = []
        for start in range(0, len(images), BATCH_SIZE):
            batch = [on_background(image) for image in images[start : start + BATCH_SIZE]]
            pixels = self._processor(images=batch, return_tensors="pt").to(self._text.device)
            hidden = vision(**pixels).last_hidden_state  # only the class token is normed
            rows.append(hidden[:, 1:].float().cpu())
        return torch.cat(rows)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """As in `ImageTextModel`."""
        return F.normalize(torch.from_numpy(self._text.encode(texts)), dim=-1)


def load_image_text_model(name: str, device: str | torch.device = "cpu") -> ImagePatchModel:
    """Load a model of images and texts.

    Args:
        name: See the table above.
        device: Torch device.

    Raises:
        UserError: It is not there, cannot be downloaded or cannot be read.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _load_folder(name, folder, device)
    if name.startswith((".", "~", os.sep)) or folder.is_file() or name.count("/") > 1:
        raise UserError(f"model {name!r}: there is no such folder")
    if (tag := published_tag(name)) is not None:
        return open_clip_text.from_tag(name, *tag, device, OpenCLIPModel, ALTERNATIVES)
    files = {*open_clip_text.WEIGHT_FILES, *transformers_text.FILES} - {"*.bin"}
    repo = name.removeprefix("hf-hub:")
    folder = hub.hub_folder(repo, sorted(files), [], kind="model", alternatives=ALTERNATIVES)
    return _load_folder(name, folder, device)


def scale_and_bias(model: Any) -> tuple[float, float | None]:
    """1 / temperature and bias of a model; no bias means that it was trained with a softmax."""
    bias = getattr(model, "logit_bias", None)
    return float(model.logit_scale.detach().exp()), None if bias is None else float(bias.detach())


def match_probs(model: ImageTextModel, images: Tensor, classes: Tensor) -> Tensor:
    """Probabilities of classes from unit vectors (B, D) and (N, D): (B, N).

    Softmax over the classes; for a model with the sigmoid loss the probability of each alone.
    """
    logits = model.scale * images @ classes.T
    return logits.softmax(1) if model.bias is None else (logits + model.bias).sigmoid()


def _load_folder(name: str, folder: Path, device: str | torch.device) -> ImagePatchModel:
    if (folder / OPEN_CLIP_CONFIG).is_file():
        return open_clip_text.from_folder(name, folder, device, OpenCLIPModel)
    if (folder / "config.json").is_file():
        return TransformersModel(name, folder, device)
    raise UserError(f"model {name!r}: {folder} holds neither {OPEN_CLIP_CONFIG} nor config.json")
