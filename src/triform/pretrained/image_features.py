"""Features of small images, by a network that this project trained on Fashion-MNIST.

They take the place of Inception's in FID and KID: their distances can be compared with each other
only. `scripts/train_image_features.py` is the recipe.
"""

from functools import lru_cache

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from triform.pretrained.shipped_weights import shipped

WEIGHTS = "image_features"
FEATURES_NAME = "fashion-cnn-aa44d125"
"""Name of these weights in reports: the checksum of the file that they were published in first."""
IMAGE_SIZE = 28
NUM_FEATURES = 64


class FeatureNet(nn.Module):
    """Classifier of four convolutions for grey images (B, 1, 28, 28) in [0, 1]."""

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
        """Features (B, 64) of images (B, 1, 28, 28) in [0, 1]."""
        output: Tensor = self.layers(images * 2 - 1).mean((2, 3))
        return output

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) of images (B, 1, 28, 28) in [0, 1]."""
        output: Tensor = self.head(self.features(images))
        return output


@lru_cache(maxsize=1)
def load_feature_net() -> FeatureNet:
    """The trained network, frozen and in evaluation mode."""
    network = FeatureNet()
    network.load_state_dict(load_file(shipped(WEIGHTS)), strict=False)  # without batch counters
    return network.eval().requires_grad_(False)


def preprocess(images: Tensor) -> Tensor:
    """Images (B, C, H, W) uint8 as inputs of the network: grey, 28 x 28, in [0, 1]."""
    floats = images.float() / 255
    if floats.shape[1] == 3:  # Rec. 601
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        floats = (floats * weights).sum(1, keepdim=True)
    if floats.shape[-1] != IMAGE_SIZE or floats.shape[-2] != IMAGE_SIZE:
        floats = F.interpolate(floats, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", antialias=True)
    return floats


@torch.no_grad()
def image_features(images: Tensor, batch_size: int = 500) -> Tensor:
    """Features (N, 64) of images (N, C, H, W) uint8."""
    network = load_feature_net()
    return torch.cat(
        [network.features(preprocess(part)) for part in torch.split(images, batch_size)]
    )


@torch.no_grad()
def image_class_probs(images: Tensor, batch_size: int = 500) -> Tensor:
    """Probabilities (N, 10) of the classes of Fashion-MNIST for images (N, C, H, W) uint8."""
    network = load_feature_net()
    return torch.cat(
        [network(preprocess(part)).softmax(1) for part in torch.split(images, batch_size)]
    )
