"""Feature maps of images by networks of timm, without their last pooling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.pretrained.image_encoder import published_weights
from triform.pretrained.named_models import IMAGE_ENCODER as KIND
from triform.pretrained.network_loading import create_timm_network

logger = get_logger(__name__)


class FeatureMaps(nn.Module):
    """A network of timm that turns images in [0, 1] into feature maps.

    Its batch norms keep the statistics of the pretrained weights in training too, because batches
    are small.

    Attributes:
        out_channels: Channels of the feature maps.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, config: dict[str, Any]):
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(config["mean"]).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(shape), persistent=False)
        self.out_channels = int(getattr(model, "num_features", 0))

    def train(self, mode: bool = True) -> FeatureMaps:
        """Set the mode of all modules but the batch norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [0, 1] to feature maps (B, C, s, s)."""
        images = images.to(memory_format=torch.channels_last)
        maps: Tensor = self.model((images - self.mean) / self.std)
        if maps.ndim == 3:  # tokens of a transformer, those of patches last
            patches = maps[:, int(getattr(self.model, "num_prefix_tokens", 0)) :]
            side = round(patches.shape[1] ** 0.5)
            maps = patches.transpose(1, 2).reshape(len(maps), -1, side, side)
        return maps


def load_feature_maps(
    name: str, weights: Path | None = None, *, pretrained: bool = True
) -> FeatureMaps:
    """Load a network of timm by name.

    Args:
        name: Its name; `random:NAME` for reproducible random weights without any file.
        weights: File of its weights; by default those of an installed package or of its hub.
        pretrained: Load weights; False if the caller sets them.

    Raises:
        UserError: No such network or weights, or they cannot be read.
    """
    import timm

    is_random = name.startswith("random:")
    source = name.removeprefix("random:")
    load_weights = pretrained and not is_random
    if not timm.is_model(source.partition(".")[0]):
        raise UserError(f"{KIND} {name!r}: timm has no such network; --encoder small needs none")
    file: Path | None = None
    if pretrained and is_random:
        logger.warning("%s: random weights; its features mean little", name)
    elif load_weights:
        if weights is not None and not weights.is_file():
            raise UserError(f"--encoder_weights {weights}: not there, expected a file of weights")
        file = weights or published_weights(name, "--encoder_weights")
        logger.info("%s %r: loading %s", KIND, name, file)
    model, config, _ = create_timm_network(
        name, source, pretrained=load_weights, weights=file, pooled=False
    )
    return FeatureMaps(model, config)
