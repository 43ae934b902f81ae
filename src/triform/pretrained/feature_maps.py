"""Networks of timm without their last pooling: pictures to maps of features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.pretrained.image_encoder import KIND, published_weights
from triform.pretrained.network_loading import (
    check_whole,
    missing_keys,
    one_line_errors,
    weights_overlay,
)

logger = get_logger(__name__)


class FeatureMaps(nn.Module):
    """Pictures in [0, 1] to maps of features, by a network of timm.

    Its norms keep the statistics that the weights came with, in training too: batches here are
    small, and of other pictures.

    Attributes:
        out_channels: channels of the maps.
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
        """Everything but the norms follows."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [0, 1] to maps (B, C, s, s)."""
        images = images.to(memory_format=torch.channels_last)
        maps: Tensor = self.model((images - self.mean) / self.std)
        if maps.ndim == 3:  # a transformer's tokens, those of places last
            places = maps[:, int(getattr(self.model, "num_prefix_tokens", 0)) :]
            side = round(places.shape[1] ** 0.5)
            maps = places.transpose(1, 2).reshape(len(maps), -1, side, side)
        return maps


def load_feature_maps(
    name: str, weights: Path | None = None, *, empty: bool = False
) -> FeatureMaps:
    """Load a network of timm by name.

    Args:
        name: Its name; `random:NAME` for the same random weights each time, without any file.
        weights: File of its weights; not given, those of an installed package or of its hub.
        empty: whoever asks brings the weights: none are looked for.

    Raises:
        UserError: No such network or weights, or they cannot be read.
    """
    import timm

    kind, _, rest = name.partition(":")
    source = rest if kind == "random" else name
    is_random = empty or kind == "random"
    if not timm.is_model(source.partition(".")[0]):
        raise UserError(f"{KIND} {name!r}: timm knows no such network; --encoder small needs none")
    file: Path | None = None
    if is_random and not empty:
        logger.warning("%s: random weights; its features mean little", name)
    elif not is_random:
        if weights is not None and not weights.is_file():
            raise UserError(f"--encoder_weights {weights}: not there, expected a file of weights")
        file = weights or published_weights(name, "--encoder_weights")
        logger.info("%s %r: loading %s", KIND, name, file)
    with (
        one_line_errors(name, source),
        torch.random.fork_rng(devices=[]),
        missing_keys() as lost,
        weights_overlay(file) as overlay,
    ):
        torch.manual_seed(0)
        model = timm.create_model(
            source, pretrained=not is_random, num_classes=0, global_pool="",
            pretrained_cfg_overlay=overlay,
        )  # fmt: skip
        config = timm.data.resolve_model_data_config(model)
    check_whole(name, lost)
    return FeatureMaps(model, config)
