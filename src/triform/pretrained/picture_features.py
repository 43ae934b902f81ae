"""Features of small pictures, by a network that this project trained on Fashion-MNIST.

They stand where Inception's stand in FID and KID, and make numbers that can be compared with each
other but with nobody else's. `scripts/train_picture_features.py` is the recipe.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from triform.base.checksum import file_sha256
from triform.pretrained.weights import shipped

NAME = "picture_features"
SIZE = 28
NUM_FEATURES = 64


class FeatureNet(nn.Module):
    """Four convolutions, from grey pictures (B, 1, 28, 28) in [0, 1] to classes.

    Args:
        num_classes: how many.
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        widths = (1, 16, 32, 64, NUM_FEATURES)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                )
                for inputs, outputs, stride in zip(widths, widths[1:], (1, 2, 2, 1), strict=False)
            )
        )
        self.head = nn.Linear(NUM_FEATURES, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """(B, 1, 28, 28) in [0, 1] to (B, 64)."""
        return self.layers(images * 2 - 1).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 28, 28) in [0, 1] to logits (B, classes)."""
        return self.head(self.features(images))


@lru_cache(maxsize=1)
def load_feature_net() -> tuple[FeatureNet, str]:
    """The trained network in evaluation mode, and the name under which its numbers stand."""
    path = shipped(NAME)
    network = FeatureNet()
    network.load_state_dict(load_file(path), strict=False)  # without batch counters
    return network.eval().requires_grad_(False), f"fashion-cnn-{file_sha256(path)[:8]}"


def as_seen(images: Tensor) -> Tensor:
    """Pictures (B, C, H, W) uint8 as the network wants them: grey, 28 x 28, in [0, 1]."""
    floats = images.float() / 255
    if floats.shape[1] == 3:  # Rec. 601
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        floats = (floats * weights).sum(1, keepdim=True)
    if floats.shape[-1] != SIZE or floats.shape[-2] != SIZE:
        floats = F.interpolate(floats, (SIZE, SIZE), mode="bilinear", antialias=True)
    return floats


@torch.no_grad()
def picture_features(images: Tensor, batch_size: int = 500) -> Tensor:
    """Features (N, 64) of pictures (N, C, H, W) uint8."""
    network, _ = load_feature_net()
    return torch.cat([network.features(as_seen(part)) for part in images.split(batch_size)])


@torch.no_grad()
def picture_classes(images: Tensor, batch_size: int = 500) -> Tensor:
    """Probabilities (N, 10) of the kinds of clothes of Fashion-MNIST."""
    network, _ = load_feature_net()
    return torch.cat([network(as_seen(part)).softmax(1) for part in images.split(batch_size)])
