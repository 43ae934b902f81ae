"""A trained model: one of this system, or a pretrained CLIP by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.engine.checkpoints.checkpoint import StateDicts
from triform.engine.checkpoints.trained import TrainedModel
from triform.engine.device import pick_device
from triform.images.read import on_background
from triform.pretrained.image_text import (
    ImageTextModel,
    image_batch_size,
    load_image_text_model,
)
from triform.pretrained.named_models import TEXT_ENCODER, select_model
from triform.pretrained.text_encoder import load_text_encoder
from triform.systems.clip.config import TRANSFORMER, Config
from triform.systems.clip.model import CLIP
from triform.systems.clip.model_choice import SYSTEM, model_path
from triform.systems.clip.verb_config import ModelChoice
from triform.tasks.contrastive.images import resize, to_tensor
from triform.tasks.contrastive.text_inputs import EmbeddingInputs, TextInputs, TokenInputs
from triform.text.bpe import BytePairEncoding


class Trained(TrainedModel[Config]):
    """A trained CLIP in evaluation mode.

    Attributes:
        name: Where it came from.
        image_size: Pixels of the shorter side of an image that it looks at.
        clip: The network.
        scale: 1 / temperature.
        bias: Added to the logits; None with the softmax loss.
    """

    system, config_class = SYSTEM, Config

    def __init__(self, path: Path, device: torch.device, text_encoder: str = ""):
        super().__init__(path, device)
        self.name = str(path)
        self.image_size = self.config.data.image_size
        self.scale = float(self.clip.logit_scale.detach().exp())
        self.bias = None if self.clip.logit_bias is None else float(self.clip.logit_bias.detach())
        self._text_encoder = text_encoder
        self._text_inputs: TextInputs | None = None

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        model, data = self.config.model, self.config.data
        if model.text_encoder == TRANSFORMER:
            self._bpe = BytePairEncoding(self.metadata["merges"])
            size = self._bpe.vocab_size
        else:
            size = int(self.metadata["text_dim"])
        temperature = self.config.training.first_temperature
        has_bias = self.config.training.loss == "sigmoid"
        self.clip = CLIP(model, data.image_size, size, temperature, has_bias=has_bias)
        return {"clip": self.clip}

    @property
    def text_inputs(self) -> TextInputs:
        """Texts as inputs of the text encoder; a frozen encoder is loaded when it is needed."""
        if self._text_inputs is None:
            model = self.config.model
            if model.text_encoder == TRANSFORMER:
                self._text_inputs = TokenInputs(self._bpe, model.max_tokens)
            else:
                name = select_model(
                    self._text_encoder, model.text_encoder, TEXT_ENCODER, source=self.source
                )
                encoder = load_text_encoder(name)
                if encoder.dim != self.metadata["text_dim"]:
                    raise UserError(
                        f"--text_encoder {name}: its embeddings have {encoder.dim} numbers, "
                        f"{self.source} needs {self.metadata['text_dim']}"
                    )
                self._text_inputs = EmbeddingInputs(encoder)
        return self._text_inputs

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Images of any size to (N, D) float32 of length 1, on the CPU."""
        size, frame = self.config.data.image_size, self.config.data.frame
        pixels = np.stack([resize(on_background(image), size, frame=frame) for image in images])
        count = image_batch_size(self.device)
        parts = [
            self.clip.encode_images(to_tensor(pixels[start : start + count]).to(self.device)).cpu()
            for start in range(0, len(pixels), count)
        ]
        return torch.cat(parts)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts to (N, D) float32 of length 1, on the CPU."""
        return self.clip.encode_texts(self.text_inputs(texts).to(self.device)).cpu()


def load_model(settings: ModelChoice) -> ImageTextModel:
    """Load the model that settings name: a pretrained one, or one that was trained here.

    Raises:
        UsageError: Both are named.
        UserError: There is none, or it cannot be read.
    """
    path = model_path(settings)
    if isinstance(path, str):
        return load_image_text_model(path, pick_device(settings.device))
    return Trained(path, pick_device(settings.device), settings.text_encoder)
